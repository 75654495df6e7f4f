from tests.machines import hidden, killed_at_every_line, machine, new_state
from tests.shuffled import shuffled

__all__ = ["hidden", "killed_at_every_line", "machine", "new_state", "shuffled"]
