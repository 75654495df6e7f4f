"""A profile's text → plan, apply and rollback on the simulated machine, one device after another."""

from msgspec.structs import replace

from gpupass.app import profile as trip
from gpupass.app.apply import Applied, apply_profile
from gpupass.app.profile import Order
from gpupass.errors import GpupassError
from gpupass.model.profile import Profile
from gpupass.plan import HostPlan
from tests.profile_files import load
from tests.simulated import Machine

ORDER = Order(workers=1)


def profile_of(text: str | Profile) -> Profile:
    """Rules and attachments need no version."""
    return load(f"version: 1\n{text}") if isinstance(text, str) else text


def plan(machine: Machine, text: str | Profile, **order: object) -> HostPlan:
    return trip.plan(machine, profile_of(text), replace(ORDER, **order))


def apply(machine: Machine, text: str | Profile, **order: object) -> Applied:
    return apply_profile(machine, profile_of(text), replace(ORDER, **order))


def rollback(machine: Machine, **order: object) -> Applied:
    entry = trip.last_apply(machine)
    before = trip.before(entry, trip.gone_since(machine, entry))
    return apply(machine, before, takes_back=entry.id, **{"allow_disruption": True, **order})


def exported(machine: Machine) -> Profile:
    return trip.export(machine)[0]


def kinds(made: HostPlan) -> list[str]:
    """Every step in one word and its address."""
    return [
        f"{type(step).__name__} {getattr(step, 'address', '')}".strip()
        for one in made.plans
        for step in one.steps
    ]


def endings(applied: Applied) -> list[str]:
    return [str(report.ending) for report in applied.reports]


def told(error: GpupassError) -> str:
    """The message with every reason."""
    return "\n".join((error.message, *(" ".join(reason) for reason in error.reasons)))


def hardware(machine: Machine) -> dict[str, object]:
    """The host without what gpupass remembers of it."""
    found = machine.snapshot()
    return {key: found[key] for key in ("drivers", "vfs", "live")}
