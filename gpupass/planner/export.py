"""A host as it is → the profile that asks for nothing else; pure."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from gpupass.lending.handover import holder
from gpupass.methods import amd_ownership, mdev, mig_ownership, mig_plan
from gpupass.methods.passthrough import VFIO
from gpupass.methods.sriov import by_script, made_by_us
from gpupass.methods.vgpu_made import Made, made
from gpupass.model.address import Address, is_pci
from gpupass.model.host import Device, Host
from gpupass.model.intel import Intel, Knob
from gpupass.model.mig import GpuInstance, LayoutEntry, MigGpu
from gpupass.model.profile import (
    COMPUTES,
    MEMORIES,
    Attachment,
    HostRule,
    MdevRule,
    MigRule,
    PartitionRule,
    PassthroughRule,
    Profile,
    Rule,
    Select,
    Share,
    SriovRule,
    Turn,
    TypeCount,
    Vf,
    VfDriver,
    VfShare,
    VgpuParam,
    VgpuRule,
)
from gpupass.model.record import RecordKind
from gpupass.planner.slots import slots_of

_MIB = 1 << 20


def worth_telling(host: Host, cuttable: bool = False) -> tuple[Device, ...]:
    """GPUs and accelerators, and whatever else is lent, cut or remembered as gpupass's.

    With `cuttable` parents of mediated devices that have none, too.
    """
    remembered = {record.address for record in host.records}
    lent = {hostdev.address for domain in host.domains for hostdev in domain.live}
    cut = {device.physfn for device in host.devices if device.physfn is not None}
    return tuple(
        device
        for device in host.devices
        if not device.is_bridge
        and device.physfn is None
        and (
            device.is_gpu
            or device.address in remembered | lent | cut
            or device.facts.mdevs
            or (cuttable and device.facts.mdev_types)
            or (device.on_vfio and not any(member.is_gpu for member in host.group_of(device)))
        )
    )


def export(
    host: Host, devices: Iterable[Device], names: Mapping[Device, str] | None = None, take_over: bool = False
) -> Profile:
    """One rule per device, called by its name if it has one; none where it cannot be seen how it is cut.

    Companions of a GPU's IOMMU group come with its rule and need none.
    """
    rules: list[Rule] = []
    attachments: list[Attachment] = []
    spoken_for: set[Address] = set()
    for device in devices:
        if device.address in spoken_for or _hides_its_cut(host, device):
            continue
        name = (names or {}).get(device) or f"{'gpu' if device.is_gpu else 'device'}{len(rules)}"
        rule = _rule(host, device, name, take_over)
        rules.append(rule)
        if device.on_vfio:
            spoken_for.update(member.address for member in host.group_of(device))
        attachments += _attachments(host, device, rule)
    return Profile(gpus=tuple(rules), attachments=tuple(attachments))


def _hides_its_cut(host: Host, device: Device) -> bool:
    """Without root or NVML: it has GPU instances, or may have some, that nobody tells of."""
    nvidia = device.facts.nvidia
    if nvidia is None or nvidia.cut is None:
        silent = nvidia is not None and bool(nvidia.cut_unseen)
        return silent and mig_ownership.made_by_us(host, device) is not None
    return nvidia.cut.on and nvidia.cut.gpu is None


def _rule(host: Host, device: Device, name: str, take_over: bool) -> Rule:
    select = _select(device)
    sriov = device.facts.sriov
    if device.on_vfio:
        others = tuple(
            member.address
            for member in host.group_of(device)
            if member.on_vfio and member.address.rpartition(".")[0] != device.address.rpartition(".")[0]
        )
        driver = device.driver or VFIO
        boot_display = device.facts.boot_display
        return PassthroughRule(
            name=name,
            select=select,
            driver=driver,
            with_=others,
            allow_boot_display=boot_display,
            take_over=take_over,
        )
    nvidias = not device.facts.mdev_types or device.facts.nvidia is not None
    vgpus = made(host, device) if nvidias else ()
    cut = device.facts.nvidia.cut if device.facts.nvidia is not None else None
    layout = _layout(cut.gpu) if cut is not None and cut.on and cut.gpu is not None else None
    has_functions = sriov is not None and sriov.enabled
    if vgpus or (has_functions and layout is not None):
        return VgpuRule(
            name=name,
            select=select,
            types=_counts([one.type for one in vgpus]),
            layout=layout,
            params=_params(vgpus),
            scheduler=device.facts.nvidia.vgpu_card.scheduler
            if vgpus and device.facts.nvidia is not None and device.facts.nvidia.vgpu_card is not None
            else None,
            take_over=take_over,
        )
    if sriov is not None and sriov.enabled:
        autoprobe = sriov.autoprobe and not by_script(host, device)  # which binds them whatever it says
        vf = _vf(host.devices_at(sriov.vfs), autoprobe)
        vf, pf = _shares(device.facts.intel, sriov.enabled, vf)
        return SriovRule(name=name, select=select, vfs=sriov.enabled, vf=vf, pf=pf, take_over=take_over)
    if layout is not None:
        return MigRule(name=name, select=select, layout=layout, take_over=take_over)
    if device.facts.mdevs:
        mine = (one for one in device.facts.mdevs if mdev.is_ours(host, device, one))
        kinds = [mdev.type_of(host, device, one) for one in mine]
        return MdevRule(name=name, select=select, types=_counts(kinds))
    parts = device.facts.amd
    if parts is not None and parts.compute in COMPUTES:
        asked = amd_ownership.asked_memory(host, device)
        memory = asked if asked in MEMORIES else None
        return PartitionRule(
            name=name, select=select, compute=parts.compute, memory=memory, take_over=take_over
        )
    origin = host.record_of_this_boot(RecordKind.ORIGIN, device.address)
    rebound = origin is not None and origin.driver != device.driver
    return HostRule(name=name, select=select, driver=device.driver if rebound else None, take_over=take_over)


def _select(device: Device) -> Select:
    """By what stays when cards change places, where the device has such a name."""
    nvidia = device.facts.nvidia
    if nvidia is not None:
        return Select(uuid=nvidia.uuid)
    return Select(address=device.address) if is_pci(device.address) else Select(parent=device.address)


def _counts(types: list[str]) -> tuple[TypeCount, ...]:
    return tuple(TypeCount(type=name, count=types.count(name)) for name in dict.fromkeys(types))


def _params(vgpus: tuple[Made, ...]) -> tuple[VgpuParam, ...]:
    """What all of them were told."""
    told = [one.told for one in vgpus]
    common = (pair for pair in told[0] if all(pair in other for other in told)) if told else ()
    return tuple(VgpuParam(name=name, value=value) for name, _, value in (p.partition("=") for p in common))


def _layout(gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Every GPU instance at its place; its compute instances where they are not the one that fills it."""

    def compute(one: GpuInstance) -> tuple[int, ...] | None:
        parts = tuple(part.placement.size for part in one.compute)
        profile = gpu.profile(one.profile)
        return None if profile is not None and parts == (profile.slices,) else parts

    return tuple(
        LayoutEntry(profile=one.profile, start=one.placement.start, compute=compute(one))
        for one in gpu.instances
    )


