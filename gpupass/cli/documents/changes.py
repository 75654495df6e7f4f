"""What was changed, or would be."""

from msgspec import Struct

from gpupass.app import Ending, Report
from gpupass.app.consent import WORKERS
from gpupass.cli.documents.document import Document
from gpupass.kinds import AnyStep
from gpupass.model.address import Address
from gpupass.model.mark import Quarantine
from gpupass.plan import Disruption, Finding, HostPlan
from gpupass.planner.estimate import driver_changes, gpu_resets, plan_seconds, resets


class ReportDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change: what was done, and how it ended."""

    title: str
    result: Ending
    note: str
    devices: tuple[Address, ...]
    steps: tuple[AnyStep, ...]
    warnings: tuple[Finding, ...]


class Changed(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verb has done; with --dry-run, what it would do."""

    results: tuple[ReportDocument, ...]


class ApplyDocument(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an apply or a rollback has done, what waits for something, and what was not allowed."""

    results: tuple[ReportDocument, ...]
    waits: tuple[str, ...]
    refused: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


class PlanDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would be done to devices that must change together."""

    title: str
    devices: tuple[Address, ...]
    steps: tuple[AnyStep, ...]
    findings: tuple[Finding, ...]


class Planned(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile would change, and whom it would disturb."""

    plans: tuple[PlanDocument, ...]
    disrupts: tuple[Disruption, ...]
    waits: tuple[str, ...]
    foreign: tuple[str, ...]
    resets: tuple[Address, ...]
    needs_allow_reset: tuple[Address, ...]
    driver_changes: tuple[Address, ...]
    seconds: float


class Checked(Planned, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a host is as a profile says, and what would be changed."""

    matches: bool


class UnfinishedChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pending`: what it waits for."""

    title: str
    since: str
    devices: tuple[Address, ...]
    pending: str | None


class Unfinished(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `gpupass recover` would take to its end."""

    unfinished: tuple[UnfinishedChange, ...]


class Quarantined(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices that nobody gets."""

    quarantine: tuple[Quarantine, ...]


class Forgotten(Quarantined, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a damaged store is now, and what nobody gets since."""

    aside: str


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of an apply."""

    what: str
    result: str


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One apply, or one change by itself."""

    id: str
    time: str
    user: str
    what: str
    result: str
    parts: tuple[Part, ...]


class History(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who changed what, the newest last."""

    history: tuple[Entry, ...]


def report_document(report: Report) -> ReportDocument:
    return ReportDocument(
        title=report.title,
        result=report.ending,
        note=report.note,
        devices=report.plan.devices,
        steps=report.plan.steps,
        warnings=report.warnings,
    )


def planned(plan: HostPlan) -> Planned:
    plans = (
        PlanDocument(title=one.title, devices=one.devices, steps=one.steps, findings=one.findings)
        for one in plan.plans
    )
    return Planned(
        plans=tuple(plans),
        disrupts=plan.disruptions,
        waits=plan.waits,
        foreign=plan.foreign,
        resets=resets(plan),
        needs_allow_reset=tuple(address for one in plan.to_do for address in gpu_resets(one)),
        driver_changes=driver_changes(plan),
        seconds=plan_seconds(plan, WORKERS),
    )
