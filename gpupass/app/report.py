"""What became of a change, as told to the operator."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpupass.engine.run import Outcome, Result
from gpupass.errors import GpupassError, Refused
from gpupass.model.address import Address
from gpupass.plan import Disruption, Finding, HostPlan, Plan
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

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.plan.findings if not finding.fatal)


class Came(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trip came to: one report per set of devices, and the plan, with what has to wait."""

    reports: tuple[Report, ...]
    plan: HostPlan
    warnings: tuple[Finding, ...] = ()  # of what containers are told afterwards
    withdrawn: tuple[str, ...] = ()  # titles of what a guest was asked for, and nobody wants any more

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
    if outcome.error is None:
        return replace(report, ending=_ENDINGS[outcome.result])
    ending = Ending.FAILED if outcome.result is Result.ROLLED_BACK else _ENDINGS[outcome.result]
    return replace(report, ending=ending, note=outcome.error.message, error=outcome.error)


def failed(report: Report, error: GpupassError) -> Report:
    return replace(report, ending=Ending.FAILED, note=error.message, error=error)


def planned(plan: Plan) -> Report:
    """Of a dry run; Refused like the deed itself."""
    forbid(plan.title, plan.refusals)
    return Report(title=plan.title, ending=Ending.PLANNED if plan.steps else Ending.NOTHING, plan=plan)


def forbid(title: str, refusals: tuple[Finding, ...]) -> None:
    if len(refusals) == 1:
        raise Refused(f"cannot {title}: {refusals[0].message}", refusals[0].remedy or None)
    if refusals:
        reasons = tuple((finding.message, finding.remedy) for finding in refusals)
        raise Refused(f"cannot {title}: {len(refusals)} reasons", reasons=reasons)
