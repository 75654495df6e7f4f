"""How many virtual functions: sriov_drivers_autoprobe, then sriov_numvfs, through 0 where it has others.

Source: Documentation/ABI/testing/sysfs-bus-pci; drivers/pci/iov.c refuses one number after another (EBUSY)
and waits for ever in a removal under an open VFIO file.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address, sysfs
from gpupass.model.host import SRIOV_MANAGE, Detail, Device, Host, vf_address
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.steps import attribute
from gpupass.steps.bind import Binding, bind, binding
from gpupass.steps.release import opener
from gpupass.system import System

_SCRIPT_SECONDS = 120.0
_SETTLE_SECONDS = 30.0
_LOOK_AGAIN = 0.2
_SECONDS = 60.0  # a PF's driver talks to its firmware, VF drivers probe


class Functions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many VFs, may the kernel bind new ones, who drives those that are there, what goes with them."""

    count: int
    autoprobe: bool
    vfs: dict[Address, Binding]
    kept: dict[str, str | None]


class SetVfs(Step, frozen=True, kw_only=True):
    """How many virtual functions a physical function has; another number than before goes through none.

    `script`: NVIDIA's sriov-manage makes them, always all of them; its driver refuses the kernel's own way.
    `keep`: files of the PF that lose their values with the functions; a rollback that makes these again sets
    them before.
    """

    address: Address
    count: int
    autoprobe: bool  # may the kernel bind new ones to their host driver?
    script: bool = False
    keep: tuple[str, ...] = ()

    Before: ClassVar[Any] = Functions
    beside: ClassVar[str] = "its virtual functions cannot go"

    def __post_init__(self) -> None:
        for path in self.keep:
            attribute.require_file_of(self.address, path)

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def needs(self) -> Facts:
        shares = ((Kind.SHARES, self.address),) if self.count else ()
        return facts((Kind.DRIVER, self.address), *shares)

    @property
    def gives(self) -> Facts:
        return facts((Kind.VFS, self.address)) if self.count else NOTHING

    @property
    def ends(self) -> Facts:
        """A function that goes takes its share with it."""
        return NOTHING if self.count else facts((Kind.VFS, self.address), (Kind.SHARES, self.address))

    @property
    def without(self) -> Facts:
        """NVIDIA's script binds the card anew, which loses its GPU instances and how vGPUs share it."""
        lost = (Kind.INSTANCE, Kind.MIXED, Kind.TURNS) if self.script else ()
        return facts(*((kind, self.address) for kind in (Kind.CUT, Kind.LENT, Kind.AT_WORK, *lost)))

    def words(self) -> str:
        if not self.count:
            return f"remove the virtual functions of {self.address}"
        return f"have {self.count} virtual function{'' if self.count == 1 else 's'} on {self.address}"

    def seconds(self) -> float:
        return 2.0

    def after(self, host: Host) -> Host:
        pf = host.device(self.address)
        sriov = pf.facts.sriov if pf is not None else None
        anew = self.script and sriov is not None and sriov.enabled != self.count
        host = with_vfs(host, self.address, self.count, self.autoprobe)
        return host.altered(self.address, _bound_anew) if anew else host

    def current(self, system: System) -> Functions:
        """With the drivers of the VFs there are, which another number would lose."""
        device = sysfs(self.address)
        return Functions(
            count=int(system.read(f"{device}/sriov_numvfs") or 0),
            autoprobe=system.read(f"{device}/sriov_drivers_autoprobe") != "0",
            vfs=bindings(system, self.address),
            kept={path: attribute.read(system, path) for path in self.keep},
        )

    def do(self, system: System, deadline: float) -> None:
        """GpupassError, with the kernel's own line, when the kernel makes fewer than asked for or none."""
        _reach(system, self, self.count, self.autoprobe, self.current(system))

    def undo(self, before: Any, system: System) -> None:
        now = self.current(system)
        if now == before:
            return
        if now.count not in (0, self.count, before.count):
            raise NeedsPerson(
                f"cannot give {self.address} its {before.count} virtual functions back: "
                f"somebody else has made {now.count} meanwhile",
                f"gpupass show {self.address}",
            )
        _reach(system, self, before.count, before.autoprobe, now, before.kept)
        if before.count != self.count:  # the VFs were made anew
            bind_again(system, before.vfs)


