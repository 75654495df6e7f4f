"""The steps by which NVIDIA vGPUs come, go and are told things, in either framework; pure."""

from collections.abc import Iterator

from gpupass.methods.mdev import MADE_ANEW, TOLD_NOTHING, mdev_uuid, told_again
from gpupass.methods.mdev import removal as mdev_removal
from gpupass.methods.vgpu_made import Made, Wish, card_state, type_names
from gpupass.model.host import Device, Host, Mdev
from gpupass.model.profile import VgpuRule
from gpupass.model.record import Record, RecordKind
from gpupass.model.vgpu_types import sizes, type_label
from gpupass.step import Deed
from gpupass.steps.mdev import SetMdev
from gpupass.steps.record import WriteRecord
from gpupass.steps.vgpu import SetVgpuType
from gpupass.steps.vgpu_card import SetVgpuScheduler, SetVgpuSharing
from gpupass.steps.vgpu_params import SetVgpuParams

_DEFAULT_TURNS = "best-effort"


def anew(host: Host, vf: Device) -> tuple[Deed, ...]:
    """The type taken and given again, which is what clears a vGPU's memory; only where it is gpupass's.

    The host's driver leaves clearing to the vGPU's own plugin (open-gpu-kernel-modules, mem_mgr_ga100.c).
    """
    record = host.record_of_this_boot(RecordKind.VGPU, vf.address)
    current = vf.facts.vgpu.current if vf.facts.vgpu is not None else 0
    if record is None or not current:
        return ()
    name = record.type or str(current)
    again = (
        SetVgpuType(address=vf.address, id=0, type=name, why="its guest has used it"),
        SetVgpuType(address=vf.address, id=current, type=name, why=MADE_ANEW),
    )
    return told_again(vf.address, None, vf.facts.vgpu.params if vf.facts.vgpu is not None else "", again)


def removal(host: Host, one: Made) -> Iterator[Deed]:
    if one.mdev is not None:
        yield from mdev_removal(host, one.vf, one.mdev)
        return
    if one.told:
        yield SetVgpuParams(address=one.vf.address, params="", why=TOLD_NOTHING)
    yield SetVgpuType(address=one.vf.address, id=0, type=one.type, why="the profile has none such")
    for kind in (RecordKind.CLAIM, RecordKind.VGPU):
        if host.record(kind, one.vf.address) is not None:
            yield WriteRecord(kind=kind, address=one.vf.address, record=None, why="it is gone")


def creation(host: Host, rule: VgpuRule, vf: Device, wish: Wish) -> Iterator[Deed]:
    if vf.facts.vgpu is not None:
        yield remember(host, rule, vf, wish, None)
        yield SetVgpuType(address=vf.address, id=_id(host, vf, wish.type), type=wish.type, why=wish.part)
        return
    kind = next((kind.id for kind in vf.facts.mdev_types if type_label(kind.name) == wish.type), wish.type)
    mdev = Mdev(uuid=mdev_uuid(host, vf.address, wish.part), type=kind)
    yield remember(host, rule, vf, wish, mdev)
    yield SetMdev(address=vf.address, uuid=mdev.uuid, type=kind, present=True, why=wish.part)


def _id(host: Host, vf: Device, name: str) -> int:
    """Ids are those of one card (kubevirt-gpu-device-plugin). 0: nobody tells; then it is refused."""
    card = host.device(vf.physfn) if vf.physfn is not None else None
    names = type_names(host, card) if card is not None else {}
    return next((number for number, known in names.items() if known == name), 0)


def remember(host: Host, rule: VgpuRule, vf: Device, wish: Wish, mdev: Mdev | None) -> Deed:
    kind = RecordKind.VGPU if mdev is None else RecordKind.MDEV
    uuid = mdev.uuid if mdev is not None else None
    record = Record(
        kind=kind,
        address=vf.address,
        mdev=uuid,
        part=wish.part,
        type=wish.type,
        params=wanted_params(rule),
        boot_id=host.boot_id,
    )
    return WriteRecord(
        kind=kind, address=vf.address, mdev=uuid, record=record, why="so that it is known as gpupass's"
    )


def sharing(card: Device, wishes: tuple[Wish, ...]) -> Iterator[Deed]:
    """Types of several sizes side by side: a mode that can only change while there is no vGPU."""
    if shares_otherwise(card, wishes):
        mixed = not card_state(card).mixed
        why = f"types of {'several sizes' if mixed else 'one size'} share the card"
        yield SetVgpuSharing(address=card.address, mixed=mixed, why=why)


def shares_otherwise(card: Device, wishes: tuple[Wish, ...]) -> bool:
    """Than these need; several sizes have less room for some of the types (NVIDIA AI Enterprise)."""
    mixed, wanted = card_state(card).mixed, sizes(wish.type for wish in wishes)
    return (mixed is False and wanted > 1) or (mixed is True and wanted == 1)


def plain(card: Device) -> Iterator[Deed]:
    """Binding the card anew forgets it anyway; said as steps it is known when that is undone."""
    why = "it has no vGPUs any more"
    if card_state(card).mixed:
        yield SetVgpuSharing(address=card.address, mixed=False, why=why)
    if card_state(card).scheduler not in (None, _DEFAULT_TURNS):
        yield SetVgpuScheduler(address=card.address, policy=_DEFAULT_TURNS, why=why)


def turns(card: Device, rule: VgpuRule) -> Iterator[Deed]:
    if rule.scheduler is not None and rule.scheduler != card_state(card).scheduler:
        yield SetVgpuScheduler(address=card.address, policy=rule.scheduler, why="the profile says so")


def wanted_params(rule: VgpuRule) -> str:
    """As key=value, which the driver reads when the guest starts."""
    return " ".join(f"{param.name}={param.value}" for param in rule.params)


def params(rule: VgpuRule, one: Made) -> Iterator[Deed]:
    """Of one that stays: what a profile had told it and none says now is taken back."""
    wanted = wanted_params(rule)
    before = one.record.params.split() if one.record is not None else ()
    if {*wanted.split(), *before} & {*one.told} != {*wanted.split()}:
        yield SetVgpuParams(address=one.vf.address, mdev=one.uuid, params=wanted, why="the profile says so")


def first_params(host: Host, rule: VgpuRule, vf: Device, wish: Wish) -> Iterator[Deed]:
    """Of one that is made: it has been told nothing."""
    mdev = None if vf.facts.vgpu is not None else mdev_uuid(host, vf.address, wish.part)
    if rule.params:
        yield SetVgpuParams(
            address=vf.address, mdev=mdev, params=wanted_params(rule), why="the profile says so"
        )
