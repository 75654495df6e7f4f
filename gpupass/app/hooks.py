"""What the administrator wants done before and after each change: his programs, with the plan to read.

A program that says no before a change refuses it; afterwards it can only warn. Whoever was run before is run
afterwards, too, however the change ends.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from gpupass.app.report import Report
from gpupass.errors import GpupassError, Interrupted, Refused
from gpupass.model.wire import SCHEMA, to_json
from gpupass.plan import Finding, Plan
from gpupass.system import System, interrupts

REFUSED, INTERRUPTED = "refused", "interrupted"


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

    def __init__(self, system: System, action: str, plans: tuple[Plan, ...]) -> None:
        self.system, self.action, self.plans = system, action, plans
        self.ran: list[str] = []

    def before(self, title: str) -> None:
        """Refused ("cannot TITLE: …") in the words of the first that says no."""
        for path in self.system.hooks():
            try:
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
                found.append(
                    Finding(
                        message=f"the hook {path} has failed: {error.message}",
                        remedy=f"ls -l {path}",
                        fatal=False,
                    )
                )
        return tuple(found)

    def _run(self, path: str, phase: Phase, results: tuple[Result, ...] = ()) -> None:
        given = Given(action=self.action, phase=phase, plans=self.plans, results=results)
        with interrupts.deferred():
            self.system.run_hook(path, self.action, phase, given=to_json(given, indent=1))
            if interrupts.asked() and phase is Phase.BEFORE:
                raise Interrupted(f"interrupted in the hook {path}: nothing has been changed")
