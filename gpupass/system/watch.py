"""Waiting for the host to change: libvirt's events, else the kernel's about PCI devices."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError

if TYPE_CHECKING:
    from gpupass.system.door import System

_LOOK_AGAIN = 5.0  # for what sends no event: a file system mounted, a process gone


def watch(system: "System", uri: str | None) -> Callable[[float], None]:
    if uri is not None:
        with suppress(GpupassError):
            hypervisor = system.hypervisor(uri)
            seen = hypervisor.events()
            return lambda seconds: hypervisor.wait_event(seen, min(seconds, _LOOK_AGAIN))
    import pyudev

    monitor = pyudev.Monitor.from_netlink(pyudev.Context())
    monitor.filter_by("pci")
    monitor.start()

    def wait(seconds: float) -> None:
        monitor.poll(timeout=min(seconds, _LOOK_AGAIN))

    return wait
