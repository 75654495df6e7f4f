"""Why a card cannot have the NVIDIA vGPUs that somebody wants, or a domain one of them; pure."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from gpupass.devices.mediated import in_use
from gpupass.methods.vgpu import making as vgpu_steps
from gpupass.methods.vgpu.made import (
    There,
    Wish,
    card_state,
    creatable,
    functions_of,
    made,
    offered,
    tells,
)
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.model.host import Device, Host
from gpupass.model.user import UserKind
from gpupass.model.vgpu_types import sizes
from gpupass.plan import Disruption, Finding, adopt_or_take_over

_FIRST_LIBVIRT = (9, 7, 0)  # takes any VF with a vfio-dev directory for one of VFIO (virpci.c)


def lend_findings(host: Host, vf: Device) -> Iterator[Finding]:
    """What keeps a VF of NVIDIA's frameworks from being lent."""
    if vf.physfn is not None and vf.driver == "nvidia" and vf.facts.mdev_types:
        yield Finding(
            message=f"{vf.address} is lent by its mediated devices, not as a whole",
            remedy="a profile with use: vgpu makes one; what there is: gpupass slots " + vf.physfn,
        )
    if not vf.lends_itself or vf.facts.vgpu is None:
        return
    if not vf.facts.vgpu.current:
        yield Finding(
            message=f"{vf.address} has no vGPU type, so its driver lets nobody open it",
            remedy="a profile with use: vgpu gives it one",
        )
    if host.libvirt is not None and host.libvirt < _FIRST_LIBVIRT:
        version = ".".join(map(str, host.libvirt))
        yield Finding(
            message=f"{vf.address} stays with its driver {vf.driver}, and libvirt {version} takes such a VF "
            "for one of the host's",
            remedy="libvirt 9.7 or later",
        )


def mixture(card: Device, wishes: tuple[Wish, ...], staying: tuple[There, ...]) -> Iterator[Finding]:
    wanted = {*(wish.type for wish in wishes), *(one.type for one in staying)}
    if card_state(card).mixed is False and staying and sizes(iter(wanted)) > 1:
        yield Finding(
            message=f"{card.address} has vGPUs of one size only, and can be switched to several sizes "
            f"only while it has none: {', '.join(one.name for one in staying)}",
            remedy=_way_out(card, staying),
        )


def no_turns(card: Device, rule: VgpuRule, there: tuple[There, ...]) -> Iterator[Finding]:
    """Only while no guest runs (nvml.h)."""
    if not any(vgpu_steps.turns(card, rule)):
        return
    busy = _lent(there)
    if card_state(card).scheduler is None:
        yield Finding(
            message=f"{card.address} does not tell how its vGPUs take turns, so it cannot be changed",
            remedy="leave scheduler out",
        )
    elif busy:
        yield Finding(
            message=f"{card.address} can change how its vGPUs take turns only while no guest has one: "
            f"{', '.join(one.name for one in busy)}",
            remedy=f"{_detach(busy)}; or leave scheduler out",
        )


def no_params(rule: VgpuRule, kept: Iterable[There]) -> Iterator[Finding]:
    """The driver refuses while its guest runs."""
    for one in _lent(kept):
        if any(vgpu_steps.params(rule, one)):
            yield Finding(
                message=f"{one.name} can be told its params only while no guest has it",
                remedy=f"{_detach((one,))}; or leave params as they are",
            )


def _way_out(card: Device, staying: tuple[There, ...]) -> str:
    foreign = any(one.mark is None for one in staying)
    adopt = [adopt_or_take_over(card.address)] if foreign else []
    lent = _lent(staying)
    return "; ".join([*adopt, *([_detach(lent)] if lent else [])]) or "stop using them"


def _lent(there: Iterable[There]) -> tuple[There, ...]:
    return tuple(one for one in there if any(user.kind is UserKind.DOMAIN for user in one.users))


def _detach(lent: Iterable[There]) -> str:
    """What to type."""
    return "; ".join(
        f"gpupass detach {user.name} {one.name}"
        for one in lent
        for user in one.users
        if user.kind is UserKind.DOMAIN
    )


def unknown(host: Host, card: Device, types: list[str]) -> Iterator[Finding]:
    """A full card offers nothing: then only what it has is known."""
    known = sorted(offered(host, card) | {one.type for one in made(host, card)})
    seats = functions_of(host, card)
    if types and not any(map(tells, seats)):
        yield Finding(
            message=f"{card.address} has no vGPUs: neither it nor its VFs have mdev_supported_types or "
            "nvidia/current_vgpu_type",
            remedy="install NVIDIA's vGPU host driver, then: gpupass show " + card.address,
        )
        return
    yield from unknown_types(card, types, known)


def unknown_types(card: Device, types: list[str], known: list[str]) -> Iterator[Finding]:
    for name in types:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield Finding(
                message=f"{card.address} offers no vGPU type {name}"
                + (f", did you mean {near[0]}?" if near else ""),
                remedy=f"it offers {', '.join(known) or 'none at present'}",
            )


def too_few(
    card: Device, seats: tuple[Device, ...], new: list[Wish], placed: tuple[tuple[Wish, Device], ...]
) -> Iterator[Finding]:
    if len(placed) < len(new):
        yield Finding(
            message=f"{card.address} has {len(seats)} VFs, and {len(new) - len(placed)} vGPUs find none",
            remedy="ask for fewer, or adopt what others made: gpupass adopt " + card.address,
        )


def no_room(host: Host, card: Device, placed: tuple[tuple[Wish, Device], ...]) -> Iterator[Finding]:
    """A card lists what it has room for; what goes first makes room that no list tells."""
    left = creatable(host, card)
    for name in dict.fromkeys(wish.type for wish, _ in placed if wish.type not in left):
        yield Finding(
            message=f"{card.address} has room for no more {name}",
            remedy=f"it offers {', '.join(sorted(left)) or 'nothing'} at present",
        )


def beside(card: Device, left: tuple[There, ...], alone: str) -> Iterator[Finding]:
    if left:
        names = ", ".join(f"{one.name} ({', '.join([one.type, *_users(one)])})" for one in left)
        yield Finding(
            message=f"{card.address}: {alone} beside vGPUs that stay: {names}",
            remedy=_way_out(card, left),
        )


def _users(one: There) -> list[str]:
    return [user.words for user in one.users if user.works]


def used(gone: tuple[There, ...]) -> Iterator[Finding]:
    for one in gone:
        yield from in_use(one.name, f"{one.name} ({one.type})", one.users)


def losses(gone: tuple[There, ...]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=one.vf.address, loses=f"its vGPU {one.type}", at_work=False) for one in gone
    )
