"""How many virtual functions: sriov_drivers_autoprobe, then sriov_numvfs, through 0 where it has others.

Source: Documentation/ABI/testing/sysfs-bus-pci; drivers/pci/iov.c refuses one number after another (EBUSY)
and waits for ever in a removal under an open VFIO file.
"""

from collections.abc import Iterator
from typing import Any, TypedDict

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.host import SRIOV_MANAGE
from gpupass.model.step import BindDriver, SetVfs
from gpupass.steps import attribute, bind
from gpupass.system import System

_SCRIPT_SECONDS = 120.0
_SETTLE_SECONDS = 30.0
_LOOK_AGAIN = 0.2
_SECONDS = 60.0  # a PF's driver talks to its firmware, VF drivers probe


class Functions(TypedDict):
    """How many VFs, may the kernel bind new ones, who drives those that are there, what goes with them."""

    count: int
    autoprobe: bool
    vfs: dict[Address, bind.Binding]
    kept: dict[str, str | None]


def current(step: SetVfs, system: System) -> Functions:
    """With the drivers of the VFs there are, which another number would lose."""
    device = f"/sys/bus/pci/devices/{step.address}"
    return {
        "count": int(system.read(f"{device}/sriov_numvfs") or 0),
        "autoprobe": system.read(f"{device}/sriov_drivers_autoprobe") != "0",
        "vfs": bindings(system, step.address),
        "kept": {path: attribute.read(system, path) for path in step.keep},
    }


def do(step: SetVfs, system: System) -> None:
    """GpupassError, with the kernel's own line, when the kernel makes fewer than asked for or none."""
    _reach(system, step, step.count, step.autoprobe, current(step, system))


def undo(step: SetVfs, before: Any, system: System) -> None:
    now = current(step, system)
    if now == before:
        return
    if now["count"] not in (0, step.count, before["count"]):
        raise NeedsPerson(
            f"cannot give {step.address} its {before['count']} virtual functions back: "
            f"somebody else has made {now['count']} meanwhile",
            f"gpupass show {step.address}",
        )
    _reach(system, step, before["count"], before["autoprobe"], now, before["kept"])
    if before["count"] != step.count:  # the VFs were made anew
        bind_again(system, before["vfs"])


def bindings(system: System, pf: Address) -> dict[Address, bind.Binding]:
    """Who drives each VF that is there."""
    return {vf: bind.current(_binding(vf), system) for vf in _vfs(system, pf)}


def bind_again(system: System, had: dict[Address, bind.Binding]) -> None:
    """VFs that were made anew, to the drivers they had."""
    for vf, binding in had.items():
        bind.do(_binding(vf, binding["driver"], binding["override"]), system)


def _binding(vf: Address, driver: str | None = None, override: str | None = None) -> BindDriver:
    return BindDriver(address=vf, driver=driver, override=override)


def _vfs(system: System, pf: Address) -> Iterator[Address]:
    device = f"/sys/bus/pci/devices/{pf}"
    links = (name for name in system.names(device) if name.startswith("virtfn"))
    return (Address(vf) for name in links if (vf := system.link(f"{device}/{name}")) is not None)


def _reach(
    system: System,
    step: SetVfs,
    count: int,
    autoprobe: bool,
    now: Functions,
    kept: dict[str, str | None] | None = None,
) -> None:
    address = step.address
    if step.script:
        return _by_script(system, address, count, now["count"])
    if now["autoprobe"] != autoprobe:
        _write(system, address, "sriov_drivers_autoprobe", str(int(autoprobe)))
    if now["count"] == count:
        return
    if now["count"]:
        require_closed(system, address)
        _write(system, address, "sriov_numvfs", "0")
    if not count:
        return
    for path, value in (kept or {}).items():
        if value is not None:
            attribute.write(system, address, path, value)
    log = system.kernel_log()
    _write(system, address, "sriov_numvfs", str(count))
    made = int(system.read(f"/sys/bus/pci/devices/{address}/sriov_numvfs") or 0)
    if made != count:
        _write(system, address, "sriov_numvfs", "0")
        said = log.since(address)
        raise GpupassError(
            f"cannot make {count} virtual functions of {address}: the kernel made {made}"
            + (f"; kernel: {said}" if said else ""),
            f"dmesg | grep {address}",
        )


def _by_script(system: System, address: Address, count: int, now: int) -> None:
    """Afterwards every VF has its driver, which takes some seconds (vgpu-device-manager waits ten)."""
    if now == count:
        return
    if now:
        require_closed(system, address)
    system.run(SRIOV_MANAGE, "-e" if count else "-d", address, timeout=_SCRIPT_SECONDS)
    deadline = system.monotonic() + _SETTLE_SECONDS
    while True:
        vfs = tuple(_vfs(system, address))
        driven = all(system.link(f"/sys/bus/pci/devices/{vf}/driver") is not None for vf in vfs)
        if len(vfs) == count and driven:
            return
        if system.monotonic() >= deadline:
            raise GpupassError(
                f"cannot make {count} virtual functions of {address}: {SRIOV_MANAGE} made {len(vfs)}"
                + ("" if driven else ", not all of which have a driver"),
                f"dmesg | grep {address}",
            )
        system.sleep(_LOOK_AGAIN)


def require_closed(system: System, address: Address) -> None:
    """A look at the last moment: removing an open one would never return."""
    for vf in _vfs(system, address):
        group = system.link(f"/sys/bus/pci/devices/{vf}/iommu_group")
        if group and system.vfio_group_is_closed(int(group)) is False:
            raise GpupassError(
                f"cannot remove the virtual functions of {address}: {vf} is in use", f"gpupass show {vf}"
            )


def _write(system: System, address: Address, name: str, value: str) -> None:
    what = f"write {value} to {name} of {address}"
    system.write(f"/sys/bus/pci/devices/{address}/{name}", value, address, what=what, seconds=_SECONDS)
