"""One look at a host: every reader's answer joined into one frozen Host."""

from gpupass.observe.look import everything, nothing, observe

__all__ = ["everything", "nothing", "observe"]
