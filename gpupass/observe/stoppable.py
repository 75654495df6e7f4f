"""What may be stopped here: gpupass's own table, and what the administrator has added to it."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from gpupass.errors import Refused
from gpupass.model.stoppable import ALIAS, DISPLAY_MANAGER, FILE, NAMES, Table, parse, table_of
from gpupass.model.user import Holder, User
from gpupass.system import Reader, System


def read_stoppable(system: Reader) -> tuple[Table, tuple[str, ...], tuple[str, ...]]:
    """The table, every name there is, and why some of the administrator's file does not count."""
    added, wrong = _added(system)
    table = table_of(NAMES, added, display_manager=system.link(ALIAS) or "")
    return table, tuple(dict.fromkeys((*NAMES, *added))), wrong


def as_stoppable(users: Iterable[User], table: Table) -> Iterator[User]:
    """A service that may be stopped is told by its name and its unit."""
    manager = next((unit for unit, name in table.items() if name == DISPLAY_MANAGER), "")
    for user in users:
        unit = manager if user.holder is Holder.DESKTOP else user.handle
        if user.holder in (Holder.UNIT, Holder.DESKTOP) and unit in table:
            yield replace(user, holder=Holder.STOPPABLE, handle=f"{table[unit]} {unit}")
        else:
            yield user


def with_triggers(system: Reader, users: Mapping[str, tuple[User, ...]]) -> dict[str, tuple[User, ...]]:
    """What would start a service again is named before it: that is stopped first."""
    if not isinstance(system, System):
        return dict(users)
    services = {_service(user) for them in users.values() for user in them} - {""}
    if not services:
        return dict(users)
    from gpupass.system.services import triggers

    known = {unit: triggers(system, unit) for unit in services}
    return {at: tuple(_named(user, known) for user in them) for at, them in users.items()}


def _service(user: User) -> str:
    unit = user.handle.rpartition(" ")[2] if user.holder in (Holder.UNIT, Holder.STOPPABLE) else ""
    return unit if unit.endswith(".service") else ""


def _named(user: User, triggers: Mapping[str, tuple[str, ...]]) -> User:
    unit = _service(user)
    name = user.handle.removesuffix(unit)
    return replace(user, handle=name + " ".join((*triggers.get(unit, ()), unit))) if unit else user


def _added(system: Reader) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    try:
        data = system.read_order(FILE)
    except Refused as refused:
        return {}, (f"{FILE}: {refused.message}",)
    found, wrong = parse((data or b"").decode(errors="replace"))
    return found, tuple(f"{FILE}: {text}" for text in wrong)
