"""The NVIDIA vGPUs that a card has, whoever made them, or is to have, in either framework; pure."""

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct

from gpupass.devices import mediated
from gpupass.model.atom import of_function, of_mdev
from gpupass.model.host import Device, Host, VgpuCard, VgpuType
from gpupass.model.mark import Mark
from gpupass.model.mdev import Mdev, MdevType
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User
from gpupass.model.vgpu_types import param_words, type_label


class Made(Mark, frozen=True, kw_only=True, tag="vgpu.made"):
    """The vGPU type of this VF was set by gpupass: what its slot is called, its type, what it was told."""

    name: str
    type: str
    params: str = ""

    what: ClassVar[str] = "the vGPU"


def made_by_us(host: Host, vf: Device) -> Made | None:
    return host.mark_of_this_boot(Made, vf.address)


class There(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vGPU there is: a VF of a type, or a mediated device."""

    vf: Device
    type: str
    mdev: Mdev | None = None
    mark: "Made | mediated.Made | None" = None  # None: not made by gpupass

    @property
    def users(self) -> tuple[User, ...]:
        return self.vf.users if self.mdev is None else self.mdev.users

    @property
    def at_work(self) -> bool:
        return any(user.works for user in self.users)

    @property
    def uuid(self) -> str | None:
        return self.mdev.uuid if self.mdev is not None else None

    @property
    def name(self) -> str:
        return self.uuid or self.vf.address

    @property
    def instance(self) -> int | None:
        """The id of the GPU instance that it is on, where that is told."""
        return self.vf.facts.vgpu.instance if self.vf.facts.vgpu is not None else None

    @property
    def told(self) -> list[str]:
        """Its vgpu_params."""
        vgpu = self.vf.facts.vgpu
        text = self.mdev.params if self.mdev is not None else vgpu.params if vgpu is not None else ""
        return param_words(text)


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One vGPU somebody wants; `part` is what its slot is called."""

    part: str
    type: str


def made(host: Host, card: Device) -> tuple[There, ...]:
    """Every vGPU of the card, in the order of its VFs."""
    return tuple(one for vf in functions_of(host, card) for one in _made_of(host, card, vf))


def slots(host: Host, card: Device) -> Iterator[Slot]:
    for one in made(host, card) if not on_itself(card) else ():
        part = one.mark.name if one.mark is not None else None
        yield Slot(
            kind=SlotKind.VGPU,
            device=one.vf.address,
            of=card.address,
            part=part or _place(host, card, one),
            mdev=one.uuid,
            size=one.type,
            atoms=of_function(one.vf).union(*(of_mdev(m) for m in one.vf.facts.mdevs if m.uuid == one.uuid)),
        )


def functions_of(host: Host, card: Device) -> tuple[Device, ...]:
    """Where the card's vGPUs live: on its VFs, or on itself."""
    if card.facts.sriov is None or on_itself(card):
        return (card,)
    return host.devices_at(card.facts.sriov.vfs)


def tells(function: Device) -> bool:
    """Its driver offers vGPUs on it, by either framework."""
    return function.facts.vgpu is not None or bool(function.facts.mdev_types)


def card_state(card: Device) -> VgpuCard:
    """How its vGPUs share it, as far as NVML tells."""
    nvidia = card.facts.nvidia
    return (nvidia.vgpu_card if nvidia is not None else None) or VgpuCard()


def on_itself(card: Device) -> bool:
    """It has mediated devices without VFs."""
    return bool(card.facts.mdev_types) or card.facts.sriov is None


def _made_of(host: Host, card: Device, vf: Device) -> Iterator[There]:
    current = vf.facts.vgpu.current if vf.facts.vgpu is not None else 0
    if current:
        mark = made_by_us(host, vf)
        remembered = mark.type if mark is not None else None
        name = type_names(host, card).get(current) or remembered or str(current)
        yield There(vf=vf, type=name, mark=mark)
    kinds = {kind.id: type_label(kind.name) for kind in vf.facts.mdev_types}
    for mdev in vf.facts.mdevs:
        found = mediated.made_by_us(host, vf, mdev.uuid)
        yield There(vf=vf, type=kinds.get(mdev.type, mdev.type), mdev=mdev, mark=found)


def type_names(host: Host, card: Device) -> dict[int, str]:
    """A VF that has a type lists no more: NVML tells the names, or what its siblings offer."""
    return {kind.id: kind.name for kind in (*supported(card), *_listed(host, card))}


def supported(card: Device) -> tuple[VgpuType, ...]:
    """What NVML tells, whatever there is room for; (): it does not."""
    return card_state(card).types


def _listed(host: Host, card: Device) -> Iterator[VgpuType]:
    vgpus = (vf.facts.vgpu for vf in functions_of(host, card))
    return (kind for vgpu in vgpus if vgpu is not None for kind in vgpu.creatable)


def offered(host: Host, card: Device) -> set[str]:
    """Every type that is known of; there may be no room for it at present."""
    return {*type_names(host, card).values(), *(type_label(kind.name) for kind in _mediated(host, card))}


def creatable(host: Host, card: Device) -> set[str]:
    """Types of which there could be one more now."""
    free = (type_label(kind.name) for kind in _mediated(host, card) if kind.available)
    return {*(kind.name for kind in _listed(host, card)), *free}


def _mediated(host: Host, card: Device) -> Iterator[MdevType]:
    return (kind for vf in functions_of(host, card) for kind in vf.facts.mdev_types)


def _place(host: Host, card: Device, one: There) -> str:
    """The name of one that nobody has named: by its VF, or its UUID."""
    if one.mdev is not None:
        return one.mdev.uuid
    vfs = card.facts.sriov.vfs if card.facts.sriov is not None else ()
    return f"vf{vfs.index(one.vf.address)}" if one.vf.address in vfs else one.vf.address
