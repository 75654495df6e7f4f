"""Keeps promises: looks whenever libvirt tells of something, and again at what could not be done.

It compares what is with what is promised, so what it has not heard of, as libvirt or itself was away, it
makes good. No lock is held while it waits.
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
from gpupass.system import System, interrupts, notify

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


def listen(start: Callable[[], System], tell: Tell, connect: str = QEMU) -> None:
    """Until a signal ends it. Each look has a System of its own; libvirt's events come to one that stays."""
    ears = start()
    known: dict[str, str] = {}  # what could not be done, by title: told once
    pause = _FIRST
    while True:
        with interrupts.deferred():
            heard, reports = _look(ears, start, connect)
            _tell(reports, known, tell)
            if interrupts.asked():
                return
        notify.ready()
        pause = min(pause * 2, _LAST) if known else _FIRST
        if heard is None:
            ears.sleep(_AWAY)
        else:
            ears.hypervisor(connect).wait_event(heard, pause if known else _QUIET)


def _look(ears: System, start: Callable[[], System], connect: str) -> tuple[int | None, tuple[Report, ...]]:
    """What was heard before it, None: libvirt is away; and what became of all that was due."""
    try:
        hypervisor = ears.hypervisor(connect)
        hypervisor.require_answer()
        heard = hypervisor.events()
        return heard, tuple(sweep(start(), connect))
    except GpupassError as error:
        return None, (_not_done("hear libvirt", error),)


def sweep(system: System, connect: str = QEMU) -> Iterator[Report]:
    """All that is due now; one that cannot be done keeps no other from it."""
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
    for operation in begun:
        report = recover_one(session, operation, session.system.monotonic())
        yield report
        if report.ending not in (Ending.DONE, Ending.ROLLED_BACK):
            return
    heirs = tuple(heir for promise in one.promises for heir in promise.to)
    roms = (heir.options.rom_file for heir in heirs)
    wanted = Kept(
        group=one.group,
        mdev=one.mdev,
        connect=connect,
        domains=tuple(dict.fromkeys(heir.uuid for heir in heirs)),
        settings=any(heir.options.set_it for heir in heirs),
        roms=tuple(dict.fromkeys(rom for rom in roms if rom is not None)),
    )
    try:
        yield keep(session, wanted)
    except Exception as bug:
        yield _not_done(one.title, as_error(bug))


def _domains(system: System, connect: str) -> tuple[Domain, ...]:
    """All of them: one that cannot be read could have anything."""
    domains, unseen = read_domains(system, connect)
    if unseen:
        raise NoLibvirt(f"cannot tell which domain has what: {unseen[0]}", "virsh list --all")
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
    before = dict(known)
    known.clear()
    for report in reports:
        if report.ending not in (Ending.DONE, Ending.NOTHING, Ending.ROLLED_BACK):
            known[report.title] = report.note
        known_already = before.get(report.title) == report.note
        if report.ending not in (Ending.NOTHING, Ending.BUSY) and not known_already and not _noted(report):
            tell(report)


def _noted(report: Report) -> bool:
    """For itself alone: that a domain has stopped which had given it back before."""
    return bool(report.plan.steps) and all(step.hidden for step in report.plan.steps)


def _not_done(title: str, error: GpupassError) -> Report:
    return failed(Report(title=title, ending=Ending.FAILED, plan=Plan(title=title)), error)
