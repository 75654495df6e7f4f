"""An A100 that is shared as vGPUs, simulated: what NVIDIA's driver offers, takes, refuses and forgets.

Both frameworks ("vendor": VF/nvidia/…, "mdev": VF/mdev_supported_types) and both ways to share (time-sliced, on GPU
instances). Sources: NVIDIA vGPU and AI Enterprise guides; Proxmox VE's qemu-server; kubevirt-gpu-device-plugin.
"""

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, Placement, measures_of
from tests.host_tree import Function
from tests.memory_tree import Link
from tests.mig_boards import board

if TYPE_CHECKING:
    from tests.simulated import Machine

CARD, UUID = "0000:0d:00.0", "GPU-0d0d0d0d-2222-3333-4444-555555555555"
MANAGE, NODE = "/usr/lib/nvidia/sriov-manage", "/dev/nvidia5"
VFS = 4
UNITS, UNIT = 8, 5  # of its framebuffer, GB of each
FUNCTIONS = (
    Function(
        address="0000:00:0d.0", ids="8086:1901", class_code=0x060400, driver="pcieport", group=60, reset=None
    ),
    Function(
        address=CARD,
        ids="10de:20b0",
        class_code=0x030200,
        driver="nvidia",
        group=61,
        parent="0000:00:0d.0",
        reset="flr bus",
        sriov=(VFS, 0),
        vf_layout=(4, 1, "20b0"),
    ),
)


@dataclass(frozen=True)
class Kind:
    """One vGPU type; `slices` of the GPU instance that a MIG-backed one fills."""

    id: int
    name: str
    memory: int  # GB
    slices: int | None = None

    @property
    def units(self) -> int:
        return self.memory // UNIT


KINDS = (
    Kind(470, "A100-5C", 5),
    Kind(471, "A100-10C", 10),
    Kind(472, "A100-20C", 20),
    Kind(473, "A100-40C", 40),
    Kind(474, "A100-1-5C", 5, 1),
    Kind(475, "A100-2-10C", 10, 2),
    Kind(476, "A100-3-20C", 20, 3),
)


class Vgpu(Struct, frozen=True):
    """`place`: its first unit, or the id of its GPU instance."""

    kind: Kind
    place: int
    params: str = ""
    mdev: str | None = None


