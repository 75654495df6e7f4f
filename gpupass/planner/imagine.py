"""The host as it will be after some steps, so that one plan can stand on another; pure."""

from collections.abc import Callable
from typing import assert_never

from msgspec.structs import replace

from gpupass.methods.amd import DRIVER as AMDGPU
from gpupass.methods.amd import compute_path
from gpupass.methods.gim import counts_of
from gpupass.methods.intel import DRIVERS as INTEL
from gpupass.methods.sriov import vf_address
from gpupass.model.address import Address
from gpupass.model.amd import Amd
from gpupass.model.domain import Domain, Hostdev
from gpupass.model.host import Detail, Device, Host, Mdev, VgpuCard
from gpupass.model.intel import Intel
from gpupass.model.step import (
    AttachDevice,
    AwaitRelease,
    BindDriver,
    DetachDevice,
    EnableUnit,
    LoadModule,
    Refresh,
    ReloadModule,
    ResetDevice,
    ResetGpu,
    SetAttribute,
    SetComputeInstance,
    SetGpuInstance,
    SetMdev,
    SetMemoryPartition,
    SetMigMode,
    SetPersistence,
    SetVfs,
    SetVgpuParams,
    SetVgpuScheduler,
    SetVgpuSharing,
    SetVgpuType,
    Step,
    WriteFile,
    WriteRecord,
)
from gpupass.model.user import User, UserKind
from gpupass.planner.imagine_mig import cut_after


def imagine(host: Host, steps: tuple[Step, ...]) -> Host:
    for step in steps:
        host = _after(host, step)
    return host


def _after(host: Host, step: Step) -> Host:
    match step:
        case BindDriver():
            return _change(host, step.address, lambda device: _bound(device, step))
        case SetVfs():
            return _with_vfs(host, step)
        case SetMigMode() | ResetGpu() | SetGpuInstance() | SetComputeInstance():
            return _change(host, step.address, lambda device: cut_after(device, step))
        case SetMdev():
            return _change(host, step.address, lambda device: _with_mdev(device, step))
        case SetVgpuType():
            return _change(host, step.address, lambda device: _with_type(device, step.id))
        case SetVgpuSharing():
            return _change(host, step.address, lambda device: _with_card(device, mixed=step.mixed))
        case SetVgpuScheduler():
            return _change(host, step.address, lambda device: _with_card(device, scheduler=step.policy))
        case SetVgpuParams():
            return _change(host, step.address, lambda device: _with_params(device, step))
        case SetPersistence():
            return _change(host, step.address, lambda device: _persistent(device, step.on))
        case WriteRecord():
            about = (step.kind, step.address, step.mdev)
            others = (r for r in host.records if (r.kind, r.address, r.mdev) != about)
            return replace(host, records=(*others, *([step.record] if step.record else [])))
        case AttachDevice():
            host = _change(host, step.address, lambda device: _lent(device, step))
            return _in_domain(host, step.uuid, lambda domain: _with(domain, step))
        case DetachDevice():
            host = _change(host, step.address, lambda device: _returned(device, step))
            return _in_domain(host, step.uuid, lambda domain: _without(domain, step))
        case LoadModule() | ResetDevice() | AwaitRelease() | WriteFile() | EnableUnit() | Refresh():
            return host
        case SetAttribute() if step.path == compute_path(step.address):
            return _change(host, step.address, lambda device: _with_compute(device, step.value))
        case SetAttribute():  # nothing that a later step depends on
            return host
        case SetMemoryPartition():
            for address in step.addresses:
                host = _change(host, address, lambda device: _with_memory(device, step.mode))
            return host
        case ReloadModule():
            for address, count in zip(step.addresses, counts_of(step), strict=False):
                host = _with_vfs_anew(host, address, count)
            return host
        case _:
            assert_never(step)


def _with_memory(device: Device, mode: str) -> Device:
    """Which compute mode it will have then the driver decides."""
    amd = device.facts.amd
    if amd is None:
        return device
    new = replace(amd, memory=mode, compute="", computes=(), partitions=())
    return replace(device, detail=replace(device.facts, amd=new))


