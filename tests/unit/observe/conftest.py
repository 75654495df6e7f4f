from tests.machines import hidden, machine, new_state

__all__ = ["hidden", "machine", "new_state"]
