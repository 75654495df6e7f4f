"""What a domain or a container can be given."""

from msgspec import Struct

from gpupass.cli.documents.document import Document
from gpupass.lending.promises import Told
from gpupass.model.address import Address
from gpupass.model.host import Iommu
from gpupass.model.slot import SlotKind, SlotState
from gpupass.model.user import User
from gpupass.planner.offers import Offer


class Promised(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What domains get when they start; `listens`: the unit that gives it to them runs, null: not seen."""

    promises: tuple[Told, ...]
    listens: bool | None
    unseen: tuple[str, ...]


class SlotDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name` and `called` are both what attach, detach and move take; `owner` null: nobody known."""

    name: str
    kind: SlotKind
    device: Address
    part: str | None
    mdev: str | None
    size: str | None
    owner: str | None
    state: SlotState
    users: tuple[User, ...]
    domains: bool
    promised: tuple[str, ...]
    called: str


class Slotted(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slots of a host or of one device."""

    slots: tuple[SlotDocument, ...]
    iommu: Iommu
    kernel: str
    unseen: tuple[str, ...]


def slot_document(offer: Offer, called: str) -> SlotDocument:
    slot = offer.slot
    return SlotDocument(
        name=slot.name,
        kind=slot.kind,
        device=slot.device,
        part=slot.part or None,
        mdev=slot.mdev,
        size=offer.size or None,
        owner=offer.owner or None,
        state=offer.state,
        users=offer.users,
        domains=offer.domains,
        promised=offer.promised,
        called=called,
    )