def _with_compute(device: Device, mode: str) -> Device:
    """Its partitions show at the next look."""
    amd = device.facts.amd
    if amd is None:
        return device
    return replace(device, detail=replace(device.facts, amd=replace(amd, compute=mode, partitions=())))


def _with_vfs_anew(host: Host, address: Address, count: int) -> Host:
    pf = host.device(address)
    if pf is None or pf.facts.sriov is None:
        return host
    autoprobe = pf.facts.sriov.autoprobe
    for number in (0, count):
        host = _with_vfs(host, SetVfs(address=address, count=number, autoprobe=autoprobe))
    return host


def _change(host: Host, address: Address, change: Callable[[Device], Device]) -> Host:
    return replace(host, devices=tuple(change(d) if d.address == address else d for d in host.devices))


def _bound(device: Device, step: BindDriver) -> Device:
    nvidia = device.facts.nvidia if step.driver == "nvidia" else None
    amd = Amd() if step.driver == AMDGPU else None  # to be seen when it is so
    intel = Intel() if step.driver in INTEL else None
    gim = device.facts.gim if step.driver == device.driver else None
    detail = replace(
        device.facts, driver_override=step.override, nvidia=nvidia, amd=amd, intel=intel, gim=gim
    )
    return replace(device, driver=step.driver, detail=detail)


def _persistent(device: Device, on: bool) -> Device:
    nvidia = device.facts.nvidia
    if nvidia is None:
        return device
    return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, persistence=on)))


def _with_mdev(device: Device, step: SetMdev) -> Device:
    """How many more there can be is known for types of which there was one left, and for no other."""
    others = tuple(mdev for mdev in device.facts.mdevs if mdev.uuid != step.uuid)
    mdevs = (*others, Mdev(uuid=step.uuid, type=step.type)) if step.present else others
    return replace(device, detail=replace(device.facts, mdevs=mdevs))


def _with_type(device: Device, type_id: int) -> Device:
    vgpu = device.facts.vgpu
    if vgpu is None:
        return device
    return replace(device, detail=replace(device.facts, vgpu=replace(vgpu, current=type_id)))


def _with_card(device: Device, mixed: bool | None = None, scheduler: str | None = None) -> Device:
    nvidia = device.facts.nvidia
    if nvidia is None:
        return device
    had = nvidia.vgpu_card or VgpuCard()
    card = replace(had, mixed=had.mixed if mixed is None else mixed, scheduler=scheduler or had.scheduler)
    return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, vgpu_card=card)))


def _with_params(device: Device, step: SetVgpuParams) -> Device:
    if step.mdev is not None:
        mdevs = (replace(m, params=step.params) if m.uuid == step.mdev else m for m in device.facts.mdevs)
        return replace(device, detail=replace(device.facts, mdevs=tuple(mdevs)))
    vgpu = device.facts.vgpu
    if vgpu is None:
        return device
    return replace(device, detail=replace(device.facts, vgpu=replace(vgpu, params=step.params)))


def _lent(device: Device, step: AttachDevice) -> Device:
    user = User(kind=UserKind.DOMAIN, name=step.domain, detail=step.alias)
    if step.mdev is None:
        return replace(device, users=(*device.users, user))
    through = replace(user, detail=f"mdev {step.mdev}")
    return _change_mdev(
        replace(device, users=(*device.users, through)), step.mdev, lambda users: (*users, user)
    )


def _returned(device: Device, step: DetachDevice) -> Device:
    """With the domain its QEMU lets go, too."""
    if step.mdev is None:
        return replace(device, users=_released(device.users, step.domain))
    through = User(kind=UserKind.DOMAIN, name=step.domain, detail=f"mdev {step.mdev}")
    had = (user for mdev in device.facts.mdevs if mdev.uuid == step.mdev for user in mdev.users)
    gone = {through, *(user for user in had if user.kind is UserKind.PROCESS)}
    users = tuple(user for user in device.users if user not in gone)
    return _change_mdev(replace(device, users=users), step.mdev, lambda users: _released(users, step.domain))


