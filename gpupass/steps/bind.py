"""Which driver has a PCI function: driver_override, unbind, drivers_probe; each write verified."""

from contextlib import nullcontext
from typing import Any, TypedDict

from gpupass.errors import GpupassError, KernelRefused, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.step import BindDriver
from gpupass.system import System
from gpupass.system.nvml_library import LIBRARY

_UNBIND_SECONDS = 20.0
_PROBE_SECONDS = 60.0  # a GPU driver's probe loads firmware


class Binding(TypedDict):
    """The driver of a function and its driver_override."""

    driver: str | None
    override: str | None


def current(step: BindDriver, system: System) -> Binding:
    device = _device(step.address)
    override = system.read(f"{device}/driver_override")
    return {
        "driver": system.link(f"{device}/driver"),
        "override": None if override in (None, "", "(null)") else override,
    }


def do(step: BindDriver, system: System) -> None:
    """GpupassError when the kernel refuses or leaves another driver; NotClean when it does not return."""
    _reach(system, step.address, step.driver, step.override, current(step, system))


def undo(step: BindDriver, before: Any, system: System) -> None:
    now = current(step, system)
    if now == before:
        return
    if now["driver"] not in (None, step.driver, before["driver"]):
        raise NeedsPerson(
            f"cannot give {step.address} back to {before['driver'] or 'no driver'}: "
            f"somebody else has bound it to {now['driver']} meanwhile",
            f"gpupass show {step.address}",
        )
    _reach(system, step.address, before["driver"], before["override"], now)


def _reach(system: System, address: Address, driver: str | None, override: str | None, now: Binding) -> None:
    device = _device(address)
    if now["override"] != override:
        what = f"override the driver of {address}"
        system.write(f"{device}/driver_override", (override or "") + "\n", address, what=what)
    if now["driver"] not in (None, driver):
        _unbind(system, address, str(now["driver"]))
    if driver is not None and system.link(f"{device}/driver") != driver:
        try:
            what = f"probe {address}"
            system.write("/sys/bus/pci/drivers_probe", address, address, what=what, seconds=_PROBE_SECONDS)
        except KernelRefused:
            if system.link(f"{device}/driver") is None:
                raise
    found = system.link(f"{device}/driver")
    if found != driver:
        raise GpupassError(
            f"cannot bind {address} to {driver or 'no driver'}: "
            f"the kernel left it with {found or 'no driver'}",
            f"dmesg | grep {address}",
        )


def _unbind(system: System, address: Address, driver: str) -> None:
    with LIBRARY.silent() if driver == "nvidia" else nullcontext():
        if driver == "nvidia":
            _lock(system, address)
        try:
            unbind = f"{_device(address)}/driver/unbind"
            system.write(unbind, address, address, what=f"unbind {address}", seconds=_UNBIND_SECONDS)
        except KernelRefused:
            if system.link(f"{_device(address)}/driver") is not None:
                raise


def _lock(system: System, address: Address) -> None:
    """open-gpu-kernel-modules nv-procfs.c: granted at usage count 0 only."""
    lock = f"/proc/driver/nvidia/gpus/{address}/unbindLock"
    if not system.exists(lock):
        return
    system.write(lock, "1\n", address, what=f"lock {address}")
    if system.read(lock) != "1":
        raise GpupassError(
            f"cannot unbind {address} from nvidia: something still uses it (unbindLock was not granted)",
            f"fuser -v /dev/nvidia*; gpupass show {address}",
        )


def _device(address: Address) -> str:
    return f"/sys/bus/pci/devices/{address}"