def _vf(vfs: tuple[Device, ...], autoprobe: bool) -> Vf:
    drivers = [vf.driver for vf in vfs]
    common = max(dict.fromkeys(drivers), key=drivers.count, default=None)
    others = tuple(
        VfDriver(index=number, driver=driver) for number, driver in enumerate(drivers) if driver != common
    )
    return Vf(driver=common, autoprobe=autoprobe, drivers=others)


def _shares(intel: Intel | None, count: int, vf: Vf) -> tuple[Vf, Turn]:
    """What most VFs have is said once. No limit is said, too: a rollback has to bring it back."""
    if intel is None:
        return vf, Turn()
    had = [
        Share(
            quantum=_value(intel.quantum, number),
            timeout=_value(intel.timeout, number),
            memory=(_value(intel.memory, number) or 0) // _MIB or None,
        )
        for number in range(count)
    ]
    quantum = _common([share.quantum for share in had])
    timeout = _common([share.timeout for share in had])
    memory = _common([share.memory for share in had])
    own = [
        Share(
            quantum=share.quantum if share.quantum != quantum else None,
            timeout=share.timeout if share.timeout != timeout else None,
            memory=share.memory if share.memory != memory else None,
        )
        for share in had
    ]
    shares = tuple(VfShare(index=at, share=share) for at, share in enumerate(own) if share != Share())
    pf = Turn(quantum=_value(intel.quantum, None), timeout=_value(intel.timeout, None))
    return replace(vf, quantum=quantum, timeout=timeout, memory=memory, shares=shares), pf


def _value(knob: Knob | None, vf: int | None) -> int | None:
    return knob.value(vf) if knob is not None else None


def _common(values: list[int | None]) -> int | None:
    return max(dict.fromkeys(values), key=values.count)


def _attachments(host: Host, device: Device, rule: Rule) -> Iterator[Attachment]:
    """Slots that the rule has no name for, because others made them, are left alone."""
    counts = rule.types if isinstance(rule, VgpuRule | MdevRule) else None
    named = {part for one in counts or () for part in one.parts}
    for slot in slots_of(host, device):
        owner = holder(host, slot) if slot.part or device.on_vfio else None
        if owner is not None and (counts is None or slot.part in named):
            called = f"{rule.name}/{slot.part}" if slot.part else rule.name
            yield Attachment(domain=owner.name, device=called)


def made_elsewhere(host: Host, devices: Iterable[Device]) -> Iterator[str]:
    """What others made and a profile therefore leaves alone."""
    for device in devices:
        sriov = device.facts.sriov
        if sriov is not None and sriov.enabled and made_by_us(host, device) is None:
            yield f"{device.address} has {sriov.enabled} virtual functions that gpupass did not make"
        names = [one.name for one in mig_plan.instances(device)]
        mine = mig_ownership.ours(host, device, names)
        if len(mine) < len(names):
            others = ", ".join(name for name in names if name not in mine)
            yield f"{device.address} has {others}, which gpupass did not make"
        vgpu = device.facts.vgpu
        mine_too = host.record_of_this_boot(RecordKind.VGPU, device.address) is not None
        if vgpu is not None and vgpu.current and not mine_too:
            yield f"{device.address} is a vGPU that gpupass did not make"
        for one in device.facts.mdevs:
            if not mdev.is_ours(host, device, one):
                yield f"{device.address} has a mediated device {one.uuid} that gpupass did not make"
