"""What may be done to reach what is wanted, and how long it may take."""

from msgspec import Struct

from gpupass.app.report import forbid
from gpupass.errors import Disrupts, Resets, Unlike
from gpupass.plan import HostPlan, Plan
from gpupass.planner.estimate import gpu_resets

WORKERS = 8
_ANEW = "gpupass plan FILE --out PLAN, and look at it again"


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody has agreed to."""

    disruption: bool = False  # running domains and processes may lose something
    reset: bool = False  # NVIDIA GPUs may be reset, for another MIG mode
    partly: bool = False  # what may not be done keeps nothing else from being done: at boot
    given_up: frozenset[str] = frozenset()  # titles of plans that have failed too often


class Patience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait, and how many changes are at work at once."""

    seconds: float = 30.0  # for guests to let go
    for_others: float = 10.0  # who have the devices locked
    workers: int = WORKERS


def require_same(shown: HostPlan, made: HostPlan) -> None:
    """Refused, with the first difference, when the host would now be changed in another way."""
    for old, new in zip(shown.plans, made.plans, strict=False):
        _require_same_devices(old, new)
        if old.steps != new.steps:
            raise Unlike(
                f"cannot apply this plan: the host has changed since in what it touches ({old.title})",
                _ANEW,
            )
    if len(shown.plans) != len(made.plans):
        raise Unlike("cannot apply this plan: the profile now means other devices", _ANEW)


def _require_same_devices(old: Plan, new: Plan) -> None:
    for address, was in old.identities.items():
        now = new.identities.get(address)
        if now is not None and now.contradicts(was):
            raise Unlike(
                f"cannot apply this plan: {address} is {now.beside(was)} now, "
                f"the plan was for {was.beside(now)}",
                _ANEW,
            )


def allowed(made: HostPlan, consent: Consent, title: str) -> tuple[Plan, ...]:
    """The plans to do: without those that take more than was agreed to, where others are left.

    Refused ("cannot `title`: …") when none is, or when one cannot be done, unless the others shall be.
    """
    plans = made.to_do
    if consent.partly:
        return tuple(one for one in plans if may_go_on(one, consent) and one.title not in consent.given_up)
    forbid(title, made.refusals)
    agreed = tuple(one for one in plans if may_go_on(one, consent))
    if agreed:
        return agreed
    if made.victims and not consent.disruption:
        reasons = tuple((f"{victim.victim} would lose {victim.loses}", "") for victim in made.victims)
        names = ", ".join(dict.fromkeys(victim.victim for victim in made.victims))
        hint = "--allow-disruption, when they may be disrupted"
        raise Disrupts(f"cannot {title}: it disrupts {names}", hint, reasons)
    resets = [address for one in plans for address in gpu_resets(one)]
    if resets and not consent.reset:
        hint = "--allow-reset, when they may be reset; who uses them: gpupass list"
        raise Resets(f"cannot {title}: it resets {', '.join(resets)} for another MIG mode", hint)
    return plans


def may_go_on(plan: Plan, consent: Consent) -> bool:
    harmless = consent.disruption or not any(disruption.at_work for disruption in plan.disruptions)
    return harmless and not plan.refusals and (consent.reset or not gpu_resets(plan))


def why_not(rest: Plan, consent: Consent | None) -> str:
    """Why what is left is not done; `consent` None: it has been tried often enough."""
    if rest.refusals:
        return rest.refusals[0].message
    victims = ", ".join(loss.victim for loss in rest.disruptions if loss.at_work)
    if victims and (consent is None or not consent.disruption):
        return f"it disrupts {victims}, which takes --allow-disruption"
    resets = ", ".join(gpu_resets(rest))
    if resets and (consent is None or not consent.reset):
        return f"it resets {resets} for another MIG mode, which takes --allow-reset"
    return still_wants(rest)


def still_wants(rest: Plan) -> str:
    deeds = [step for step in rest.steps if not step.hidden]
    return f"a fresh look still wants {type((deeds or rest.steps)[0]).__name__}"
