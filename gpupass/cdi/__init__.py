"""What containers can be given, as specifications of the Container Device Interface; pure."""
