"""What of a function is set for its guest: how it is reset, whether it may sleep, how large a BAR is.

vfio-pci's own disable_idle_d3 is read when the module is loaded, and is of all devices; power/control is of
one, at any time (drivers/vfio/pci/vfio_pci.c, Documentation/power/runtime_pm.rst).
"""

from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, KernelRefused, NeedsPerson
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.step import NOTHING, Facts, Kind, Rank, Step, facts
from gpupass.steps.bind import bind, binding
from gpupass.system import System

RESET_METHOD, POWER = "reset-method", "power"
ALWAYS_ON, AS_VFIO_HAS_IT = "on", "auto"  # of POWER
_FILES = {RESET_METHOD: "reset_method", POWER: "power/control"}
_MIB = 20  # bit 0 of resourceN_resize means 1 MiB (Documentation/ABI/testing/sysfs-bus-pci)


class Tuning(Step, frozen=True, kw_only=True):
    """`back`: as it was before it was lent."""

    address: Address
    back: bool = False

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def _tuned(self) -> Facts:
        return facts((Kind.TUNED, self.address))

    @property
    def needs(self) -> Facts:
        return super().needs | (facts((Kind.CLOSED, self.address)) if self.back else NOTHING)

    @property
    def gives(self) -> Facts:
        return NOTHING if self.back else self._tuned

    @property
    def ends(self) -> Facts:
        return self._tuned if self.back else NOTHING

    @property
    def _as(self) -> str:
        return " again" if self.back else ""


def still_ours(what: str, now: str | None, ours: str, before: str | None, hint: Callable[[], str]) -> bool:
    """Is it to be put back? NeedsPerson: somebody else has changed it meanwhile."""
    if before is None or now in (None, before):
        return False
    if now != ours:
        raise NeedsPerson(f"cannot put {what} back to {before}: it is {now} now", hint())
    return True


class Tune(Tuning, frozen=True, kw_only=True):
    """One attribute of the function. ValueError: there is no such setting."""

    setting: str
    value: str

    Before: ClassVar[Any] = str | None

    def __post_init__(self) -> None:
        if self.setting not in _FILES or not self.value.isprintable():
            raise ValueError(f"{self.setting!r} is no setting")

    @property
    def _path(self) -> str:
        return sysfs(self.address, _FILES[self.setting])

    def words(self) -> str:
        return f"set {_FILES[self.setting]} of {self.address} to {self.value or 'none'}{self._as}"

    def after(self, host: Host) -> Host:
        if self.setting == POWER:
            others = host.awake - {self.address}
            return replace(host, awake=others | {self.address} if self.value == ALWAYS_ON else others)
        methods = tuple(self.value.split())

        def changed(device: Device) -> Device:
            return replace(device, detail=replace(device.facts, reset_methods=methods))

        return host.altered(self.address, changed)

    def current(self, system: System) -> str | None:
        return system.read(self._path)

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the kernel makes something else of it."""
        self._write(system, self.value)

    def undo(self, before: Any, system: System) -> None:
        what = f"{_FILES[self.setting]} of {self.address}"
        if still_ours(what, self.current(system), self.value, before, lambda: f"cat {self._path}"):
            self._write(system, before)

    def _write(self, system: System, value: str) -> None:
        if self.current(system) == value:
            return
        what = f"set {_FILES[self.setting]} of {self.address} to {value}"
        system.write(self._path, f"{value}\n", self.address, what=what)
        now = self.current(system)
        if now != value:
            raise GpupassError(f"cannot {what}: the kernel made it {now or 'nothing'}", f"cat {self._path}")


class Bar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large it is, and whose the function."""

    size: int
    driver: str | None
    override: str | None


class ResizeBar(Tuning, frozen=True, kw_only=True):
    """Another size for a resizable BAR: without a driver, which it has again afterwards."""

    bar: int
    size: int  # bytes
    driver: str  # that lends it

    Before: ClassVar[Any] = Bar

    @property
    def rank(self) -> Rank:
        """Before what a driver that comes anew would set back."""
        return (1,)

    @property
    def without(self) -> Facts:
        return facts((Kind.LENT, self.address))

    def words(self) -> str:
        return f"make BAR {self.bar} of {self.address} {self.size >> _MIB} MiB{self._as}"

    def seconds(self) -> float:
        return 1.0

    def after(self, host: Host) -> Host:
        def changed(device: Device) -> Device:
            bars = (
                replace(bar, size=self.size) if bar.index == self.bar else bar for bar in device.facts.bars
            )
            return replace(device, detail=replace(device.facts, bars=tuple(bars)))

        return host.altered(self.address, changed)

    def current(self, system: System) -> Bar:
        now = binding(system, self.address)
        return Bar(size=self._size(system), driver=now.driver, override=now.override)

    def do(self, system: System, deadline: float) -> None:
        """KernelRefused where the ports above have no room; it has its driver again then, too."""
        self._resize(system, self.size, self.driver, self.driver)

    def undo(self, before: Any, system: System) -> None:
        now = self.current(system)
        if now == before:
            return
        if now.size not in (before.size, self.size) or now.driver not in (None, before.driver, self.driver):
            raise NeedsPerson(
                f"cannot put BAR {self.bar} of {self.address} back: somebody else has changed it meanwhile",
                f"gpupass show {self.address}",
            )
        self._resize(system, before.size, before.driver, before.override)

    def _resize(self, system: System, size: int, driver: str | None, override: str | None) -> None:
        awake, power = False, sysfs(self.address, _FILES[POWER])
        if self._size(system) != size:
            what = f"make BAR {self.bar} of {self.address} {size >> _MIB} MiB"
            awake = system.read(power) == ALWAYS_ON
            bind(system, self.address, None, override)
            try:
                path = sysfs(self.address, f"resource{self.bar}_resize")
                system.write(path, str((size >> _MIB).bit_length() - 1), self.address, what=what)
            except KernelRefused:
                bind(system, self.address, driver, override)
                raise
        bind(system, self.address, driver, override)
        if awake and system.read(power) != ALWAYS_ON:  # vfio-pci begins anew
            system.write(power, f"{ALWAYS_ON}\n", self.address)
        if self._size(system) != size:
            raise GpupassError(
                f"cannot make BAR {self.bar} of {self.address} {size >> _MIB} MiB: the kernel left it",
                f"dmesg | grep {self.address}",
            )

    def _size(self, system: System) -> int:
        lines = (system.read(sysfs(self.address, "resource")) or "").splitlines()
        words = lines[self.bar].split() if self.bar < len(lines) else []
        start, end = (int(words[0], 16), int(words[1], 16)) if len(words) == 3 else (0, 0)
        return end - start + 1 if end else 0
