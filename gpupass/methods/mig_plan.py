"""NVIDIA MIG as a way to share a GPU: from the GPU as it is to the layout of a profile, and back; pure."""

from collections.abc import Iterable, Iterator

from gpupass.errors import Usage
from gpupass.methods.mig import KeptInstance, NewInstance, Recut, plan_recut
from gpupass.methods.mig_layouts import named_layout
from gpupass.methods.mig_ownership import foreign_findings, made_by_us, mode_is_ours, ours, recorded
from gpupass.methods.vgpu_made import made
from gpupass.model.host import Device, Host, Nvidia
from gpupass.model.mig import GpuInstance, LayoutEntry, MigGpu, MigState, Placement
from gpupass.model.profile import HostRule, MigRule, PassthroughRule, Rule, VgpuRule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.model.vendor import Vendor
from gpupass.plan import Disruption, Finding, Plan, adopt_or_take_over
from gpupass.step import Deed
from gpupass.steps.mig import SetComputeInstance, SetGpuInstance
from gpupass.steps.mig_mode import ResetGpu, SetMigMode

_DAEMON = "nvidia-persiste"  # nvidia-persistenced, cut by the kernel; it lets go when it is told to


def supports(host: Host, device: Device) -> str | None:
    """None: it can be cut, or that can be seen only once the nvidia driver has it; else why not."""
    nvidia = device.facts.nvidia
    if nvidia is None and device.vendor != Vendor.NVIDIA:
        return f"{device.address} is no NVIDIA GPU, and only those have MIG"
    if nvidia is None and device.driver == "nvidia":
        return next((f"cannot see MIG of {device.address}: {un}" for un in host.unseen if "NVML" in un), None)
    if nvidia is None:
        return f"{device.address} has driver {device.driver or 'none'}; only the nvidia driver can cut it"
    if nvidia.cut is None:
        unseen = nvidia.cut_unseen
        return (
            f"cannot see MIG of {device.address}: {unseen}"
            if unseen
            else f"{device.address} ({device.name or device.ids}) has no MIG"
        )
    if nvidia.cut.gpu is None:
        return f"cannot see MIG of {device.address}: {nvidia.cut.unseen or 'it was not asked for'}"
    if not nvidia.cut.gpu.profiles and nvidia.cut.on:
        return f"cannot see MIG of {device.address}: its driver tells no profiles"
    return None


def cut(host: Host, device: Device, rule: MigRule) -> Plan:
    """The mode, then what is destroyed, then what is made, largest first. Empty when it is so."""
    title, here = f"cut {device.address}", (device.address,)
    why_not = supports(host, device)
    if why_not is not None:
        return Plan(title=title, findings=(_cannot(device, why_not),), devices=here)
    nvidia = device.facts.nvidia
    if nvidia is None or nvidia.cut is None or nvidia.cut.gpu is None:
        wait = f"GPU instances of {device.address}: made when the nvidia driver has it and tells of them"
        return Plan(title=title, devices=here, waits=(wait,))
    state, gpu = nvidia.cut, nvidia.cut.gpu
    if not gpu.profiles:  # told in MIG mode only: the layout after the next look
        first = recorded(host, device, (), not state.on)[0]
        steps = (*first, *_mode_steps(device, nvidia, state, True))
        wait = f"GPU instances of {device.address}: made when its MIG mode is on, which tells its profiles"
        held = tuple(_held(device, state, True))
        return Plan(title=title, steps=steps, devices=here, findings=held, waits=(wait,))
    try:
        layout = layout_of(rule, gpu)
    except Usage as error:
        finding = _named(device, Finding(message=error.message, remedy=error.hint or ""))
        return Plan(title=title, findings=(finding,), devices=here)
    spare = frozenset() if rule.take_over else frozenset(_foreign(host, device, gpu))
    recut = plan_recut(gpu, layout, disrupt=True, spare=spare)
    reasons = plan_recut(gpu, layout, spare=spare).refusals if recut.disruptions else ()
    mode = _mode_steps(device, nvidia, state, True)
    steps = (*mode, *_recut_steps(device, nvidia, gpu, recut))
    kept = ours(host, device, (one.instance.name for one in recut.kept))
    created = tuple(f"{new.profile.name}@{new.placement.start}" for new in recut.created)
    going = ours(host, device, (old.name for old in recut.destroyed))
    switched = bool(mode and not state.on)
    first, last = recorded(host, device, (*kept, *created), switched, on_the_way=going)
    return Plan(
        title=title,
        steps=(*first, *steps, *last) if steps else (),
        findings=(
            *(_named(device, finding) for finding in recut.refusals),
            *foreign_findings(device, _changed(recut), spare),
            *(Finding(message=one.message, remedy="", fatal=False) for one in reasons),
            *(_held(device, state, True) if mode else ()),
        ),
        devices=here,
        disruptions=(*_at(device, recut.disruptions), *_idle_vgpus(host, device, recut.destroyed)),
    )


