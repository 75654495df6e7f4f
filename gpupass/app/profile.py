"""plan, apply, check, export, rollback: the trip of a whole profile, its devices in parallel."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.change import QEMU, require_libvirt
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.errors import Usage
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.host import Host
from gpupass.model.profile import NVIDIA_CTK, Profile
from gpupass.observe import nothing, observe
from gpupass.plan import HostPlan
from gpupass.planner.cuts import company
from gpupass.planner.export import export as export_profile
from gpupass.planner.export import made_elsewhere, worth_telling
from gpupass.planner.mig_import import choose_config, import_config
from gpupass.planner.profile import plan_profile
from gpupass.planner.selection import candidates
from gpupass.profiles import load_profile
from gpupass.profiles.mig_parted import read_mig_configs
from gpupass.step import Deed
from gpupass.store import store_of
from gpupass.store.applies import read_applies
from gpupass.system import System

WORKERS = 8


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do with a profile, apart from the profile."""

    source: str = "-"
    connect: str = QEMU
    timeout: float = 60.0  # for guests to let go
    allow_disruption: bool = False
    allow_reset: bool = False  # of NVIDIA GPUs, for another MIG mode
    devices_only: bool = False  # no attachments: libvirt may not run yet
    partly: bool = False  # do what can be done, at boot
    workers: int = WORKERS
    given_up: frozenset[str] = frozenset()  # titles of plans that have failed too often
    takes_back: str = ""
    on_step: Callable[[str, Deed], None] = lambda title, step: None


def plan(system: System, profile: Profile, order: Order) -> HostPlan:
    """What an apply would do now. Usage when the profile does not fit this host."""
    host = look(system, profile, order)
    return plan_profile(profile, host, order.connect, order.devices_only)


def look(system: System, profile: Profile, order: Order) -> Host:
    """The devices that the profile could mean, all that hangs together with them, and its domains."""
    store_of(system).require_readable()  # without the marks everything would look like somebody else's
    connect = None if order.devices_only else order.connect  # asking would start libvirt, which waits for us
    # at boot a missing one is no reason to leave devices undone
    programs = profile.containers == NVIDIA_CTK and not order.partly
    attachments = profile.attachments if not order.devices_only else ()
    host = observe(
        system,
        detail=lambda bare: _worth_a_look(profile, bare),
        connect=connect,
        windows={attachment.domain for attachment in attachments},
        described=False,
        programs=programs,
    )
    if attachments:
        require_libvirt(host)
    return host


def export(system: System, connect: str = QEMU) -> tuple[Profile, Host]:
    """A profile of this host as it is."""
    host = observe(system, connect=connect)
    return export_profile(host, worth_telling(host)), host


def import_mig(system: System, file: str, text: str, config: str | None) -> Profile:
    """What a config of mig-parted's file means on this host; Usage when it cannot be told."""
    chosen = choose_config(read_mig_configs(file, text), config)
    return import_config(chosen, observe(system, connect=None, processes=False, essentials=False, cuts=False))


def foreign(host: Host) -> tuple[str, ...]:
    return tuple(made_elsewhere(host, host.devices))


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
    return tuple(address for address in entry.devices if bare.device(address) is None)


def before(entry: Apply, gone: tuple[Address, ...] = ()) -> Profile:
    """How its devices were; with some `gone` the others can still become so again."""
    profile = load_profile(f"before {entry.id}", lambda _: entry.before, "")
    if not gone:
        return profile
    return replace(profile, gpus=tuple(replace(rule, optional=True) for rule in profile.gpus))


def history(system: System) -> tuple[tuple[Apply, ...], tuple[Operation, ...]]:
    """Applies, and every operation that is over or open; oldest first."""
    operations = (*journal.ended_operations(store_of(system)), *journal.open_operations(store_of(system)))
    return read_applies(store_of(system)), tuple(sorted(operations, key=lambda operation: operation.id))


def _worth_a_look(profile: Profile, bare: Host) -> set[Address]:
    """The candidates, their groups and VFs with theirs, and the ports above."""
    chosen = bare.devices_at(candidates(profile, bare))
    chosen = (*chosen, *(other for device in chosen for other in company(bare, device)))
    pfs = {device.address for device in chosen}
    vfs = tuple(device for device in bare.devices if device.physfn in pfs)
    found = {member.address for device in (*chosen, *vfs) for member in bare.group_of(device)}
    todo = list(found)
    while todo:
        device = bare.device(todo.pop())
        if device is not None and device.parent is not None and device.parent not in found:
            found.add(device.parent)
            todo.append(device.parent)
    return found
