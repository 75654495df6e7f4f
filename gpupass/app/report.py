"""What became of a change, as told to the operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpupass.engine.run import Outcome, Result, StepStatus
from gpupass.errors import GpupassError, Refused
from gpupass.model.address import Address
from gpupass.plan import Disruption, Finding, HostPlan, Plan
from gpupass.planner.difference import SAME, Difference
from gpupass.planner.estimate import gpu_resets


class Ending(StrEnum):
    """What a verb that did not fail came to."""

    DONE = "done"
    NOTHING = "nothing to do"
    PLANNED = "planned"
    ROLLED_BACK = "rolled back"
    PENDING = "pending"
    NEEDS_PERSON = "needs a person"
    BUSY = "at work"
    FAILED = "failed"
    NOT_RUN = "not done"  # what may not be, or was not come to
    UNFINISHED = "unfinished"  # since a crash


_ENDINGS = {
    Result.DONE: Ending.DONE,
    Result.PENDING: Ending.PENDING,
    Result.ROLLED_BACK: Ending.ROLLED_BACK,
    Result.PARTLY: Ending.NEEDS_PERSON,
    Result.NEEDS_PERSON: Ending.NEEDS_PERSON,
}
_MENDABLE = (Ending.FAILED, Ending.NEEDS_PERSON, Ending.PENDING)


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change, as told to the operator; `error` is what its verb, if it is alone, ends with."""

    title: str
    ending: Ending
    plan: Plan
    note: str = ""
    error: GpupassError | None = None
    changed: bool = False  # something of the host or of what gpupass remembers is otherwise now, or would be
    statuses: tuple[StepStatus, ...] = ()  # of the plan's steps
    difference: Difference = SAME  # which facts are otherwise now, or would be
    settled: tuple["Report", ...] = ()  # what a crash had left there: taken to its end before

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.plan.findings if not finding.fatal)


class Came(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trip came to: one report per set of devices, and the plan, with what has to wait."""

    reports: tuple[Report, ...]
    plan: HostPlan = HostPlan()
    warnings: tuple[Finding, ...] = ()  # of hooks, and of what containers are told afterwards
    withdrawn: tuple[str, ...] = ()  # titles of what a guest was asked for, and nobody wants any more
    made: HostPlan = HostPlan()  # the plan as it was before anything was done
    settled: tuple[Report, ...] = ()  # what a crash had left there: taken to its end before
    refreshed: tuple[Report, ...] = ()  # what containers are told, and who listens

    @property
    def whole(self) -> tuple[Report, ...]:
        """Every change that was wanted, also what has not been done, and what was done beside."""
        tried = {report.title: report for report in self.reports}
        wanted = tuple(
            tried.pop(one.title) if one.title in tried else _untried(one) for one in self.made.plans
        )
        return (*self.settled, *wanted, *tried.values(), *self.refreshed)

    @property
    def done(self) -> bool:
        return not any(report.ending in _MENDABLE for report in self.reports)

    @property
    def spared(self) -> tuple[Disruption, ...]:
        """Who would have lost something by what was therefore left undone."""
        tried = {report.title for report in self.reports}
        return tuple(
            disruption
            for one in self.plan.to_do
            if one.title not in tried
            for disruption in one.disruptions
            if disruption.at_work
        )

    @property
    def unreset(self) -> tuple[Address, ...]:
        """GPUs that were therefore left alone because they would have been reset."""
        tried = {report.title for report in self.reports}
        left = (one for one in self.plan.to_do if one.title not in tried and not one.refusals)
        return tuple(address for one in left for address in gpu_resets(one))


def told(report: Report, outcome: Outcome) -> Report:
    report = replace(
        report,
        changed=outcome.stands,
        statuses=outcome.statuses,
        difference=report.difference if outcome.stands else SAME,
    )
    if outcome.error is None:
        return replace(report, ending=_ENDINGS[outcome.result])
    ending = Ending.FAILED if outcome.result is Result.ROLLED_BACK else _ENDINGS[outcome.result]
    return replace(report, ending=ending, note=outcome.error.message, error=outcome.error)


def failed(report: Report, error: GpupassError) -> Report:
    """Before anything was done."""
    return replace(report, ending=Ending.FAILED, note=error.message, error=error, difference=SAME)


def planned(plan: Plan, difference: Difference = SAME) -> Report:
    """What would be done."""
    return Report(
        title=plan.title,
        ending=Ending.PLANNED if plan.steps else Ending.NOTHING,
        plan=plan,
        changed=bool(plan.steps),
        statuses=(StepStatus.PLANNED,) * len(plan.steps),
        difference=difference,
    )


def _untried(plan: Plan) -> Report:
    nothing = not plan.steps and not plan.refusals
    ending = Ending.NOTHING if nothing else Ending.NOT_RUN
    return Report(
        title=plan.title, ending=ending, plan=plan, statuses=(StepStatus.NOT_RUN,) * len(plan.steps)
    )


@contextmanager
def known(came: Came) -> Iterator[None]:
    """Whatever fails within tells what has become of the change so far."""
    try:
        yield
    except GpupassError as error:
        error.came = error.came or came
        raise


def forbid(title: str, refusals: tuple[Finding, ...]) -> None:
    if len(refusals) == 1:
        raise Refused(f"cannot {title}: {refusals[0].message}", refusals[0].remedy or None)
    if refusals:
        reasons = tuple((finding.message, finding.remedy) for finding in refusals)
        raise Refused(f"cannot {title}: {len(refusals)} reasons", reasons=reasons)