def uncut(host: Host, device: Device, rule: Rule) -> Plan:
    """What gpupass made goes, and everything when the rule takes over; the mode is what it was before."""
    title, here = f"uncut {device.address}", (device.address,)
    nvidia = device.facts.nvidia
    state = nvidia.cut if nvidia is not None else None
    record = made_by_us(host, device)
    if nvidia is None or state is None or state.gpu is None:
        why_not = supports(host, device) if record is not None and device.driver == "nvidia" else None
        return Plan(title=title, findings=(_cannot(device, why_not),) if why_not else (), devices=here)
    all_of_it = rule.take_over and isinstance(rule, HostRule | PassthroughRule | VgpuRule)
    mine = (
        one
        for one in state.gpu.instances
        if all_of_it or (record is not None and one.name in record.instances)
    )
    going = sorted(mine, key=lambda one: not one.all_users)
    staying = tuple(one for one in state.gpu.instances if one not in going)
    off = state.pending and not staying and (all_of_it or mode_is_ours(host, device))
    mode = _mode_steps(device, nvidia, state, False) if off else ()
    steps = (*(step for one in going for step in _destroy(device, nvidia, one, "not asked for")), *mode)
    forget = recorded(host, device, (), False, keep_mode=not off and bool(staying))[0]
    told = ""
    if staying:
        told = f"{device.address} has {_list(one.name for one in staying)}, which gpupass did not make"
    elif state.pending and not off:
        told = f"{device.address} is in MIG mode, which gpupass did not switch on"
    lent = isinstance(rule, PassthroughRule) and staying
    return Plan(
        title=title,
        steps=(*steps, *forget) if steps or record is not None else (),
        findings=(
            *([Finding(message=told, remedy=adopt_or_take_over(device.address))] if lent else []),
            *(_held(device, state, False) if mode else ()),
        ),
        devices=here,
        disruptions=(*_at(device, _lost(going)), *_idle_vgpus(host, device, going)),
        foreign=(told,) if told and isinstance(rule, HostRule) else (),
    )


def slots(device: Device) -> Iterator[Slot]:
    """GPU instances by profile and place."""
    for one in instances(device):
        yield Slot(
            kind=SlotKind.MIG, device=device.address, of=device.address, part=one.name, size=one.profile
        )


def instances(device: Device) -> tuple[GpuInstance, ...]:
    """As far as they were seen."""
    nvidia = device.facts.nvidia
    gpu = nvidia.cut.gpu if nvidia is not None and nvidia.cut is not None else None
    return gpu.instances if gpu is not None else ()


def in_mode(device: Device) -> bool:
    """MIG mode is on, now and after the next reset."""
    cut = device.facts.nvidia.cut if device.facts.nvidia is not None else None
    return cut is not None and cut.on and cut.pending


