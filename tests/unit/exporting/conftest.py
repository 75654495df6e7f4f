from tests.machines import hidden, machine, new_state, nvml

__all__ = ["hidden", "machine", "new_state", "nvml"]
