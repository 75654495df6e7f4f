"""Which driver has a PCI function: driver_override, unbind, drivers_probe; each write verified."""

from contextlib import nullcontext
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, KernelRefused, NeedsPerson
from gpupass.model.address import Address, sysfs
from gpupass.model.amd import AMDGPU, Amd
from gpupass.model.host import NVIDIA, Device, Host, lends
from gpupass.model.intel import INTEL, Intel
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.steps.release import opener
from gpupass.system import System
from gpupass.system.holders import host_holders

_UNBIND_SECONDS = 20.0
_CLOSING = 2.0  # whoever has just been asked to close it does so
_LOOK_AGAIN = 0.1
_PROBE_SECONDS = 60.0  # a GPU driver's probe loads firmware


class Binding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The driver of a function and its driver_override."""

    driver: str | None
    override: str | None


class BindDriver(Step, frozen=True, kw_only=True):
    """`driver` None: no driver at all. `override` None: the kernel chooses by itself again."""

    address: Address
    driver: str | None
    override: str | None

    Before: ClassVar[Any] = Binding

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def needs(self) -> Facts:
        module = ((Kind.MODULE, self.driver),) if self.driver is not None else ()
        there = ((Kind.VFS, self.of),) if self.of is not None else ()
        return facts(*module, *there)

    @property
    def gives(self) -> Facts:
        return facts((Kind.DRIVER, self.address)) if self.driver is not None else NOTHING

    @property
    def ends(self) -> Facts:
        return facts((Kind.DRIVER, self.address))

    @property
    def without(self) -> Facts:
        kinds = (Kind.PERSISTENCE, Kind.LENT, Kind.AT_WORK)
        return facts(*((kind, self.address) for kind in kinds))

    @property
    def rebinds(self) -> tuple[Address, ...]:
        return (self.address,)

    def words(self) -> str:
        return f"bind {self.address} to {self.driver or 'no driver'}"

    def seconds(self) -> float:
        """A vendor driver's probe loads firmware."""
        return 1.0 if self.driver is None or self.driver.startswith("vfio") else 5.0

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._bound)

    def _bound(self, device: Device) -> Device:
        """What its new driver tells of it is to be seen when it is so."""
        detail = replace(
            device.facts,
            driver_override=self.override,
            nvidia=device.facts.nvidia if self.driver == NVIDIA else None,
            amd=Amd() if self.driver == AMDGPU else None,
            intel=Intel() if self.driver in INTEL else None,
            gim=device.facts.gim if self.driver == device.driver else None,
        )
        return replace(device, driver=self.driver, detail=detail)

    def current(self, system: System) -> Binding:
        return binding(system, self.address)

    def do(self, system: System, deadline: float) -> None:
        bind(system, self.address, self.driver, self.override)

    def undo(self, before: Any, system: System) -> None:
        now = binding(system, self.address)
        if now == before:
            return
        if now.driver not in (None, self.driver, before.driver):
            raise NeedsPerson(
                f"cannot give {self.address} back to {before.driver or 'no driver'}: "
                f"somebody else has bound it to {now.driver} meanwhile",
                f"gpupass show {self.address}",
            )
        _reach(system, self.address, before.driver, before.override, now)


def binding(system: System, address: Address) -> Binding:
    """As it is now."""
    device = sysfs(address)
    override = system.read(f"{device}/driver_override")
    return Binding(
        driver=system.link(f"{device}/driver"),
        override=None if override in (None, "", "(null)") else override,
    )


def bind(system: System, address: Address, driver: str | None, override: str | None) -> None:
    """GpupassError when the kernel refuses or leaves another driver; NotClean when it does not return."""
    _reach(system, address, driver, override, binding(system, address))


def _reach(system: System, address: Address, driver: str | None, override: str | None, now: Binding) -> None:
    device = sysfs(address)
    if now.driver not in (None, driver):
        _require_closed(system, address, str(now.driver))
    if now.override != override:
        what = f"override the driver of {address}"
        system.write(f"{device}/driver_override", (override or "") + "\n", address, what=what)
    if now.driver not in (None, driver):
        _unbind(system, address, str(now.driver))
    if driver is not None and system.link(f"{device}/driver") != driver:
        _probe(system, address)
        if override is None and system.link(f"{device}/driver") not in (None, driver):
            _take_from_others(system, address, driver)
    found = system.link(f"{device}/driver")
    if found != driver:
        raise GpupassError(
            f"cannot bind {address} to {driver or 'no driver'}: "
            f"the kernel left it with {found or 'no driver'}",
            f"dmesg | grep {address}",
        )


def _probe(system: System, address: Address) -> None:
    try:
        what = f"probe {address}"
        system.write("/sys/bus/pci/drivers_probe", address, address, what=what, seconds=_PROBE_SECONDS)
    except KernelRefused:
        if system.link(sysfs(address, "driver")) is None:
            raise


def _take_from_others(system: System, address: Address, driver: str) -> None:
    """Whoever claims its ids, too (vfio-pci.ids=, new_id), was asked first: an override names one driver."""
    _unbind(system, address, str(system.link(sysfs(address, "driver"))))
    for name in (driver, ""):
        what = f"override the driver of {address}"
        system.write(sysfs(address, "driver_override"), name + "\n", address, what=what)
        if name:
            _probe(system, address)


def _unbind(system: System, address: Address, driver: str) -> None:
    with system.nvml.silent() if driver == NVIDIA else nullcontext():
        if driver == NVIDIA:
            _lock(system, address)
        try:
            unbind = sysfs(address, "driver/unbind")
            system.write(unbind, address, address, what=f"unbind {address}", seconds=_UNBIND_SECONDS)
        except KernelRefused:
            if system.link(sysfs(address, "driver")) is not None:
                raise


def _require_closed(system: System, address: Address, driver: str) -> None:
    """A look at the last moment: the kernel waits for whoever has opened it since, or takes it from a guest
    (VFIO asks QEMU for it, and QEMU unplugs it)."""
    until = system.monotonic() + _CLOSING
    while (who := _opener(system, address, driver)) is not None:
        if system.monotonic() >= until:
            raise GpupassError(f"cannot unbind {address} from {driver}: {who}", f"gpupass show {address}")
        system.sleep(_LOOK_AGAIN)


def _opener(system: System, address: Address, driver: str) -> str | None:
    if lends(driver):
        return opener(system, sysfs(address), address)
    found = host_holders(system, address)
    return f"{found[0].name} (process {found[0].pid}) has {found[0].node} open" if found else None


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
