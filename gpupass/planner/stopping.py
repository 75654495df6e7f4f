"""Who works with a device for the host is stopped before a change, and started again when it is back; pure.

Only what somebody has named, is at work and has one of the devices open is stopped, and only where a step
must be without it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.host import Device, Host
from gpupass.model.mark import Stopped
from gpupass.model.stoppable import CONSOLE, DISPLAY_MANAGER, FILE
from gpupass.model.user import Holder, User
from gpupass.plan import Draft, Finding
from gpupass.planner.draft import imagine
from gpupass.planner.order import in_order
from gpupass.step import Deed, Kind
from gpupass.steps.stopping import AwaitIdle, SetConsole, SetFramebuffer, SetUnit, remembered

Holding = type[SetUnit] | type[SetConsole] | type[SetFramebuffer]
_KINDS: dict[str, Holding] = {kind.__name__: kind for kind in (SetUnit, SetConsole, SetFramebuffer)}


def with_holders(
    host: Host, devices: Collection[Address], names: Collection[str], plan: Callable[[Host], Draft]
) -> Draft:
    """The draft of `plan`, on the host without those who may be stopped; with their stop and start."""
    stops = letting_go(host, devices, names)
    draft = plan(host.after(stops)) + Draft(findings=tuple(unknown(host, names)))
    return around(host, stops, devices, draft)


def letting_go(host: Host, devices: Collection[Address], names: Collection[str]) -> tuple[Deed, ...]:
    """What each of these names holds of the devices is stopped for all that it holds."""
    found: dict[tuple[Holding, str], dict[Address, None]] = {}
    for device in host.devices_at(devices):
        for user in device.users:
            for holding in _holdings(user, names):
                found.setdefault(holding, {})[device.address] = None
    stops = [
        remembered(kind(addresses=tuple(at), handle=handle, on=False, why=_why(at)), host.boot_id)
        for (kind, handle), at in found.items()
    ]
    services = dict.fromkeys(at for stop in stops if isinstance(stop, SetUnit) for at in stop.addresses)
    idle = (AwaitIdle(addresses=tuple(services), why="whoever was stopped may be slow to go"),)
    return (*stops, *(idle if services else ()))


def around(
    host: Host,
    stops: Collection[Deed],
    devices: Collection[Address],
    draft: Draft,
    continues: bool = False,
) -> Draft:
    """With the stops that its steps need, and what is to be started again where the host has a device back.

    `continues`: more rounds follow, the last of which starts it.
    """
    alone = {fact for step in draft.steps for fact in step.without if fact[0] is Kind.AT_WORK}
    needed = tuple(stop for stop in stops if stop.ends & alone)
    then = imagine(host.after(needed), in_order(draft.takes, draft.makes))
    starts = () if continues else tuple(_starts(then, devices))
    warned = tuple(_warnings(host, needed))
    return Draft(takes=needed) + draft + Draft(makes=starts, findings=warned)


def unknown(host: Host, names: Iterable[str]) -> Iterator[Finding]:
    for name in dict.fromkeys(names):
        if host.stoppable and name not in host.stoppable:
            yield Finding(
                message=f"{name} is nothing that may be stopped",
                remedy=f"one of {', '.join(sorted(host.stoppable))}; others: a line NAME UNIT in {FILE}",
            )


def _holdings(user: User, names: Collection[str]) -> Iterator[tuple[Holding, str]]:
    name, _, units = user.handle.partition(" ")
    if user.holder is Holder.STOPPABLE and name in names:
        yield from ((SetUnit, unit) for unit in units.split())
    if user.holder is Holder.CONSOLE and CONSOLE in names:
        yield SetConsole, user.handle
    if user.holder is Holder.FRAMEBUFFER and CONSOLE in names:
        yield SetFramebuffer, user.handle


def _why(held: Iterable[Address]) -> str:
    return f"it holds {', '.join(held)}"


def _starts(then: Host, devices: Collection[Address]) -> Iterator[Deed]:
    """Also what is not remembered for these devices alone: it is started once."""
    home = [at for at in devices if (device := then.device(at)) is not None and _is_home(device)]
    back: dict[tuple[str, str], list[Address]] = {}
    for mark in then.marks:
        if isinstance(mark, Stopped) and mark.boot_id == then.boot_id and mark.carrier in home:
            back.setdefault((mark.step, mark.part), []).append(Address(mark.carrier))
    for (step, handle), addresses in back.items():
        keys = tuple(mark.key for mark in then.marks if isinstance(mark, Stopped) and mark.part == handle)
        start = _KINDS[step](
            addresses=tuple(addresses), handle=handle, on=True, why="it was stopped for this"
        )
        yield replace(start, forgets=keys)


def _is_home(device: Device) -> bool:
    return device.driver is not None and not device.on_vfio


def _warnings(host: Host, stops: Iterable[Deed]) -> Iterator[Finding]:
    handles = {stop.handle for stop in stops if isinstance(stop, SetUnit)}
    desktop = {
        user.handle.rpartition(" ")[2]
        for device in host.devices
        for user in device.users
        if user.holder is Holder.STOPPABLE and user.handle.startswith(f"{DISPLAY_MANAGER} ")
    }
    if handles & desktop:
        yield Finding(
            message="the desktop ends with its display manager, and with it whatever was started from it",
            remedy="start this from ssh or a text console, or: systemd-run gpupass …",
            fatal=False,
        )
