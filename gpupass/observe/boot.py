"""The files that decide about the next boot, as they are."""

from collections.abc import Iterable

from gpupass.model.boot import BootState, Module
from gpupass.observe.drivers import DRIVERS
from gpupass.system import System
from gpupass.system.services import is_active
from gpupass.system.units import is_enabled

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


def read_boot(
    system: System,
    *,
    paths: Iterable[str] = (),
    units: Iterable[str] = (),
    services: Iterable[str] = (),
    traces: Iterable[str] = (),
) -> BootState:
    """`services` are units that may run, `traces` paths whose existence tells something.

    Refused when a path is not root's alone.
    """
    booted = system.exists("/run/systemd/system")  # sd_booted(3)
    return BootState(
        files=tuple(file for path in paths if (file := system.read_file(path)) is not None),
        enabled=tuple(unit for unit in units if is_enabled(system, unit)),
        running=tuple(unit for unit in services if booted and is_active(system, unit)),
        systemd=booted,
        os_release=next((text for path in _OS_RELEASE if (text := system.read(path))), ""),
        present=tuple(path for path in traces if system.exists(path)),
        modules=tuple(
            Module(driver=driver, name=module)
            for driver in system.names(DRIVERS)
            if (module := system.link(f"{DRIVERS}/{driver}/module")) is not None
        ),
    )
