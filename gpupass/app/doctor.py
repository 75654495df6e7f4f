"""`gpupass doctor`: what is looked at for it, whom it is asked about, and what it sets right."""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.boot import OfBoot
from gpupass.app.intents import Intent
from gpupass.app.look import group_addresses, with_bridges_above
from gpupass.app.profile_file import load_file
from gpupass.app.report import Ending, Report
from gpupass.app.session import Session
from gpupass.app.verbs import single
from gpupass.boot.initramfs import TRACES
from gpupass.doctor.check import Purpose, Sight
from gpupass.doctor.examine import Diagnosis, examine
from gpupass.doctor.fix import fix_plan, needs_reboot, paths
from gpupass.doctor.undo import undo_plan, written_paths
from gpupass.errors import Usage
from gpupass.model.address import BOOT, Address, root_of
from gpupass.model.boot import BootState
from gpupass.model.ground import Ground
from gpupass.model.host import Host
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.observe.boot import read_boot
from gpupass.observe.ground import read_ground
from gpupass.plan import HostPlan, Plan
from gpupass.planner.selection import candidates, choose
from gpupass.system import Reader, System

_SECONDS = 30.0
_USES = {purpose.value: purpose for purpose in Purpose}  # what a rule of a profile calls its way


class About(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody has narrowed it to: words of --for."""

    purposes: frozenset[Purpose] = frozenset()
    devices: tuple[Address, ...] = ()
    profile: Profile | None = None


class Examination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen and found."""

    sight: Sight
    found: tuple[Diagnosis, ...]


def about(system: Reader, words: Iterable[str]) -> About:
    """A purpose, a profile that is there as a file, else a device. Usage where it is none."""
    purposes, devices, profiles = set[Purpose](), list[Address](), list[Profile]()
    for word in words:
        if word in _USES:
            purposes.add(_USES[word])
        elif "/" in word or word.endswith((".yaml", ".yml")) or Path(word).is_file():
            profiles.append(load_file(system, word))
        else:
            devices.append(group_addresses(system, word)[0])
    if len(profiles) > 1:
        raise Usage("cannot look for several profiles at once", "gpupass doctor --for FILE")
    return About(
        purposes=frozenset(purposes), devices=tuple(devices), profile=profiles[0] if profiles else None
    )


def examined(system: Reader, connect: str, asked: About) -> Examination:
    """One look, and every check of it."""
    sight = _sight(system, connect, asked)
    return Examination(sight=sight, found=examine(sight))


def _purposes(profile: Profile | None) -> frozenset[Purpose]:
    if profile is None:
        return frozenset()
    found = {_USES[rule.use] for rule in profile.gpus if rule.use in _USES}
    return frozenset({*found, *((Purpose.HOTPLUG,) if profile.attachments else ())})


def _sight(system: Reader, connect: str, asked: About) -> Sight:
    profile = asked.profile

    def wanted(bare: Host) -> Iterable[Address]:
        meant = candidates(profile, bare) if profile is not None else ()
        gpus = tuple(device.address for device in bare.devices if device.is_gpu)
        first = bare.devices_at((*gpus, *asked.devices, *meant))
        members = tuple(member.address for device in first for member in bare.group_of(device))
        return with_bridges_above(bare, members)

    host = observe(system, detail=wanted, connect=connect)
    chosen: frozenset[Address] | None = frozenset(asked.devices) or None
    guests: frozenset[str] | None = None
    if profile is not None:
        meant = {root_of(one.carrier.address) for one in choose(profile, host)}
        chosen = frozenset({*meant, *asked.devices})
        guests = frozenset(one.domain for one in profile.attachments)
    looked_at = tuple(device for device in host.devices if device.detail is not None)
    return Sight(
        host=host,
        ground=read_ground(system, looked_at, connect),
        chosen=chosen,
        guests=guests,
        purposes=asked.purposes | _purposes(profile),
    )


class SetRight(OfBoot, frozen=True, kw_only=True):
    """What of the remedies is safe and can be taken back is done."""

    asked: About
    connect: str

    @property
    def action(self) -> str:
        return "doctor"

    def look(self, system: System) -> tuple[Examination, BootState]:
        seen = examined(system, self.connect, self.asked)
        return seen, read_boot(system, paths=paths(seen.sight.ground, seen.found), traces=TRACES)

    def plan(self, sight: tuple[Examination, BootState]) -> HostPlan:
        seen, boot = sight
        return self.agreed(fix_plan(seen.found, seen.sight.ground, boot))


class TakenBack(OfBoot, frozen=True, kw_only=True):
    """What was set right so is as before."""

    @property
    def action(self) -> str:
        return "doctor"

    def look(self, system: System) -> tuple[Ground, BootState]:
        ground = read_ground(system, ())
        return ground, read_boot(system, paths=written_paths(ground), traces=TRACES)

    def plan(self, sight: tuple[Ground, BootState]) -> HostPlan:
        return self.agreed(undo_plan(*sight))


def set_right(
    system: System, connect: str, asked: About, *, dry_run: bool = False, approved: Plan | None = None
) -> Report:
    """On the one trip of every change: journalled, and taken back whole where a part of it fails."""
    return _carry_out(system, SetRight(asked=asked, connect=connect, approved=approved), dry_run)


def take_back(system: System, *, dry_run: bool = False, approved: Plan | None = None) -> Report:
    """Whatever `set_right` has written, at any time."""
    return _carry_out(system, TakenBack(approved=approved), dry_run)


def _carry_out(system: System, intent: Intent, dry_run: bool) -> Report:
    with Session(system) as session:
        report = single(session, intent, (BOOT,), seconds=_SECONDS, dry_run=dry_run)
    if report.ending is Ending.DONE and needs_reboot(report.plan):
        return replace(report, note="reboot; then: gpupass doctor")
    return report
