"""The steps by which NVIDIA vGPUs come, go and are told things, in either framework; pure."""

from collections.abc import Iterable, Iterator

from gpupass.devices import mediated
from gpupass.devices.mediated import MADE_ANEW, mdev_uuid, told_again, untold
from gpupass.methods.vgpu.card import DEFAULT_TURNS, SetVgpuScheduler, SetVgpuSharing
from gpupass.methods.vgpu.made import Made, There, Wish, card_state, made_by_us, type_names
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.methods.vgpu.steps import SetVgpuType
from gpupass.model.host import Device, Host
from gpupass.model.mark import Claim, Mark, tag_of
from gpupass.model.vgpu_types import memory, sizes, type_label
from gpupass.plan import NOTHING, Draft
from gpupass.step import Deed
from gpupass.steps.mdev import SetMdev
from gpupass.steps.vgpu_params import SetVgpuParams


def anew(host: Host, vf: Device) -> Draft:
    """The type taken and given again, which is what clears a vGPU's memory; only where it is gpupass's.

    The host's driver leaves clearing to the vGPU's own plugin (open-gpu-kernel-modules, mem_mgr_ga100.c).
    """
    mark, vgpu = made_by_us(host, vf), vf.facts.vgpu
    if mark is None or vgpu is None or not vgpu.current:
        return NOTHING
    name = mark.type or str(vgpu.current)
    end = SetVgpuType(address=vf.address, id=0, type=name, why="its guest has used it")
    make = SetVgpuType(address=vf.address, id=vgpu.current, type=name, why=MADE_ANEW)
    return Draft(
        takes=(*untold(vf.address, None, vgpu.params), end),
        makes=(make, *told_again(vf.address, None, vgpu.params)),
    )


def told(vf: Device) -> bool:
    """What it offers is seen already."""
    return vf.facts.vgpu is not None and vf.facts.vgpu.told


def removal(host: Host, one: There) -> tuple[Deed, ...]:
    if one.mdev is not None:
        return mediated.gone(host, one.vf, one.mdev, memory(one.type))
    vf = one.vf.address
    end = SetVgpuType(
        address=vf,
        id=0,
        type=one.type,
        forgets=host.known((tag_of(kind), vf, "") for kind in (Claim, Made)),
        why="the profile has none such",
    )
    return (*untold(vf, None, " ".join(one.told)), end)


def creation(host: Host, rule: VgpuRule, vf: Device, wish: Wish) -> Deed:
    if vf.facts.vgpu is not None:
        return SetVgpuType(
            address=vf.address,
            id=_id(host, vf, wish.type),
            type=wish.type,
            marks=(remembered(host, rule, vf, wish, None),),
            why=wish.part,
        )
    kind = next((kind.id for kind in vf.facts.mdev_types if type_label(kind.name) == wish.type), wish.type)
    uuid = mdev_uuid(host, vf.address, wish.part)
    return SetMdev(
        address=vf.address,
        uuid=uuid,
        type=kind,
        present=True,
        turn=memory(wish.type),
        marks=(remembered(host, rule, vf, wish, uuid),),
        why=wish.part,
    )


def _id(host: Host, vf: Device, name: str) -> int:
    """Ids are those of one card (kubevirt-gpu-device-plugin). 0: nobody tells; then it is refused."""
    card = host.device(vf.physfn) if vf.physfn is not None else None
    names = type_names(host, card) if card is not None else {}
    return next((number for number, known in names.items() if known == name), 0)


def remembered(host: Host, rule: VgpuRule, vf: Device, wish: Wish, uuid: str | None) -> Mark:
    params = wanted_params(rule)
    if uuid is not None:
        return mediated.remembered(host, vf, uuid, wish.part, wish.type, params)
    return Made(carrier=vf.address, name=wish.part, type=wish.type, params=params, boot_id=host.boot_id)


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
    if card_state(card).scheduler not in (None, DEFAULT_TURNS):
        yield SetVgpuScheduler(address=card.address, policy=DEFAULT_TURNS, why=why)


def turns(card: Device, rule: VgpuRule) -> Iterator[Deed]:
    if rule.scheduler is not None and rule.scheduler != card_state(card).scheduler:
        yield SetVgpuScheduler(address=card.address, policy=rule.scheduler, why="the profile says so")


def wanted_params(rule: VgpuRule) -> str:
    """As key=value, which the driver reads when the guest starts."""
    return " ".join(f"{param.name}={param.value}" for param in rule.params)


def params(rule: VgpuRule, one: There) -> Iterator[Deed]:
    """Of one that stays: what a profile had told it and none says now is taken back."""
    wanted = wanted_params(rule)
    before = one.mark.params.split() if one.mark is not None else ()
    if {*wanted.split(), *before} & {*one.told} != {*wanted.split()}:
        yield SetVgpuParams(address=one.vf.address, mdev=one.uuid, params=wanted, why="the profile says so")


def first_params(host: Host, rule: VgpuRule, placed: Iterable[tuple[Wish, Device]]) -> Iterator[Deed]:
    """Of those that are made: they have been told nothing."""
    for wish, vf in placed if rule.params else ():
        mdev = None if vf.facts.vgpu is not None else mdev_uuid(host, vf.address, wish.part)
        why = "the profile says so"
        yield SetVgpuParams(address=vf.address, mdev=mdev, params=wanted_params(rule), why=why)
