"""Steps that several ways to share a GPU have in common: one write each, with its undo beside it."""
