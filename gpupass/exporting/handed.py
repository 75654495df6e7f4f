"""What of a host's slots is there for guests, and why the rest is not; pure."""

import re
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from gpupass.model.address import Name
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot, SlotKind, SlotState
from gpupass.model.user import UserKind
from gpupass.model.vendor import Vendor
from gpupass.planner.offers import Offer

_GUESTS = (UserKind.DOMAIN, UserKind.DOMAIN_CONFIG, UserKind.VM)
_SOLD_AS = re.compile(r"\[([^]]+)\]$")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Handed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slot that a guest can have; `mdev_type` is (id, name) of a mediated device's type."""

    slot: Slot
    device: Device  # the function that is handed out, or the parent of the mediated device
    called: str  # what it is: NVIDIA H100 PCIe, with the size of a part
    mdev_type: tuple[str, str] | None = None
    holder: str = ""

    @property
    def kind(self) -> tuple[str, ...]:
        """Equal for those of which a guest may have any."""
        return (self.called, self.device.ids, self.device.subsystem, *(self.mdev_type or ()))


class Left(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not handed out, and why."""

    what: Name
    why: str

    def words(self) -> str:
        return f"left out: {self.what}: {self.why}"


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of another program, with comments, and what it leaves out."""

    text: str
    left: tuple[Left, ...] = ()


def sorted_out(
    host: Host, offers: Iterable[Offer], typeless: bool = False
) -> tuple[tuple[Handed, ...], tuple[Left, ...]]:
    """What guests can have; and what else there is, with the reason.

    With `typeless` also functions without a vGPU type, for who gives them one for each guest.
    """
    handed: list[Handed] = []
    left: list[Left] = []
    for offer in offers:
        why = _why_not(host, offer, typeless)
        if isinstance(why, str):
            left += [Left(what=offer.slot.name, why=why)] if why else []
        else:
            handed.append(why)
    return tuple(sorted(handed, key=lambda one: (one.device.address, one.slot.name))), tuple(left)


def _why_not(host: Host, offer: Offer, typeless: bool) -> str | Handed:
    """ "" where its parts speak for it."""
    slot, device = offer.slot, host.device(offer.slot.device)
    if offer.state is SlotState.CUT:
        return ""
    if not offer.domains:
        return "only containers can have it"
    if offer.state is SlotState.EMPTY and not typeless:
        return "it has no vGPU type"
    if offer.state in (SlotState.QUARANTINED, SlotState.CLAIMED, SlotState.REFUSED):
        return f"it is {offer.state}: gpupass show {slot.device}"
    others = [user.name for user in offer.users if user.kind not in _GUESTS]
    if offer.state is SlotState.IN_USE and others:
        return f"in use by {', '.join(others)}"
    if device is None:
        return "its parent is no PCI function"
    if slot.kind is SlotKind.FUNCTION and not device.on_vfio:
        whose = f"the host has it ({device.driver})" if device.driver else "no driver has it"
        return f"{whose}: `use: passthrough` in a profile gives it to guests"
    kind = _mdev_type(host, slot)
    if kind is not None and _TYPE.fullmatch(kind[0]) is None:
        return f"its type {kind[0]!r} is no name"
    size = "" if slot.kind is SlotKind.VF else slot.size
    guests = [user.name for user in offer.users if user.kind is UserKind.DOMAIN]
    return Handed(
        slot=slot,
        device=device,
        called=" ".join(part for part in (product(device), size) if part),
        mdev_type=kind,
        holder=guests[0] if guests else "",
    )


def _mdev_type(host: Host, slot: Slot) -> tuple[str, str] | None:
    if slot.mdev is None:
        return None
    parent = host.carrier(slot.device)
    facts = parent.facts if parent is not None else None
    alive = next((one for one in facts.mdevs if one.uuid == slot.mdev), None) if facts is not None else None
    if facts is None or alive is None:
        return None
    named = next((kind.name for kind in facts.mdev_types if kind.id == alive.type), "")
    return alive.type, named or alive.type


def product(device: Device) -> str:
    """Under the name it was sold by; its numbers where nobody knows it."""
    name = device.name.replace(" Corporation ", " ").removeprefix("Advanced Micro Devices, Inc. ")
    sold = _SOLD_AS.search(name)
    vendor = next((one.name for one in Vendor if one == device.vendor), "")
    said = f"{vendor} {sold[1]}".strip() if sold else name
    return said if re.search(r"[A-Za-z0-9]", said) else f"PCI {device.ids}"


def names_of(kinds: Iterable[Handed], spell: Callable[[Handed], str]) -> dict[tuple[str, ...], str]:
    """One for each kind; with the numbers of the board, where two kinds would have the same."""
    found: dict[tuple[str, ...], str] = {}
    for one in kinds:
        if one.kind in found:
            continue
        name = spell(one)
        for more in (one.device.ids, one.device.subsystem):
            if name in found.values():
                name = f"{name}-{more.replace(':', '-')}"
        found[one.kind] = name
    return found


def slug(text: str) -> str:
    """Letters, digits and single dashes; a letter first."""
    word = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return word if re.match(r"[a-z][a-z0-9]", word) else f"pci-{word}"


def by_kind(handed: Iterable[Handed]) -> dict[tuple[str, ...], list[Handed]]:
    found: dict[tuple[str, ...], list[Handed]] = {}
    for one in handed:
        found.setdefault(one.kind, []).append(one)
    return found


def remarks(handed: Iterable[Handed], left: Iterable[Left]) -> Iterator[str]:
    """Comments that every format has at its end."""
    for one in handed:
        if one.holder:
            yield f"# {printable(one.slot.name)} is in use by domain {printable(one.holder)} now"
    for other in left:
        yield f"# {printable(other.words())}"


def printable(text: str) -> str:
    """On one line of a file."""
    return text if text.isprintable() else ascii(text)


def is_function(one: Handed) -> bool:
    return one.mdev_type is None
