"""Mediated devices of any parent: what they are called, whose they are, how they go and come again; pure."""

from collections.abc import Iterable, Iterator
from typing import ClassVar
from uuid import UUID, uuid5

from gpupass.model.address import Address
from gpupass.model.host import Base, Host
from gpupass.model.mark import Claim, Mark, tag_of
from gpupass.model.mdev import Mdev
from gpupass.model.remedies import remedy
from gpupass.model.user import User, UserKind
from gpupass.model.vgpu_types import param_words
from gpupass.plan import Disruption, Draft, Finding
from gpupass.step import Deed
from gpupass.steps.mdev import SetMdev
from gpupass.steps.vgpu_params import SetVgpuParams

MADE_ANEW = "made anew, so that nothing of its last guest is left"
_NAMESPACE = UUID("5d6a9a52-6f0e-4c0f-9d0a-5b1a3c9b7e21")  # gpupass's own


class Made(Mark, frozen=True, kw_only=True, tag="mdev.made"):
    """This mediated device was made by gpupass; `part` is its UUID, `name` what its slot is called.

    `params`: the vgpu_params that a profile had told it.
    """

    name: str
    type: str
    params: str = ""

    what: ClassVar[str] = "the mediated device"


def mdev_uuid(host: Host, parent: Address, part: str) -> str:
    """The same on this host for ever, and on no other host: from its machine-id, the parent and the name."""
    return str(uuid5(uuid5(_NAMESPACE, host.machine_id), f"{parent}/{part}"))


def made_by_us(host: Host, parent: Base, uuid: str) -> Made | None:
    """Made by gpupass, or adopted."""
    return host.mark_of_this_boot(Made, parent.address, uuid)


def part_of(host: Host, parent: Base, mdev: Mdev) -> str:
    """What it is called among the slots of its parent: its name in a profile, or its UUID."""
    mark = made_by_us(host, parent, mdev.uuid)
    return (mark.name if mark is not None else "") or mdev.uuid


def remembered(host: Host, parent: Base, uuid: str, name: str, kind: str, params: str = "") -> Made:
    return Made(carrier=parent.address, part=uuid, name=name, type=kind, params=params, boot_id=host.boot_id)


def gone(host: Host, parent: Base, mdev: Mdev, turn: int = 0) -> tuple[Deed, ...]:
    """Its end, with all that is known of it."""
    end = SetMdev(
        address=parent.address,
        uuid=mdev.uuid,
        type=mdev.type,
        present=False,
        turn=turn,
        forgets=host.known((tag_of(kind), parent.address, mdev.uuid) for kind in (Claim, Made)),
        why="the profile has none such",
    )
    return (*untold(parent.address, mdev.uuid, mdev.params), end)


def anew(parent: Base, mdev: Mdev) -> Draft:
    """Its end and its making; it stays known, and is told again what it was told."""
    end, made = (
        SetMdev(
            address=parent.address,
            uuid=mdev.uuid,
            type=mdev.type,
            present=present,
            why=MADE_ANEW if present else "its guest has used it",
        )
        for present in (False, True)
    )
    return Draft(
        takes=(*untold(parent.address, mdev.uuid, mdev.params), end),
        makes=(made, *told_again(parent.address, mdev.uuid, mdev.params)),
    )


def untold(address: Address, uuid: str | None, params: str) -> tuple[SetVgpuParams, ...]:
    """What goes with it, so that it is told that again when its end is undone."""
    why = "it goes, and is told its parameters again if that is undone"
    return (SetVgpuParams(address=address, mdev=uuid, params="", why=why),) if param_words(params) else ()


def told_again(address: Address, uuid: str | None, params: str) -> tuple[SetVgpuParams, ...]:
    words = " ".join(param_words(params))
    why = "as it was told before"
    return (SetVgpuParams(address=address, mdev=uuid, params=words, why=why),) if words else ()


def in_use(name: str, what: str, users: tuple[User, ...]) -> Iterator[Finding]:
    """Removing what is open in VFIO never returns, so it is not tried. A domain says more than its QEMU."""
    domains = [user for user in users if user.kind is UserKind.DOMAIN]
    for user in domains or [user for user in users if user.kind is UserKind.PROCESS]:
        domain = user.kind is UserKind.DOMAIN
        yield Finding(
            message=f"{what} is in use by "
            + (f"domain {user.name}" if domain else f"{user.name} ({user.detail})"),
            remedy=f"gpupass detach {user.name} {name}" if domain else remedy(user, name),
        )


def losses(parent: Base, going: Iterable[Mdev]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=parent.address, loses=f"{mdev.uuid} ({mdev.type})", at_work=False) for mdev in going
    )
