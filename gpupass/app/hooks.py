"""What the administrator wants done before and after each change: his programs, with the plan to read.

A program that says no before a change refuses it; afterwards it can only warn. Whoever was run before is run
afterwards, too, however the change ends: what a crash has cut off is told by who takes it to its end.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from gpupass.app.report import Ending, Report
from gpupass.engine import journal
from gpupass.errors import GpupassError, Interrupted, Refused
from gpupass.model.address import Address
from gpupass.model.mark import Hooked
from gpupass.model.wire import SCHEMA, from_json, to_json
from gpupass.plan import Finding, Plan
from gpupass.store import Store
from gpupass.store.marks import forget, read_marks_of, set_mark
from gpupass.system import System, interrupts

REFUSED, INTERRUPTED = "refused", "interrupted"
_ENDED = {  # how the journal calls it → as reports do
    "done": Ending.DONE,
    "rolled-back": Ending.ROLLED_BACK,
    "partly": Ending.NEEDS_PERSON,
    "needs-person": Ending.NEEDS_PERSON,
}


class Phase(StrEnum):
    """When a hook is run: its second argument."""

    BEFORE = "before"
    AFTER = "after"


class Result(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one plan has ended, as reports say it."""

    title: str
    ending: str


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hook reads, as JSON."""

    action: str  # bind, unbind, attach, detach, move, apply, rollback, …: its first argument, too
    phase: Phase
    plans: tuple[Plan, ...]
    results: tuple[Result, ...] = ()  # afterwards
    schema: int = SCHEMA
    kind: Literal["gpupass hook"] = "gpupass hook"


class Hooks:
    """Those of one change, found once: one that comes meanwhile has not heard of its beginning."""

    def __init__(self, system: System, store: Store, action: str, plans: tuple[Plan, ...]) -> None:
        self.system, self.store, self.action, self.plans = system, store, action, plans
        self.ran: list[str] = []
        self.mark: Hooked | None = None

    def before(self, title: str) -> None:
        """Refused ("cannot TITLE: …") in the words of the first that says no."""
        for path in self.system.hooks():
            try:
                self._remember(path)
                self._run(path, Phase.BEFORE)
            except Interrupted:
                self.after(INTERRUPTED)
                raise
            except GpupassError as error:
                self.after(REFUSED)
                why = f"cannot {title}: the hook {path} says no: {error.message}"
                raise Refused(why, f"ls -l {path}") from None
            self.ran.append(path)

    def after(self, ending: str = "", reports: tuple[Report, ...] = ()) -> tuple[Finding, ...]:
        """What they complain of; `ending` is that of plans without a report."""
        known = {report.title: report.ending.value for report in reports}
        results = tuple(Result(title=one.title, ending=known.get(one.title, ending)) for one in self.plans)
        found = []
        for path in self.ran:
            try:
                self._run(path, Phase.AFTER, results)
            except GpupassError as error:
                found.append(_complaint(path, error))
        if self.mark is not None and not any(report.ending is Ending.PENDING for report in reports):
            forget(self.store, self.mark.key)
        return tuple(found)

    def _remember(self, path: str) -> None:
        """Before it is run: its unit goes on when we are killed."""
        devices = tuple(dict.fromkeys(address for plan in self.plans for address in plan.devices))
        if not devices:
            return
        begun = Given(action=self.action, phase=Phase.BEFORE, plans=self.plans)
        self.mark = Hooked(
            carrier=devices[0],
            devices=devices,
            boot_id=self.system.boot_id(),
            action=self.action,
            ran=(*self.ran, path),
            given=to_json(begun).decode(),
            since=self.mark.since if self.mark is not None else self.system.now(),
        )
        set_mark(self.store, self.mark)

    def _run(self, path: str, phase: Phase, results: tuple[Result, ...] = ()) -> None:
        given = Given(action=self.action, phase=phase, plans=self.plans, results=results)
        with interrupts.deferred():
            self.system.run_hook(path, self.action, phase, given=to_json(given, indent=1))
            if interrupts.asked() and phase is Phase.BEFORE:
                raise Interrupted(f"interrupted in the hook {path}: nothing has been changed")


def left(store: Store, devices: Collection[Address] | None = None) -> tuple[Hooked, ...]:
    """Of changes that were cut off, or whose guest had not let go; of these devices, or of all."""
    found = read_marks_of(store, Hooked)
    return tuple(one for one in found if devices is None or set(one.devices) & set(devices))


def tell_the_end(
    system: System, store: Store, mark: Hooked, reports: Iterable[Report] = ()
) -> tuple[Finding, ...]:
    """As `Hooks.after` would have, by the same programs that are still there; what they complain of.

    After a reboot nobody is told: what they had done for it went with that boot.
    """
    found = []
    if mark.boot_id == system.boot_id():
        given = _given_at_the_end(store, mark, {report.title: report.ending.value for report in reports})
        there = set(system.hooks())
        for path in (one for one in mark.ran if one in there):
            try:
                with interrupts.deferred():
                    system.run_hook(path, mark.action, Phase.AFTER, given=to_json(given, indent=1))
            except GpupassError as error:
                found.append(_complaint(path, error))
    forget(store, mark.key)
    return tuple(found)


def _given_at_the_end(store: Store, mark: Hooked, known: dict[str, str]) -> Any:
    """By the reports of who has ended it, else by the journal: a crash may have come after its end."""
    given = from_json(mark.given, Any)
    for operation in journal.ended_operations(store):
        if operation.time >= mark.since and operation.end in _ENDED:
            known = {operation.title: _ENDED[operation.end].value, **known}
    titles = [plan["title"] for plan in given["plans"]]
    results = [{"title": title, "ending": known.get(title, INTERRUPTED)} for title in titles]
    return {**given, "phase": Phase.AFTER, "results": results}


def _complaint(path: str, error: GpupassError) -> Finding:
    message = f"the hook {path} has failed: {error.message}"
    return Finding(message=message, remedy=f"ls -l {path}", fatal=False)
