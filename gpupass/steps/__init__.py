"""One file per kind of step: `current`, `do` and `undo` side by side, idempotent."""
