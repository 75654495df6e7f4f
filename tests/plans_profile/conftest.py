from tests.machines import hidden, killed_at_every_line, machine, new_state, nvml
from tests.shuffled import shuffled

__all__ = ["hidden", "killed_at_every_line", "machine", "new_state", "nvml", "shuffled"]
