"""What must be so before a GPU can be given away here: checks of a host, each with what to type; pure."""