def with_vfs(host: Host, address: Address, count: int, autoprobe: bool | None = None) -> Host:
    """The host after the PF has so many; where a PF without VFs cannot tell their places there are none."""
    pf = host.device(address)
    if pf is None or pf.facts.sriov is None:
        return host
    sriov = pf.facts.sriov if autoprobe is None else replace(pf.facts.sriov, autoprobe=autoprobe)
    if sriov.enabled != count:
        numbers = range(count)
        addresses = tuple(a for n in numbers if (a := vf_address(address, sriov, n)) is not None)
        sriov = replace(sriov, enabled=count, vfs=addresses)
        rest = tuple(device for device in host.devices if device.physfn != address)
        least = min((d.group for d in rest if d.group is not None and d.group < 0), default=0)
        new = (_new_vf(pf, vf, least - 1 - number) for number, vf in enumerate(addresses))
        host = replace(host, devices=tuple(sorted((*rest, *new), key=lambda device: device.address)))
    return host.altered(address, lambda d: replace(d, detail=replace(d.facts, sriov=sriov)))


def _new_vf(pf: Device, address: Address, group: int) -> Device:
    """SR-IOV asks for a function level reset; the group is its own, with a number the kernel never uses."""
    sriov = pf.facts.sriov
    return Device(
        address=address,
        vendor=pf.vendor,
        device=(sriov.vf_device if sriov is not None else None) or pf.device,
        class_code=pf.class_code,
        group=group,
        parent=pf.parent,
        physfn=pf.address,
        detail=Detail(reset_methods=("flr",), numa_node=pf.facts.numa_node),
    )


def _bound_anew(device: Device) -> Device:
    """NVIDIA's script lets go of the GPU, which forgets its instances and how its vGPUs share it."""
    nvidia = device.facts.nvidia
    if nvidia is None:
        return device
    gpu = nvidia.mig.gpu if nvidia.mig is not None else None
    cut = replace(nvidia.mig, gpu=replace(gpu, instances=())) if nvidia.mig and gpu else nvidia.mig
    card = replace(nvidia.vgpu_card, mixed=False) if nvidia.vgpu_card is not None else None
    return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, mig=cut, vgpu_card=card)))


def bindings(system: System, pf: Address) -> dict[Address, Binding]:
    """Who drives each VF that is there."""
    return {vf: binding(system, vf) for vf in _vfs(system, pf)}


def bind_again(system: System, had: dict[Address, Binding]) -> None:
    """VFs that were made anew, to the drivers they had."""
    for vf, before in had.items():
        bind(system, vf, before.driver, before.override)


def _vfs(system: System, pf: Address) -> Iterator[Address]:
    device = sysfs(pf)
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
        return _by_script(system, address, count, now.count)
    if now.autoprobe != autoprobe:
        _write(system, address, "sriov_drivers_autoprobe", str(int(autoprobe)))
    if now.count == count:
        return
    if now.count:
        require_closed(system, address)
        _write(system, address, "sriov_numvfs", "0")
    if not count:
        return
    for path, value in (kept or {}).items():
        if value is not None:
            attribute.write(system, address, path, value)
    log = system.kernel_log()
    _write(system, address, "sriov_numvfs", str(count))
    made = int(system.read(sysfs(address, "sriov_numvfs")) or 0)
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
    with system.nvml.silent():  # it takes the card's unbindLock
        system.run(SRIOV_MANAGE, "-e" if count else "-d", address, timeout=_SCRIPT_SECONDS, about=(address,))
    deadline = system.monotonic() + _SETTLE_SECONDS
    while True:
        vfs = tuple(_vfs(system, address))
        driven = all(system.link(sysfs(vf, "driver")) is not None for vf in vfs)
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
        who = opener(system, sysfs(vf), vf)
        if who is not None:
            raise GpupassError(
                f"cannot remove the virtual functions of {address}: {vf} is in use: {who}",
                f"gpupass show {vf}",
            )


def _write(system: System, address: Address, name: str, value: str) -> None:
    what = f"write {value} to {name} of {address}"
    system.write(sysfs(address, name), value, address, what=what, seconds=_SECONDS)
