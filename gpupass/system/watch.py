"""Waiting for the host to change: libvirt's events, else the kernel's about PCI devices."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError

if TYPE_CHECKING:
    from gpupass.system.libvirt import Hypervisor

_LOOK_AGAIN = 5.0  # for what sends no event: a file system mounted, a process gone


def watch(
    connect: Callable[[], "Hypervisor"] | None, sleep: Callable[[float], None]
) -> Callable[[float], None]:
    """`connect` None: libvirt is not to be asked; `sleep` where there is no udev either."""
    if connect is not None:
        with suppress(GpupassError):
            hypervisor = connect()
            seen = hypervisor.events()
            return lambda seconds: hypervisor.wait_event(seen, min(seconds, _LOOK_AGAIN))
    try:
        return _pci_events()
    except (ImportError, OSError):  # no udev: then only the time passes
        return lambda seconds: sleep(min(seconds, _LOOK_AGAIN))


def _pci_events() -> Callable[[float], None]:
    import pyudev

    monitor = pyudev.Monitor.from_netlink(pyudev.Context())
    monitor.filter_by("pci")
    monitor.start()

    def wait(seconds: float) -> None:
        with suppress(OSError):  # more events than the kernel kept: something has happened
            monitor.poll(timeout=min(seconds, _LOOK_AGAIN))

    return wait
