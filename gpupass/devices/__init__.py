"""What several ways to share a GPU need of devices: groups, binding, virtual functions, mdevs; pure."""
