"""A plan in a file: what somebody has looked at and wants done, that and nothing else."""

from typing import Any

from msgspec import Struct, convert

from gpupass.app.reach import Reach
from gpupass.errors import Usage
from gpupass.kinds import AnyStep
from gpupass.model.address import Address
from gpupass.model.identity import Identity
from gpupass.model.wire import SCHEMA, from_json, to_json
from gpupass.plan import HostPlan, Plan
from gpupass.profiles import load_profile, write_profile

_KIND = "gpupass plan"


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    steps: tuple[AnyStep, ...]
    identities: dict[Address, Identity]


class _SavedPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int
    kind: str
    source: str
    connect: str
    profile: str
    plans: tuple[_Part, ...]


def is_plan(text: str) -> bool:
    return text.lstrip().startswith("{") and f'"{_KIND}"' in text[:200]


def plan_text(plan: HostPlan, reach: Reach) -> str:
    saved = _SavedPlan(
        schema=SCHEMA,
        kind=_KIND,
        source=reach.source,
        connect=reach.connect,
        profile=write_profile(reach.profile),
        plans=tuple(_Part(title=one.title, steps=one.steps, identities=one.identities) for one in plan.plans),
    )
    return to_json(saved, indent=1).decode() + "\n"


def read_plan(name: str, text: str) -> tuple[Reach, HostPlan]:
    """Usage when it is damaged, or of another version."""
    anew = "gpupass plan FILE --out PLAN"
    try:
        document: Any = from_json(text, Any)
        if (document["schema"], document["kind"]) != (SCHEMA, _KIND):
            raise Usage(f"cannot use the plan {name}: another version of gpupass has made it", anew)
        saved = convert(document, _SavedPlan)
        profile = load_profile(name, lambda _: saved.profile, "")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Usage(f"cannot use the plan {name}: it is damaged", anew) from None
    plans = tuple(Plan(title=one.title, steps=one.steps, identities=one.identities) for one in saved.plans)
    return Reach(profile=profile, source=saved.source, connect=saved.connect), HostPlan(plans=plans)
