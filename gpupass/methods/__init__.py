"""One module per way to share a GPU; pure."""