def _released(users: tuple[User, ...], domain: str) -> tuple[User, ...]:
    gone = (UserKind.DOMAIN, UserKind.PROCESS)
    return tuple(u for u in users if u.kind not in gone or (u.kind is gone[0] and u.name != domain))


def _change_mdev(device: Device, uuid: str, change: Callable[[tuple[User, ...]], tuple[User, ...]]) -> Device:
    mdevs = tuple(
        replace(mdev, users=change(mdev.users)) if mdev.uuid == uuid else mdev for mdev in device.facts.mdevs
    )
    return replace(device, detail=replace(device.facts, mdevs=mdevs))


def _in_domain(host: Host, uuid: str, change: Callable[[Domain], Domain]) -> Host:
    return replace(host, domains=tuple(change(d) if d.uuid == uuid else d for d in host.domains))


def _with(domain: Domain, step: AttachDevice) -> Domain:
    address = step.address if step.mdev is None else None
    hostdev = Hostdev(address=address, mdev=step.mdev, alias=step.alias, unassigned=not step.exposed)
    free = next((port for port in domain.ports if port.hotplug and not port.occupied), None)
    ports = domain.ports
    if step.exposed and free is not None:
        ports = tuple(replace(port, occupied=True) if port == free else port for port in ports)
        hostdev = replace(hostdev, guest=Address(f"0000:{free.index:02x}:00.0"))
    return replace(domain, live=(*domain.live, hostdev), ports=ports)


def _without(domain: Domain, step: DetachDevice) -> Domain:
    address = step.address if step.mdev is None else None
    gone = next((h for h in domain.live if (h.address, h.mdev) == (address, step.mdev)), None)
    if gone is None:
        return domain
    bus = int(gone.guest.split(":")[1], 16) if gone.guest else None
    ports = tuple(replace(p, occupied=False) if p.index == bus else p for p in domain.ports)
    return replace(domain, live=tuple(h for h in domain.live if h != gone), ports=ports)


def _with_vfs(host: Host, step: SetVfs) -> Host:
    pf = host.device(step.address)
    if pf is None or pf.facts.sriov is None:
        return host
    sriov = pf.facts.sriov
    if sriov.enabled == step.count:
        same = replace(sriov, autoprobe=step.autoprobe)
        return _change(host, pf.address, lambda d: replace(d, detail=replace(d.facts, sriov=same)))
    numbers = range(step.count)
    addresses = tuple(a for n in numbers if (a := vf_address(pf.address, sriov, n)) is not None)
    new = replace(sriov, enabled=step.count, autoprobe=step.autoprobe, vfs=addresses)
    rest = tuple(device for device in host.devices if device.physfn != pf.address)
    group = min((device.group for device in rest if device.group is not None and device.group < 0), default=0)
    vfs = (_new_vf(pf, address, group - 1 - number) for number, address in enumerate(addresses))
    host = replace(host, devices=tuple(sorted((*rest, *vfs), key=lambda device: device.address)))
    if step.script:
        host = _change(host, pf.address, _bound_anew)
    return _change(host, pf.address, lambda d: replace(d, detail=replace(d.facts, sriov=new)))


def _bound_anew(device: Device) -> Device:
    """NVIDIA's script lets go of the GPU, which forgets its instances and how its vGPUs share it."""
    nvidia = device.facts.nvidia
    if nvidia is None:
        return device
    gpu = nvidia.cut.gpu if nvidia.cut is not None else None
    cut = replace(nvidia.cut, gpu=replace(gpu, instances=())) if nvidia.cut and gpu else nvidia.cut
    card = replace(nvidia.vgpu_card, mixed=False) if nvidia.vgpu_card is not None else None
    return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, cut=cut, vgpu_card=card)))


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
