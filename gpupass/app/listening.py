"""Keeps promises: looks whenever libvirt tells of something, and again at what could not be done.

Not by a hook of libvirt's: those run while it holds the domain, may not ask it anything, and cannot give the
domain a device that its definition has not (docs/hooks.rst); one that hangs hangs the start. What is is
compared with what is promised, so what was not heard of, as libvirt or this was away, is made good. No lock
is held while it waits.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from gpupass.app.promises import Kept, keep
from gpupass.app.recovery import recover_one, unfinished
from gpupass.app.report import Ending, Report, failed
from gpupass.app.session import Session
from gpupass.engine.journal import Operation
from gpupass.errors import GpupassError, NoLibvirt, as_error
from gpupass.lending.promises import stirs
from gpupass.model.address import Address
from gpupass.model.domain import QEMU, Domain
from gpupass.model.mark import Promise
from gpupass.observe.domains import read_domains
from gpupass.observe.pci import read_group
from gpupass.plan import Plan
from gpupass.store.marks import read_marks_of
from gpupass.system import System, interrupts, notify, patience
from gpupass.system.libvirt import LibvirtFailure

_FIRST, _LAST = 1.0, 60.0  # seconds until it looks again at what could not be done, at first and at last
_AWAY = 5.0  # … whether libvirt is back
_QUIET = 600.0  # … though nobody has told of anything

Tell = Callable[[Report], None]


class Together(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised and changes hands at once: of a group, or one mediated device."""

    group: tuple[Address, ...]
    mdev: str | None
    promises: tuple[Promise, ...]

    @property
    def title(self) -> str:
        return f"keep the promise of {self.mdev or self.group[0]}"

    def wanted(self, connect: str) -> Kept:
        heirs = tuple(heir for promise in self.promises for heir in promise.to)
        roms = (heir.options.rom_file for heir in heirs)
        return Kept(
            group=self.group,
            mdev=self.mdev,
            connect=connect,
            domains=tuple(dict.fromkeys(heir.uuid for heir in heirs)),
            settings=any(heir.options.set_it for heir in heirs),
            roms=tuple(dict.fromkeys(rom for rom in roms if rom is not None)),
        )


def listen(start: Callable[[], System], tell: Tell, connect: str = QEMU) -> None:
    """Until a signal ends it. Each look has a System of its own; libvirt's events come to one that stays."""
    ears = start()
    known: dict[str, str] = {}  # what could not be done, by title: told once
    pause = _FIRST
    while True:
        heard, away = _heard(ears, connect)
        notify.ready()
        with interrupts.deferred():
            _tell(away or _swept(start(), connect), known, tell)
            if interrupts.asked():
                return
        pause = min(pause * 2, _LAST) if known else _FIRST
        if heard is None:
            ears.sleep(max(pause, _AWAY))
        else:
            ears.hypervisor(connect).wait_event(heard, pause if known else _QUIET)


def _heard(ears: System, connect: str) -> tuple[int | None, tuple[Report, ...]]:
    """How many events until now; None where libvirt is away, and why."""
    try:
        hypervisor = ears.hypervisor(connect)
        hypervisor.require_answer()
        return hypervisor.events(), ()
    except GpupassError as error:
        return None, (_not_done("hear libvirt", error),)


def _swept(system: System, connect: str) -> tuple[Report, ...]:
    try:
        return tuple(sweep(system, connect))
    except Exception as bug:
        return (_not_done("look after promises", as_error(bug)),)


def sweep(system: System, connect: str = QEMU) -> Iterator[Report]:
    """All that is due now; one that cannot be done keeps no other from it."""
    patience.anew()
    with Session(system) as session:
        promises = read_marks_of(session.store, Promise)
        domains = _domains(system, connect) if promises else ()
        for one in _together(system, promises):
            if interrupts.asked():
                return
            begun = tuple(each for each in unfinished(system) if set(each.devices) & set(one.group))
            if begun or any(stirs(promise, domains, system.boot_id()) for promise in one.promises):
                yield from _kept(session, one, begun, connect)


def _kept(session: Session, one: Together, begun: tuple[Operation, ...], connect: str) -> Iterator[Report]:
    """What somebody has begun is taken to its end before: whoever asked for it comes first."""
    try:
        for operation in begun:
            report = recover_one(session, operation, session.system.monotonic())
            yield report
            if report.ending not in (Ending.DONE, Ending.ROLLED_BACK):
                return
        yield keep(session, one.wanted(connect))
    except Exception as bug:
        yield _not_done(one.title, as_error(bug))


def _domains(system: System, connect: str) -> tuple[Domain, ...]:
    """All of them: one that cannot be read could have anything."""
    domains, unseen = read_domains(system, connect)
    if unseen:
        raise NoLibvirt(
            f"cannot tell which domain has what: {unseen[0]}", "systemctl status libvirtd virtqemud"
        )
    return domains


def _together(system: System, promises: tuple[Promise, ...]) -> Iterator[Together]:
    left = list(promises)
    while left:
        first = left[0]
        group = read_group(system, first.carrier) or (first.carrier,)
        mdev = first.part or None
        same = [
            one for one in left if one is first or (mdev is None and not one.part and one.carrier in group)
        ]
        left = [one for one in left if one not in same]
        yield Together(group=group, mdev=mdev, promises=tuple(same))


def _tell(reports: tuple[Report, ...], known: dict[str, str], tell: Tell) -> None:
    """Why something cannot be done is told once, and again when it is another reason."""
    before = dict(known)
    known.clear()
    for report in reports:
        about, why = _reason(report)
        if report.ending not in (Ending.DONE, Ending.NOTHING, Ending.ROLLED_BACK):
            known[about] = why
        if (
            report.ending not in (Ending.NOTHING, Ending.BUSY)
            and before.get(about) != why
            and not _noted(report)
        ):
            tell(report)


def _reason(report: Report) -> tuple[str, str]:
    """Of libvirt that does not answer it is one, whatever it was asked and however long."""
    away = isinstance(report.error, NoLibvirt | LibvirtFailure)
    return ("libvirt", "away") if away else (report.title, report.note)


def _noted(report: Report) -> bool:
    """For itself alone: that a domain has stopped which had given it back before."""
    return bool(report.plan.steps) and all(step.hidden for step in report.plan.steps)


def _not_done(title: str, error: GpupassError) -> Report:
    return failed(Report(title=title, ending=Ending.FAILED, plan=Plan(title=title)), error)
