"""What has been changed before: applies, single changes, and the way back."""

from msgspec.structs import replace

from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.errors import Usage
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.profile import Profile
from gpupass.observe import nothing, observe
from gpupass.profiles import load_profile
from gpupass.store import store_of
from gpupass.store.applies import read_applies
from gpupass.system import System


def history(system: System) -> tuple[tuple[Apply, ...], tuple[Operation, ...]]:
    """Applies, and every operation that is over or open; oldest first."""
    store = store_of(system)
    operations = (*journal.ended_operations(store), *journal.open_operations(store))
    return read_applies(store), tuple(sorted(operations, key=lambda operation: operation.id))


def last_apply(system: System) -> Apply:
    """The one that `rollback` takes back; Usage when there is none."""
    applies = [
        a for a in read_applies(store_of(system)) if a.end is not ApplyEnd.TAKEN_BACK and not a.takes_back
    ]
    if not applies:
        raise Usage("cannot roll back: nothing has been applied", "gpupass history")
    return applies[-1]


def gone_since(system: System, entry: Apply) -> tuple[Address, ...]:
    """Devices that have left the host."""
    bare = observe(system, detail=nothing, connect=None, processes=False, essentials=False, cuts=False)
    return tuple(address for address in entry.devices if bare.carrier(address) is None)


def before(entry: Apply, gone: tuple[Address, ...] = ()) -> Profile:
    """How its devices were; with some `gone` the others can still become so again."""
    profile = load_profile(f"before {entry.id}", lambda _: entry.before, "")
    if not gone:
        return profile
    return replace(profile, gpus=tuple(replace(rule, optional=True) for rule in profile.gpus))


def after(entry: Apply) -> Profile:
    """What it was to reach."""
    return load_profile(f"after {entry.id}", lambda _: entry.after, "")
