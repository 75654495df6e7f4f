"""The steps by which MIG mode, GPU instances and their compute instances come and go; pure."""

from collections.abc import Iterator

from gpupass.methods.mig.mode import SetMigMode
from gpupass.methods.mig.ownership import remembered
from gpupass.methods.mig.recut import NewInstance, Recut
from gpupass.methods.mig.steps import SetComputeInstance, SetGpuInstance
from gpupass.model.host import Device, Host, Nvidia
from gpupass.model.mig import GpuInstance, MigGpu, MigState, Placement, instance_name
from gpupass.step import Deed


def mode(host: Host, device: Device, nvidia: Nvidia, state: MigState, on: bool) -> tuple[SetMigMode, ...]:
    """Before Hopper a reset makes it so; a mode that is only pending can be called off without one."""
    if state.on == state.pending == on:
        return ()
    mode = remembered(host, device)
    later = f", and {'on' if state.pending else 'off'} after a reset" if state.on != state.pending else ""
    return (
        SetMigMode(
            address=device.address,
            uuid=nvidia.uuid,
            on=on,
            reset=state.resets and state.on != on,
            calls_off=state.on == on,
            marks=(mode,) if on and not state.on else (),
            forgets=() if on else host.known((mode.key,)),
            why=f"it is {'on' if state.on else 'off'}{later}",
        ),
    )


def removals(host: Host, device: Device, nvidia: Nvidia, gpu: MigGpu, recut: Recut) -> Iterator[Deed]:
    others = "the layout has others"
    for kept in recut.kept:
        for part in kept.destroyed:
            used = bool(part.users)
            yield _part(device, nvidia, gpu, kept.instance, part.placement, False, others, used)
    for old in recut.destroyed:
        yield from removal(host, device, nvidia, old, "not in the layout")


def creations(host: Host, device: Device, nvidia: Nvidia, gpu: MigGpu, recut: Recut) -> Iterator[Deed]:
    for kept in recut.kept:
        for place in kept.created:
            yield _part(device, nvidia, gpu, kept.instance, place, True, "in the layout")
    for new in recut.created:
        yield from creation(host, device, nvidia, new)


def removal(host: Host, device: Device, nvidia: Nvidia, old: GpuInstance, why: str) -> Iterator[Deed]:
    gpu = nvidia.mig.gpu if nvidia.mig is not None else None
    profile = gpu.profile(old.profile) if gpu is not None else None
    assert gpu is not None and profile is not None
    used = bool(old.all_users)
    for part in old.compute:
        yield _part(device, nvidia, gpu, old, part.placement, False, why, used)
    yield SetGpuInstance(
        address=device.address,
        uuid=nvidia.uuid,
        profile=old.profile,
        profile_id=profile.id,
        placement=old.placement,
        present=False,
        in_use=used,
        forgets=host.known((remembered(host, device, old.name).key,)),
        why=why,
    )


def creation(host: Host, device: Device, nvidia: Nvidia, new: NewInstance) -> Iterator[Deed]:
    name = instance_name(new.profile.name, new.placement)
    yield SetGpuInstance(
        address=device.address,
        uuid=nvidia.uuid,
        profile=new.profile.name,
        profile_id=new.profile.id,
        placement=new.placement,
        present=True,
        marks=(remembered(host, device, name),),
        why="in the layout",
    )
    for place in new.compute:
        yield SetComputeInstance(
            address=device.address,
            uuid=nvidia.uuid,
            profile=new.profile.name,
            profile_id=new.profile.id,
            start=new.placement.start,
            placement=place,
            present=True,
            why="so that processes can run on it",
        )


def _part(
    device: Device,
    nvidia: Nvidia,
    gpu: MigGpu,
    of: GpuInstance,
    place: Placement,
    present: bool,
    why: str,
    in_use: bool = False,
) -> Deed:
    profile = gpu.profile(of.profile)
    return SetComputeInstance(
        address=device.address,
        uuid=nvidia.uuid,
        profile=of.profile,
        profile_id=profile.id if profile is not None else -1,
        start=of.placement.start,
        placement=place,
        present=present,
        in_use=in_use,
        why=why,
    )
