"""The only door to the machine: files, processes, libvirt, NVML; and to a recorded one, without writers."""

from gpupass.system.door import System
from gpupass.system.reader import Reader
from gpupass.system.recorded_host import RecordedHost

__all__ = ["Reader", "RecordedHost", "System"]
