"""The only door to the machine: files, processes, libvirt, NVML. Every path hangs from one root."""

from gpupass.system.door import System

__all__ = ["System"]
