from tests.machines import crash_at, hidden, machine, new_machine

__all__ = ["crash_at", "hidden", "machine", "new_machine"]