def layout_of(rule: MigRule, gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Usage when the GPU has no layout of that name."""
    return named_layout(rule.layout, gpu) if isinstance(rule.layout, str) else rule.layout


def _foreign(host: Host, device: Device, gpu: MigGpu) -> Iterator[GpuInstance]:
    mine = set(ours(host, device, (one.name for one in gpu.instances)))
    return (one for one in gpu.instances if one.name not in mine)


def _changed(recut: Recut) -> tuple[GpuInstance, ...]:
    return (*recut.destroyed, *(kept.instance for kept in recut.kept if kept.destroyed))


# ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────


def _mode_steps(device: Device, nvidia: Nvidia, state: MigState, on: bool) -> tuple[Deed, ...]:
    """Before Hopper a reset makes it so; a mode that is only pending can be called off without one."""
    if state.on == state.pending == on:
        return ()
    word = "on" if on else "off"
    reset = state.resets and state.on != on
    set_it = SetMigMode(
        address=device.address,
        uuid=nvidia.uuid,
        on=on,
        reset_follows=reset,
        why=f"it is {'on' if state.on else 'off'}"
        + (f", and {'on' if state.pending else 'off'} after a reset" if state.on != state.pending else ""),
    )
    if not reset:
        return (set_it,)
    back = ResetGpu(address=device.address, uuid=nvidia.uuid, back=True, why="if it has to be undone")
    reset_it = ResetGpu(address=device.address, uuid=nvidia.uuid, why=f"only then the mode is {word}")
    return (back, set_it, reset_it)


def _recut_steps(device: Device, nvidia: Nvidia, gpu: MigGpu, recut: Recut) -> Iterator[Deed]:
    """What is in use goes first: where the driver refuses that, nothing else has lost its UUID for it."""
    others = "the layout has others"
    ends: list[tuple[tuple[User, ...], tuple[Deed, ...]]] = [
        (part.users, (_part(device, nvidia, gpu, kept.instance, part.placement, False, others),))
        for kept in recut.kept
        for part in kept.destroyed
    ]
    ends += [
        (old.all_users, tuple(_destroy(device, nvidia, old, "not in the layout"))) for old in recut.destroyed
    ]
    for _, steps in sorted(ends, key=lambda end: not end[0]):
        yield from steps
    for kept in recut.kept:
        yield from _more_parts(device, nvidia, gpu, kept)
    for new in recut.created:
        yield from _create(device, nvidia, new)


def _more_parts(device: Device, nvidia: Nvidia, gpu: MigGpu, kept: KeptInstance) -> Iterator[Deed]:
    for place in kept.created:
        yield _part(device, nvidia, gpu, kept.instance, place, True, "in the layout")


def _part(
    device: Device, nvidia: Nvidia, gpu: MigGpu, of: GpuInstance, place: Placement, present: bool, why: str
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
        why=why,
    )


def _destroy(device: Device, nvidia: Nvidia, old: GpuInstance, why: str) -> Iterator[Deed]:
    gpu = nvidia.cut.gpu if nvidia.cut is not None else None
    profile = gpu.profile(old.profile) if gpu is not None else None
    assert gpu is not None and profile is not None
    for part in old.compute:
        yield _part(device, nvidia, gpu, old, part.placement, False, why)
    yield SetGpuInstance(
        address=device.address,
        uuid=nvidia.uuid,
        profile=old.profile,
        profile_id=profile.id,
        placement=old.placement,
        present=False,
        why=why,
    )


def _create(device: Device, nvidia: Nvidia, new: NewInstance) -> Iterator[Deed]:
    yield SetGpuInstance(
        address=device.address,
        uuid=nvidia.uuid,
        profile=new.profile.name,
        profile_id=new.profile.id,
        placement=new.placement,
        present=True,
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


# ── in an operator's words ─────────────────────────────────────────────────────────────────────────────────


def _held(device: Device, state: MigState, on: bool) -> Iterator[Finding]:
    """Whoever has the GPU open keeps its mode from changing: told before, and no reason to refuse."""
    holders = [user for user in device.users if user.kind is UserKind.PROCESS and user.name != _DAEMON]
    if holders and state.on != on:
        names = _list(dict.fromkeys(user.words for user in holders))
        what = "can be reset" if state.resets else f"can switch MIG mode {'on' if on else 'off'}"
        yield Finding(
            message=f"{device.address} {what} only when it is let go by {names}; until then it is pending",
            remedy="end them first",
            fatal=False,
        )


def _lost(going: Iterable[GpuInstance]) -> tuple[Disruption, ...]:
    return tuple(Disruption(victim=user.words, loses=one.name) for one in going for user in one.all_users)


def _idle_vgpus(host: Host, card: Device, going: Iterable[GpuInstance]) -> Iterator[Disruption]:
    """vGPUs on what goes whose guests do not run: whoever works is among the instance's users already."""
    names = {one.id: one.name for one in going}
    for one in made(host, card):
        if one.instance in names and not one.at_work:
            loses = f"{names[one.instance]} of {card.address}, which its vGPU is on"
            yield Disruption(victim=one.vf.address, loses=loses, at_work=False)


def _at(device: Device, disruptions: Iterable[Disruption]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=one.victim, loses=f"{one.loses} of {device.address}", at_work=one.at_work)
        for one in disruptions
    )


def _named(device: Device, finding: Finding) -> Finding:
    return Finding(message=f"{device.address}: {finding.message}", remedy=finding.remedy)


def _cannot(device: Device, why: str) -> Finding:
    remedy = "run it with sudo" if "no permission" in why else f"gpupass show {device.address}"
    return Finding(message=why, remedy=remedy)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
