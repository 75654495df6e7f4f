"""What an order lets a profile's plan do."""

from gpupass.app.change import forbid
from gpupass.app.profile import Order
from gpupass.errors import Refused
from gpupass.plan import HostPlan, Plan
from gpupass.planner.estimate import gpu_resets

_ANEW = "gpupass plan FILE --out PLAN, and look at it again"


def require_same(shown: HostPlan, made: HostPlan) -> None:
    """Refused, with the first difference, when the host would now be changed in another way."""
    for old, new in zip(shown.plans, made.plans, strict=False):
        if old.steps != new.steps:
            raise Refused(
                f"cannot apply this plan: the host has changed since in what it touches ({old.title})",
                _ANEW,
            )
    if len(shown.plans) != len(made.plans):
        raise Refused("cannot apply this plan: the profile now means other devices", _ANEW)


def allowed(made: HostPlan, order: Order) -> tuple[Plan, ...]:
    """The plans to do; Refused when one may not be done, unless the others shall be done nevertheless."""
    plans = made.to_do
    if order.partly:
        return tuple(one for one in plans if may_go_on(one, order) and one.title not in order.given_up)
    verb = "roll back" if order.takes_back else "apply this profile"
    forbid(verb, made.refusals)
    if made.victims and not order.allow_disruption:
        reasons = tuple((f"{victim.victim} would lose {victim.loses}", "") for victim in made.victims)
        names = ", ".join(dict.fromkeys(victim.victim for victim in made.victims))
        hint = "--allow-disruption, when they may be disrupted"
        raise Refused(f"cannot {verb}: it disrupts {names}", hint, reasons)
    resets = [address for one in plans for address in gpu_resets(one)]
    if resets and not order.allow_reset:
        hint = "--allow-reset, when they may be reset; who uses them: gpupass list"
        raise Refused(f"cannot {verb}: it resets {', '.join(resets)} for another MIG mode", hint)
    return plans


def may_go_on(plan: Plan, order: Order) -> bool:
    harmless = order.allow_disruption or not any(disruption.at_work for disruption in plan.disruptions)
    return harmless and not plan.refusals and (order.allow_reset or not gpu_resets(plan))
