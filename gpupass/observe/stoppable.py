"""What may be stopped here: gpupass's own table, and what the administrator has added to it."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gpupass.errors import Refused
from gpupass.model.stoppable import ALIAS, DISPLAY_MANAGER, FILE, NAMES, Table, parse, table_of
from gpupass.model.user import Holder, User
from gpupass.system import Reader


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


def _added(system: Reader) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    try:
        data = system.read_order(FILE)
    except Refused as refused:
        return {}, (f"{FILE}: {refused.message}",)
    found, wrong = parse((data or b"").decode(errors="replace"))
    return found, tuple(f"{FILE}: {text}" for text in wrong)
