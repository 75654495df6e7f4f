"""The slots of a host as an operator sees them: how large, whose, and what they do just now; pure."""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from gpupass.lending.handover import holder
from gpupass.methods import amd_ownership, mig_ownership, mig_plan, sriov, vgpu_check
from gpupass.methods.vgpu_made import made
from gpupass.model.host import Device, Host
from gpupass.model.record import RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.planner.slots import slots_of

GPUPASS = "gpupass"


class SlotState(StrEnum):
    """Can it be given away now?"""

    FREE = "free"
    ATTACHED = "attached"
    IN_USE = "in use"  # by a guest, by a process of the host, its disks, networks or console
    CUT = "cut"  # it has been cut into the slots below it, or a vGPU is on it
    CLAIMED = "not clean"  # its last guest has gone without gpupass: `gpupass recover`
    QUARANTINED = "quarantined"
    EMPTY = "no type"  # a VF of NVIDIA's frameworks without a vGPU type


class Offer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slot; `owner` is who made it: gpupass, mdevctl, "" for anybody else or where nothing was made."""

    slot: Slot
    size: str
    owner: str
    state: SlotState
    users: tuple[User, ...] = ()
    domains: bool = True  # a domain can have it


def offers_of(host: Host, device: Device) -> Iterator[Offer]:
    """The device itself first."""
    slots = slots_of(host, device)
    for slot in slots:
        yield _offer(host, slot, cut=not slot.part and len(slots) > 1)


def _offer(host: Host, slot: Slot, cut: bool) -> Offer:
    device = host.devices_at((slot.device,))[0]
    users = _users(device, slot)
    return Offer(
        slot=slot,
        size=slot.size or _size(device),
        owner=_owner(host, device, slot),
        state=SlotState.CUT if cut else _state(host, device, slot, users),
        users=users,
        domains=not slot.kind.only_for_containers,
    )


def _users(device: Device, slot: Slot) -> tuple[User, ...]:
    if slot.kind is SlotKind.MIG:
        return next((one.all_users for one in mig_plan.instances(device) if one.name == slot.part), ())
    if slot.mdev is None:
        return device.users
    return next((mdev.users for mdev in device.facts.mdevs if mdev.uuid == slot.mdev), ())


def _size(device: Device) -> str:
    """Of a whole function what NVML says of its memory."""
    nvidia = device.facts.nvidia
    return f"{nvidia.memory_total} MiB" if nvidia is not None and nvidia.memory_total else ""


def _owner(host: Host, device: Device, slot: Slot) -> str:
    if slot.mdev is not None:
        ours = host.record_of_this_boot(RecordKind.MDEV, device.address, slot.mdev)
        if ours is None and any(one.uuid == slot.mdev and one.defined for one in device.facts.mdevs):
            return "mdevctl"  # or libvirt, which defines them through it
    elif slot.kind is SlotKind.MIG:
        return GPUPASS if mig_ownership.ours(host, device, (slot.part,)) else ""
    elif slot.kind is SlotKind.VGPU:
        ours = host.record_of_this_boot(RecordKind.VGPU, device.address)
    elif slot.kind is SlotKind.PARTITION:
        ours = amd_ownership.made_by_us(host, device)
    elif slot.kind is SlotKind.VF and device.physfn is not None:
        pf = host.device(device.physfn)
        ours = sriov.made_by_us(host, pf) if pf is not None else None
    else:
        ours = None
    return GPUPASS if ours is not None else ""


def _state(host: Host, device: Device, slot: Slot, users: tuple[User, ...]) -> SlotState:
    if host.record(RecordKind.QUARANTINE, device.address) is not None:
        return SlotState.QUARANTINED
    if holder(host, slot) is not None:
        return SlotState.ATTACHED
    if host.record(RecordKind.CLAIM, device.address, slot.mdev) is not None:
        return SlotState.CLAIMED
    if any(user.kind is not UserKind.DOMAIN_CONFIG for user in users):
        return SlotState.IN_USE
    if slot.kind is SlotKind.MIG and _carries_a_vgpu(host, device, slot.part):
        return SlotState.CUT
    empty = slot.kind is SlotKind.VF and any(vgpu_check.lend_findings(host, device))
    return SlotState.EMPTY if empty else SlotState.FREE


def _carries_a_vgpu(host: Host, card: Device, instance: str) -> bool:
    """Also one without a guest; a mediated one does not tell where it is."""
    ids = {one.id for one in mig_plan.instances(card) if one.name == instance}
    return any(one.instance in ids for one in made(host, card))
