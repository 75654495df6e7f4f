"""How long a plan will take, roughly, and what it does to the devices on the way; pure."""

from collections.abc import Iterable

from gpupass.model.address import Address
from gpupass.plan import HostPlan, Plan


def plan_seconds(plan: HostPlan, workers: int) -> float:
    """The longest device, or all of them shared among the workers."""
    times = [sum(step.seconds() for step in one.steps) for one in plan.to_do]
    return max(max(times, default=0.0), sum(times) / workers)


def resets(plan: HostPlan) -> tuple[Address, ...]:
    return _each(address for one in plan.to_do for step in one.steps for address in step.resets)


def driver_changes(plan: HostPlan) -> tuple[Address, ...]:
    return _each(address for one in plan.to_do for step in one.steps for address in step.rebinds)


def gpu_resets(plan: Plan) -> tuple[Address, ...]:
    """GPUs that are reset for their own sake: not without --allow-reset."""
    return _each(address for step in plan.steps for address in step.needs_leave)


def _each(addresses: Iterable[Address]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(addresses))
