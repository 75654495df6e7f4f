"""A Report or a Plan as lines for people, or as JSON."""

import click

from gpupass.app import Ending, Report
from gpupass.cli.output import print_json, show_finding
from gpupass.errors import GpupassError, NeedsPerson, Pending
from gpupass.model.mig import instance_name
from gpupass.model.plan import Plan
from gpupass.model.record import RecordKind
from gpupass.model.step import (
    AttachDevice,
    AwaitRelease,
    BindDriver,
    DetachDevice,
    EnableUnit,
    LoadModule,
    Refresh,
    ReloadModule,
    ResetDevice,
    ResetGpu,
    SetAttribute,
    SetComputeInstance,
    SetGpuInstance,
    SetMdev,
    SetMemoryPartition,
    SetMigMode,
    SetPersistence,
    SetVfs,
    SetVgpuParams,
    SetVgpuScheduler,
    SetVgpuSharing,
    SetVgpuType,
    Step,
    WriteFile,
    WriteRecord,
)

_STATUS = {
    Ending.PENDING: Pending.exit_code,
    Ending.BUSY: Pending.exit_code,
    Ending.NEEDS_PERSON: NeedsPerson.exit_code,
    Ending.FAILED: GpupassError.exit_code,
}
_REMEMBERED = {
    RecordKind.ORIGIN: "the former driver",
    RecordKind.CLAIM: "the domain",
    RecordKind.VFS: "the virtual functions",
    RecordKind.MIG: "the GPU instances",
    RecordKind.MDEV: "the mediated device",
    RecordKind.VGPU: "the vGPU",
    RecordKind.PARTITION: "the former partition modes",
    RecordKind.QUARANTINE: "the quarantine",
}


def show_reports(*reports: Report, as_json: bool) -> int:
    """Print them; their exit status."""
    if as_json:
        print_json(results=[report_data(report) for report in reports])
    else:
        for report in reports:
            _show(report)
    return status_of(reports)


def status_of(reports: tuple[Report, ...]) -> int:
    """The exit status that tells the worst of them."""
    codes = {_STATUS.get(report.ending, 0) for report in reports}
    worst_first = (NeedsPerson.exit_code, GpupassError.exit_code, Pending.exit_code)
    return next((code for code in worst_first if code in codes), 0)


def report_data(report: Report) -> dict[str, object]:
    return {
        "title": report.title,
        "result": report.ending.value,
        "note": report.note,
        "devices": report.plan.devices,
        "steps": report.plan.steps,
        "warnings": report.warnings,
    }


def _show(report: Report) -> None:
    click.echo(f"{report.ending.value}: {report.title}" + (f" ({report.note})" if report.note else ""))
    for finding in report.warnings:
        show_finding("  warning: ", finding.message, finding.remedy)
    if report.ending is Ending.PLANNED:
        show_plan(report.plan)


def show_plan(plan: Plan) -> None:
    """One numbered line per step; --json has bookkeeping beside deeds, and what only a rollback does."""
    shown = [step for step in plan.steps if not isinstance(step, WriteRecord) and not _only_back(step)]
    for number, step in enumerate(shown or plan.steps, 1):
        click.echo(f"  {number}. {step_text(step)}" + (f" - {step.why}" if step.why else ""))


def _only_back(step: Step) -> bool:
    return isinstance(step, Refresh | ResetGpu) and step.back


def step_text(step: Step) -> str:
    match step:
        case BindDriver():
            return f"bind {step.address} to {step.driver or 'no driver'}"
        case SetVfs():
            return _vfs_text(step)
        case SetMigMode():
            return f"switch MIG mode of {step.address} {'on' if step.on else 'off'}"
        case ResetGpu():
            return f"reset the GPU {step.address}"
        case SetGpuInstance() | SetComputeInstance():
            return f"{'make' if step.present else 'destroy'} {instance_text(step)} on {step.address}"
        case SetMdev():
            verb = "make" if step.present else "remove"
            return f"{verb} the mediated device {step.uuid} ({step.type}) of {step.address}"
        case SetVgpuType():
            return (
                f"make {step.address} a vGPU {step.type}" if step.id else f"remove the vGPU of {step.address}"
            )
        case SetVgpuSharing():
            return f"let vGPUs of {'several sizes' if step.mixed else 'one size'} share {step.address}"
        case SetVgpuScheduler():
            return f"have the vGPUs of {step.address} take turns by {step.policy}"
        case SetVgpuParams():
            return f"tell the vGPU of {step.mdev or step.address}: {step.params}"
        case LoadModule():
            return f"load the kernel module {step.module}"
        case SetPersistence():
            return f"switch persistence mode {'on' if step.on else 'off'} on {step.address}"
        case ResetDevice():
            return f"reset {', '.join(step.addresses)}"
        case AttachDevice():
            return f"attach {step.mdev or step.address} to {step.domain}"
        case DetachDevice():
            return f"ask {step.domain} to let go of {step.mdev or step.address}"
        case AwaitRelease():
            return f"wait until nobody has {', '.join(step.addresses)} open"
        case WriteRecord():
            what = step.mdev or step.address
            return f"{'remember' if step.record else 'forget'} {_REMEMBERED[step.kind]} of {what}"
        case WriteFile():
            return f"{'remove' if step.text is None else 'write'} {step.path}"
        case EnableUnit():
            return f"{'enable' if step.on else 'disable'} {step.unit}"
        case Refresh():
            return f"have {step.what} read its files again"
        case SetAttribute():
            return f"set {step.path.partition(f'/{step.address}/')[2]} of {step.address} to {step.value}"
        case SetMemoryPartition():
            return f"change the memory mode of {', '.join(step.addresses)} to {step.mode}"
        case ReloadModule():
            return f"load the kernel module {step.module} anew with {step.options}"


def instance_text(step: SetGpuInstance | SetComputeInstance) -> str:
    """3g.20gb@4, or 2c@0 of 4g.20gb@0."""
    if isinstance(step, SetGpuInstance):
        return instance_name(step.profile, step.placement)
    return f"{step.placement.size}c@{step.placement.start} of {step.profile}@{step.start}"


def _vfs_text(step: SetVfs) -> str:
    if not step.count:
        return f"remove the virtual functions of {step.address}"
    return f"have {step.count} virtual function{'' if step.count == 1 else 's'} on {step.address}"
