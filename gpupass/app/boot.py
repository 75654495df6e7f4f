"""What the next boot does: the profile and its units, and the devices that are bound early."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.files import facts_after, facts_of_boot, names_in
from gpupass.app.intents import Alone, Intent
from gpupass.app.look import group_addresses
from gpupass.app.report import Ending, Report
from gpupass.app.session import Session
from gpupass.app.verbs import single
from gpupass.boot.early import PATHS, RULES, early_bound
from gpupass.boot.initramfs import TRACES
from gpupass.boot.plan import disable_plan, early_bind_plan, early_bind_undo_plan, enable_plan
from gpupass.boot.units import PROFILE, UNITS, unit_path
from gpupass.errors import Refused, Usage
from gpupass.model.address import BOOT, Address, parse_address
from gpupass.model.boot import BootState
from gpupass.model.host import Host
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.observe.boot import read_boot
from gpupass.plan import HostPlan, Plan
from gpupass.planner.difference import Difference, Facts, difference
from gpupass.planner.selection import pinned
from gpupass.profiles import write_profile
from gpupass.steps.file import WriteFile
from gpupass.system import System

_SECONDS = 30.0  # what a crashed gpupass left is rolled back within
_UNIT_PATHS = tuple(unit_path(unit) for unit in UNITS)
Load = Callable[[str], Profile]  # by its name


class FileChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it is and as a plan wants it."""

    path: str
    before: str | None
    after: str | None


class OfBoot(Alone, frozen=True, kw_only=True):
    """Files of the next boot: only what was approved is done."""

    approved: Plan | None = None

    def foreseen(self, sight: Any, plan: Plan) -> Difference:
        return difference(self.facts(sight, names_in(plan)), facts_after(plan))

    def facts(self, sight: Any, names: Iterable[str]) -> Facts:
        boot = sight if isinstance(sight, BootState) else sight[1]
        return facts_of_boot(boot, names)

    def touches(self, sight: object) -> tuple[Address, ...]:
        return (BOOT,)

    def agreed(self, plan: Plan) -> HostPlan:
        if self.approved is not None and plan.steps and plan.steps != self.approved.steps:
            raise Refused(
                f"cannot {plan.title}: the files have changed since they were shown", "the same command again"
            )
        return HostPlan(plans=(plan,))


class Enabled(OfBoot, frozen=True, kw_only=True):
    """Every boot applies the profile."""

    profile: str  # its text, without includes
    executable: str
    source: str

    def look(self, system: System) -> BootState:
        return _units_now(system)

    def plan(self, sight: BootState) -> HostPlan:
        return self.agreed(enable_plan(sight, self.profile, self.executable, self.source))


class Disabled(OfBoot, frozen=True, kw_only=True):
    """No boot does."""

    def look(self, system: System) -> BootState:
        return _units_now(system)

    def plan(self, sight: BootState) -> HostPlan:
        return self.agreed(disable_plan(sight))


class EarlyBound(OfBoot, frozen=True, kw_only=True):
    """vfio-pci has these at boot before any driver sees them."""

    chosen: tuple[Address, ...]
    along: tuple[Address, ...] = ()

    def look(self, system: System) -> tuple[Host, BootState]:
        boot = _early_now(system)
        return _host(system, (*self.chosen, *early_bound(boot.file(RULES)))), boot

    def plan(self, sight: tuple[Host, BootState]) -> HostPlan:
        host, boot = sight
        return self.agreed(early_bind_plan(host, boot, host.devices_at(self.chosen), self.along))


class EarlyUndone(OfBoot, frozen=True, kw_only=True):
    """It has these no longer; (): none at all."""

    leave: tuple[Address, ...] = ()

    def look(self, system: System) -> tuple[Host, BootState]:
        boot = _early_now(system)
        return _host(system, tuple(early_bound(boot.file(RULES)))), boot

    def plan(self, sight: tuple[Host, BootState]) -> HostPlan:
        host, boot = sight
        return self.agreed(early_bind_undo_plan(host, boot, self.leave))


