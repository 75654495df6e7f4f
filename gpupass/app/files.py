"""Files and units of the host, as a difference tells them."""

from collections.abc import Iterable

from gpupass.model.boot import BootState, HostFile
from gpupass.plan import Plan
from gpupass.planner.difference import Facts
from gpupass.steps.file import WriteFile
from gpupass.steps.unit import EnableUnit


def facts_of_boot(boot: BootState, names: Iterable[str]) -> Facts:
    """Of those that are there; a unit of these is there when systemd starts it."""
    names = {*names}
    units = {f"unit:{unit}": {"enabled": True} for unit in boot.enabled}
    return facts_of_files(boot.files, names) | {name: units[name] for name in units.keys() & names}


def facts_of_files(files: Iterable[HostFile], names: Iterable[str]) -> dict[str, dict[str, object]]:
    names = {*names}
    told: dict[str, dict[str, object]] = {
        f"file:{file.path}": {"text": file.text, "mode": f"{file.mode:04o}"} for file in files
    }
    return {name: told[name] for name in told.keys() & names}


def facts_after(plan: Plan) -> Facts:
    """As its steps leave them."""
    found: dict[str, dict[str, object]] = {}
    for step in plan.steps:
        if isinstance(step, WriteFile) and step.text is not None:
            found[step.target] = {"text": step.text, "mode": f"{step.mode:04o}"}
        if isinstance(step, EnableUnit) and step.on:
            found[step.target] = {"enabled": True}
    return found


def names_in(plan: Plan) -> Iterable[str]:
    return (step.target for step in plan.steps if isinstance(step, WriteFile | EnableUnit))
