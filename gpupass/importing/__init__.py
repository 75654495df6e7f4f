"""Files of other tools → profiles; pure."""
