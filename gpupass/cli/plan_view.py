"""What a profile would change, for people and as JSON."""

from gpupass.app.consent import WORKERS
from gpupass.cli.output import show_finding, tell
from gpupass.cli.report import show_plan
from gpupass.plan import HostPlan
from gpupass.planner.estimate import driver_changes, gpu_resets, plan_seconds, resets

NOTHING = "nothing to do: this host is as the profile says"


def show_host_plan(plan: HostPlan, refusals: bool = True, allow_reset: bool = False) -> None:
    """Without its refusals where the error says them; what has not been allowed yet is told."""
    for one in plan.to_do:
        tell(one.title)
        show_plan(one)
    if plan.to_do:
        tell()
    elif plan.waits:
        tell("nothing to do yet")
    elif not plan.refusals:
        tell(NOTHING)
    for disruption in plan.disruptions:
        tell(f"disrupts:    {disruption.victim} loses {disruption.loses}")
    for what, addresses in (("resets", resets(plan)), ("new driver", driver_changes(plan))):
        if addresses:
            tell(f"{what + ':':<12} {', '.join(addresses)}")
    needs = [address for one in plan.to_do for address in gpu_resets(one)] if not allow_reset else []
    if needs:
        tell(f"needs:       --allow-reset, for {', '.join(needs)}")
    _show_the_rest(plan, refusals)
    if plan.to_do:
        count = len(plan.to_do)
        tell(f"{count} change{'' if count == 1 else 's'}, about {round(plan_seconds(plan, WORKERS)) or 1} s")


def show_differences(plan: HostPlan) -> None:
    """One line for each thing that is not as it should be."""
    for one in plan.to_do:
        ends = [step for step in one.steps if not step.means]
        for text in dict.fromkeys(step.words() for step in ends or one.steps):
            tell(f"differs:     {one.title}: would {text}")
    _show_the_rest(plan, refusals=True)
    if not plan.to_do and not plan.refusals and not plan.waits:
        tell("this host is as the profile says")


def _show_the_rest(plan: HostPlan, refusals: bool) -> None:
    for wait in plan.waits:
        tell(f"waits:       {wait}")
    for text in plan.foreign:
        tell(f"left alone:  {text}")
    for one in plan.plans:
        for finding in one.findings:
            if finding.fatal and not refusals:
                continue
            kind = "cannot:" if finding.fatal else "warning:"
            show_finding(f"{kind:<13}", finding.message, finding.remedy, err=False)
