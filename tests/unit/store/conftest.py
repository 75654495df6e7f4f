from tests.machines import hidden, killed_at_every_line, machine, new_state

__all__ = ["hidden", "killed_at_every_line", "machine", "new_state"]