def enable(
    system: System,
    name: str,
    *,
    load: Load,
    executable: str,
    dry_run: bool = False,
    approved: Plan | None = None,
) -> Report:
    """Have every boot apply the profile `name`; nothing is changed before the next one.

    An address in it means the device that has it now: Refused where that cannot be told.
    """
    source = _source(name)
    wanted = load(source)
    profile = _header(source) + write_profile(pinned(wanted, _named(system, wanted)))
    intent = Enabled(profile=profile, executable=executable, source=source, approved=approved)
    report = _carry_out(system, intent, dry_run)
    if report.ending is Ending.DONE:
        return replace(report, note=f"from the next boot on; now: gpupass apply {shlex.quote(source)}")
    return report


def disable(system: System, *, dry_run: bool = False) -> Report:
    """No boot applies a profile any more; the devices stay as they are now."""
    return _carry_out(system, Disabled(), dry_run)


def early_bind(
    system: System,
    devices: tuple[str, ...],
    *,
    agreed: tuple[str, ...] = (),
    undo: bool = False,
    dry_run: bool = False,
    approved: Plan | None = None,
) -> Report:
    """Bind devices to vfio-pci from the next boot on, before any driver sees them; or no longer."""
    if undo:
        bound = tuple(early_bound(_early_now(system).file(RULES)))
        leave = tuple(_bound_address(system, device, bound) for device in devices)
        return _carry_out(system, EarlyUndone(leave=leave, approved=approved), dry_run)
    chosen = tuple(dict.fromkeys(group_addresses(system, device)[0] for device in devices))
    along = tuple(address for text in agreed if (address := parse_address(text)) is not None)
    return _carry_out(system, EarlyBound(chosen=chosen, along=along, approved=approved), dry_run)


def file_changes(system: System, plan: Plan) -> tuple[FileChange, ...]:
    """What an operator agrees to."""
    changes = []
    for step in plan.steps:
        if isinstance(step, WriteFile):
            file = system.read_file(step.path)
            changes.append(FileChange(path=step.path, before=file.text if file else None, after=step.text))
    return tuple(changes)


def _bound_address(system: System, device: str, bound: tuple[Address, ...]) -> Address:
    """A device that is bound early may have left the host since."""
    typed = parse_address(device)
    return typed if typed is not None and typed in bound else group_addresses(system, device)[0]


def _carry_out(system: System, intent: Intent, dry_run: bool) -> Report:
    with Session(system) as session:
        return single(session, intent, (BOOT,), seconds=_SECONDS, dry_run=dry_run)


def _units_now(system: System) -> BootState:
    return read_boot(system, paths=(PROFILE, *_UNIT_PATHS), units=UNITS)


def _early_now(system: System) -> BootState:
    return read_boot(system, paths=PATHS, traces=TRACES)


def _named(system: System, profile: Profile) -> Host:
    """With whatever tells its devices from others of their model."""
    by_address = {rule.select.address for rule in profile.gpus} - {None}
    return observe(
        system,
        detail=lambda host: {one.address for one in host.devices if one.address in by_address},
        connect=None,
        processes=False,
        essentials=False,
        marks=False,
    )


def _host(system: System, addresses: tuple[Address, ...]) -> Host:
    def groups(host: Host) -> set[Address]:
        return {m.address for device in host.devices_at(addresses) for m in host.group_of(device)}

    return observe(system, detail=groups, connect=None, processes=False)


def _source(name: str) -> str:
    source = str(Path(name).resolve())
    if not source.isprintable():
        raise Usage(f"cannot enable {source!r}: a comment could not hold this name", "mv it to another name")
    if source == PROFILE:
        raise Usage(
            f"cannot enable {source}: gpupass enable installs its copy there", "gpupass enable OTHER-FILE"
        )
    return source


def _header(source: str) -> str:
    return (
        f"# Installed by `gpupass enable {shlex.quote(source)}`, which every `gpupass enable` replaces.\n"
        "# Change that file and enable it again, not this one.\n"
    )