class SimulatedVgpu:
    """`framework`: "vendor" or "mdev"; `script`: sriov-manage is there, and sriov_numvfs is refused.

    `tells_types`: NVML knows nvmlDeviceGetSupportedVgpus.
    """

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.framework = ""
        self.script = self.tells_types = True
        self.vgpus: dict[str, Vgpu] = {}  # by VF
        self.mig, self.pending = False, False
        self.gpu = MigGpu(profiles=())
        self._forget()

    def install(self, framework: str, script: bool = True) -> None:
        self.framework, self.script = framework, script
        self.gpu = board("A100-40")
        text = f"GPU UUID: \t {UUID}\nDevice Minor: \t 5\n"
        self.machine.put(f"/proc/driver/nvidia/gpus/{CARD}/information", text)
        self.machine.put(NODE, "")
        self.machine.register_driver("nvidia")
        if script:
            self.machine.put(MANAGE, "")

    def has(self, address: str) -> bool:
        return bool(self.framework) and address == CARD

    # what is there

    def is_vgpu(self, vf: str) -> bool:
        """A VF that has a type can be opened though it is not on vfio-pci."""
        return vf in self.vgpus and self.framework == "vendor"

    def group(self, mdev: str) -> int:
        return 300 + self._vfs().index(self._holder(mdev))

    def in_use(self, vf: str) -> bool:
        vgpu = self.vgpus.get(vf)
        by_mdev = vgpu is not None and vgpu.mdev is not None
        group = self.group(vgpu.mdev) if by_mdev else self.machine.functions[vf].group
        return bool(self.machine.open_by(f"/dev/vfio/{group}"))

    def creatable(self, vf: str) -> tuple[Kind, ...]:
        return () if vf in self.vgpus else tuple(kind for kind in KINDS if self._room(kind) is not None)

    def snapshot(self) -> dict[str, object]:
        if not self.framework:
            return {}
        return {
            "vgpus": {
                vf: (one.kind.name, one.mdev, "".join(sorted(one.params.split(","))))
                for vf, one in sorted(self.vgpus.items())
            },
            "card": (self.mixed, self.scheduler),
            "mig": (self.mig, self.pending, self.instances()),
        }

    def instances(self) -> list[tuple[str, list[str]]]:
        return sorted((one.name, [part.name for part in one.compute]) for one in self.gpu.instances)

    def _vfs(self) -> list[str]:
        return [self.machine.sriov.address(CARD, number) for number in range(VFS)]

    def _holder(self, mdev: str) -> str:
        return next(vf for vf, one in self.vgpus.items() if one.mdev == mdev)

    def _room(self, kind: Kind) -> int | None:
        """Where one more could be: units in the order of addresses, GPU instances in the order of their ids."""
        there = self.vgpus.values()
        if kind.slices is not None:
            fitting = (
                one for one in self.gpu.instances if measures_of(one.profile) == (kind.slices, kind.memory)
            )
            free = {one.id for one in fitting} - {one.place for one in there}
            return min(free, default=None) if self.mig else None
        if self.mig or (not self.mixed and any(one.kind.memory != kind.memory for one in there)):
            return None
        taken = {one.place + unit for one in there for unit in range(one.kind.units)}
        starts = range(0, UNITS - kind.units + 1, kind.units)
        return next((s for s in starts if taken.isdisjoint(range(s, s + kind.units))), None)

    # what is written to it

    def owns(self, path: str) -> bool:
        where, _, name = path.rpartition("/")
        return bool(self.framework) and (
            name in ("current_vgpu_type", "vgpu_params")
            or (name == "create" and "/mdev_supported_types/" in where)
            or path.startswith("/sys/bus/mdev/devices/")
        )

    def store(self, path: str, text: str) -> None:
        where, _, name = path.rpartition("/")
        if self.machine.read(path) is None:
            raise OSError(errno.ENOENT, "No such file or directory", path)
        here = self.machine.files.real(where)
        vf = next(vf for vf in self._vfs() if f"/{vf}/" in f"{here}/")
        match name:
            case "current_vgpu_type":
                self._set_type(vf, text)
            case "vgpu_params":
                self._tell(vf, text)
            case "create":
                self._create(vf, next(kind for kind in KINDS if where.endswith(f"/nvidia-{kind.id}")), text)
            case "remove":
                self._remove(vf)
        self._show()

    def _set_type(self, vf: str, text: str) -> None:
        if text == "0":
            if self.in_use(vf):
                raise OSError(errno.EPERM, "Operation not permitted")
            self.vgpus.pop(vf, None)
            return
        if vf in self.vgpus:
            raise OSError(errno.EBUSY, "Device or resource busy")
        kind = next((kind for kind in self.creatable(vf) if str(kind.id) == text), None)
        if kind is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.vgpus[vf] = Vgpu(kind, self._room(kind))

    def _create(self, vf: str, kind: Kind, mdev: str) -> None:
        if any(one.mdev == mdev for one in self.vgpus.values()):
            raise OSError(errno.EEXIST, "File exists")
        if kind not in self.creatable(vf):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.vgpus[vf] = Vgpu(kind, self._room(kind), mdev=mdev)

    def _remove(self, vf: str) -> None:
        if self.in_use(vf):
            raise OSError(errno.EBUSY, "Device or resource busy")
        self._hide_mdev(vf)
        del self.vgpus[vf]

    def _tell(self, vf: str, text: str) -> None:
        if vf not in self.vgpus:
            raise OSError(errno.ENXIO, "No such device or address")
        if self.in_use(vf):
            raise OSError(errno.EPERM, "Operation not permitted")
        old = dict(pair.split("=") for pair in self.vgpus[vf].params.split(",") if pair)
        new = dict(pair.split("=") for pair in text.split())
        params = ",".join(f"{key}={value}" for key, value in (old | new if new else {}).items())
        self.vgpus[vf] = replace(self.vgpus[vf], params=params)

    # the functions and their driver

    def manage(self, verb: str, address: str) -> None:
        """sriov-manage -e, -d: the driver lets go of the card and takes it again."""
        if address != CARD or self.machine.driver(CARD) != "nvidia":
            raise GpupassError(f"cannot run sriov-manage: {address} is not managed by nvidia driver")
        if self.machine.open_by(NODE) or self.vgpus:
            raise GpupassError("cannot run sriov-manage: Cannot obtain unbindLock")
        if verb == "-e" and self.machine.sriov.number(CARD):
            return
        self._forget()
        if verb == "-e":
            self.machine.sriov.enable(CARD, VFS, "nvidia")
        else:
            self.machine.sriov.remove(CARD)

    def require_changeable(self, pf: str) -> None:
        """Before another number is written to sriov_numvfs."""
        if self.has(pf) and (self.script or self.vgpus):
            raise OSError(errno.EBUSY if self.vgpus else errno.EINVAL, "refused by the nvidia driver")

    def driver_changed(self, address: str, driver: str | None) -> None:
        if self.has(address) and driver != "nvidia":
            self._forget()
        if not self.framework or address not in self._vfs():
            return
        if driver == "nvidia":
            self._appear(address)
        else:
            self.gone(address)

    def gone(self, vf: str) -> None:
        """With whatever was made of it."""
        if not self.framework or vf not in self._vfs():
            return
        files, group = self.machine.files, self.machine.functions[vf].group
        if vf in self.vgpus:
            self._hide_mdev(vf)
            del self.vgpus[vf]
        for path in (f"/sys/class/mdev_bus/{vf}", f"/sys/class/vfio-dev/vfio{group}", f"/dev/vfio/{group}"):
            files.remove(path)
        for name in ("nvidia", "vfio-dev", "mdev_supported_types"):
            files.remove(f"{self.machine.tree.path(vf)}/{name}")
        self._show()

    def reboot(self) -> None:
        """An A100 keeps its MIG mode."""
        for vf in list(self.vgpus):
            self.gone(vf)
        self._forget()
        self.mig = self.pending

    def _forget(self) -> None:
        self.mixed, self.scheduler = False, "best-effort"
        self.gpu = replace(self.gpu, instances=())

    # NVML

    def set_mig(self, on: bool) -> str:
        """What it waits for. No mode changes beside a vGPU, none ends beside VFs."""
        if self.vgpus or (self.machine.sriov.number(CARD) and not on):
            return "it is in use"
        self.pending = on
        return ""

    def reset(self) -> None:
        if self.vgpus or self.machine.open_by(NODE):
            raise GpupassError(
                f"cannot run nvidia-smi: GPU {CARD} is currently being used by one or more others"
            )
        self._forget()
        self.mig = self.pending
        self._show()

    def set_mixed(self, mixed: bool) -> None:
        if self.mig or self.vgpus:
            raise GpupassError(f"cannot let vGPUs share {CARD}: it is in use, or in MIG mode")
        self.mixed = mixed
        self._show()

    def set_scheduler(self, policy: str) -> None:
        if any(self.in_use(vf) for vf in self.vgpus):
            raise GpupassError(f"cannot have the vGPUs of {CARD} take turns: it is in use")
        self.scheduler = policy

    def make_instance(self, profile_id: int, place: Placement) -> None:
        if self.instance(profile_id, place.start) is not None:
            return
        profile = next(one for one in self.gpu.profiles if one.id == profile_id)
        overlaps = any(one.placement.mask & place.mask for one in self.gpu.instances)
        if not self.mig or overlaps or place not in profile.placements:
            raise GpupassError(f"cannot make {profile.name} on {CARD}: insufficient resources")
        number = min(set(range(1, 9)) - {one.id for one in self.gpu.instances})
        made = GpuInstance(id=number, profile=profile.name, placement=place)
        self._recut(*self.gpu.instances, made)

    def destroy_instance(self, profile_id: int, start: int) -> None:
        gone = self.instance(profile_id, start)
        if gone is None:
            return
        if gone.compute or any(one.kind.slices and one.place == gone.id for one in self.vgpus.values()):
            raise GpupassError(f"cannot destroy {gone.name} of {CARD}: it is in use")
        self._recut(*(one for one in self.gpu.instances if one != gone))

    def instance(self, profile_id: int, start: int) -> GpuInstance | None:
        names = {one.name for one in self.gpu.profiles if one.id == profile_id}
        found = (one for one in self.gpu.instances if one.placement.start == start and one.profile in names)
        return next(found, None)

    def set_compute(self, profile_id: int, start: int, place: Placement, present: bool) -> None:
        old = self.instance(profile_id, start)
        if old is None and not present:
            return
        if old is None:
            raise GpupassError(f"cannot make a part on {CARD}: its GPU instance is gone")
        rest = tuple(part for part in old.compute if part.placement != place)
        parts = (*rest, ComputeInstance(id=place.start, placement=place)) if present else rest
        new = replace(old, compute=tuple(sorted(parts, key=lambda part: part.placement)))
        self._recut(*(new if one == old else one for one in self.gpu.instances))

    def _recut(self, *instances: GpuInstance) -> None:
        ordered = sorted(instances, key=lambda one: (one.placement, one.profile))
        self.gpu = replace(self.gpu, instances=tuple(ordered))
        self._show()

    # what it shows

    def _appear(self, vf: str) -> None:
        path, group = self.machine.tree.path(vf), self.machine.functions[vf].group
        if self.framework == "vendor":
            self.machine.put(f"{path}/vfio-dev/vfio{group}/dev", "")
            self.machine.files.put(f"/sys/class/vfio-dev/vfio{group}/device", Link(path))
            self.machine.put(f"/dev/vfio/{group}", "")
            self.machine.put(f"{path}/nvidia/current_vgpu_type", "0\n")
        else:
            self.machine.files.put(f"/sys/class/mdev_bus/{vf}", Link(path))
            for kind in KINDS:
                directory = f"{path}/mdev_supported_types/nvidia-{kind.id}"
                self.machine.put(f"{directory}/name", f"GRID {kind.name}\n")
                self.machine.put(f"{directory}/device_api", "vfio-pci\n")
                self.machine.put(f"{directory}/create", "")
                self.machine.put(f"{directory}/available_instances", "0\n")
        self._show()

    def _show(self) -> None:
        for vf in self._vfs():
            path = self.machine.tree.path(vf) if vf in self.machine.functions else ""
            if path and self.framework == "vendor" and self.machine.exists(f"{path}/nvidia"):
                self._show_type(vf, f"{path}/nvidia")
            elif path and self.machine.exists(f"{path}/mdev_supported_types"):
                self._show_mdev(vf, path)

    def _show_type(self, vf: str, directory: str) -> None:
        vgpu = self.vgpus.get(vf)
        lines = [f"{kind.id} : NVIDIA {kind.name}\n" for kind in self.creatable(vf)]
        self.machine.put(f"{directory}/creatable_vgpu_types", "".join(["ID    : vGPU Name\n", *lines]))
        self.machine.put(f"{directory}/current_vgpu_type", f"{vgpu.kind.id if vgpu else 0}\n")
        self.machine.put(f"{directory}/vgpu_params", f"{vgpu.params if vgpu else ''}\n")
        if vgpu is not None and vgpu.kind.slices is not None:
            self.machine.put(f"{directory}/gpu_instance_id", f"{vgpu.place}\n")
        else:
            self.machine.files.remove(f"{directory}/gpu_instance_id")

    def _show_mdev(self, vf: str, path: str) -> None:
        creatable = self.creatable(vf)
        for kind in KINDS:
            directory = f"{path}/mdev_supported_types/nvidia-{kind.id}"
            self.machine.put(f"{directory}/available_instances", f"{int(kind in creatable)}\n")
        vgpu = self.vgpus.get(vf)
        if vgpu is None:
            return
        here, group = f"{path}/{vgpu.mdev}", self.group(vgpu.mdev)
        if not self.machine.exists(here):
            self.machine.files.put(f"/sys/bus/mdev/devices/{vgpu.mdev}", Link(here))
            self.machine.files.put(
                f"{here}/mdev_type", Link(f"{path}/mdev_supported_types/nvidia-{vgpu.kind.id}")
            )
            self.machine.files.put(f"{here}/iommu_group", Link(f"/sys/kernel/iommu_groups/{group}"))
            self.machine.put(f"{here}/remove", "")
            self.machine.put(f"/dev/vfio/{group}", "")
        self.machine.put(f"{here}/nvidia/vgpu_params", f"{vgpu.params}\n")

    def _hide_mdev(self, vf: str) -> None:
        mdev = self.vgpus[vf].mdev
        if mdev is not None:
            self.machine.files.remove(f"/dev/vfio/{self.group(mdev)}")
            self.machine.files.remove(f"/sys/bus/mdev/devices/{mdev}")
            self.machine.files.remove(f"{self.machine.tree.path(vf)}/{mdev}")
