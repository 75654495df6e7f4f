"""A profile's text → plan, apply and rollback on the simulated machine, one device after another."""

from gpupass.app import export as exporting
from gpupass.app import history
from gpupass.app.apply import apply_profile, apply_when_ready
from gpupass.app.consent import Consent, Patience
from gpupass.app.reach import Reach
from gpupass.app.report import Came
from gpupass.app.rounds import OnStep, quiet
from gpupass.app.session import Session
from gpupass.errors import GpupassError
from gpupass.model.profile import Profile
from gpupass.plan import HostPlan
from tests.profile_files import load
from tests.simulated import Machine


def profile_of(text: str | Profile) -> Profile:
    """Rules and attachments need no version."""
    return load(f"version: 1\n{text}") if isinstance(text, str) else text


def plan(machine: Machine, text: str | Profile, **wish: object) -> HostPlan:
    reach = Reach(profile=profile_of(text), **wish)
    return reach.plan(reach.look(machine))


def apply(
    machine: Machine,
    text: str | Profile,
    timeout: float = 60.0,
    workers: int = 1,
    on_step: OnStep = quiet,
    **wish: object,
) -> Came:
    """With what is allowed among `wish`."""
    reach, consent = _wanted(profile_of(text), wish)
    patience = Patience(seconds=timeout, workers=workers)
    return apply_profile(Session(machine), reach, consent, patience, on_step=on_step)


def apply_in(machine: Machine, text: str | Profile, seconds: float, **wish: object) -> Came:
    """As at boot: again until nothing is left to wait for."""
    reach, consent = _wanted(profile_of(text), wish)
    return apply_when_ready(Session(machine), reach, consent, Patience(seconds=60.0, workers=1), seconds)


def _wanted(profile: Profile, wish: dict[str, object]) -> tuple[Reach, Consent]:
    names = {"allow_disruption": "disruption", "allow_reset": "reset", "partly": "partly"}
    consent = {names[name]: value for name, value in wish.items() if name in names}
    rest = {name: value for name, value in wish.items() if name not in names}
    if wish.get("partly"):
        rest["programs"] = False
    return Reach(profile=profile, **rest), Consent(**consent)


def rollback(machine: Machine, **wish: object) -> Came:
    entry = history.last_apply(machine)
    before = history.before(entry, history.gone_since(machine, entry))
    return apply(machine, before, takes_back=entry.id, **{"allow_disruption": True, **wish})


def exported(machine: Machine) -> Profile:
    return exporting.export(machine)[0]


def kinds(made: HostPlan) -> list[str]:
    """Every step in one word and its address."""
    return [
        f"{type(step).__name__} {getattr(step, 'address', '')}".strip()
        for one in made.plans
        for step in one.steps
    ]


def endings(applied: Came) -> list[str]:
    return [str(report.ending) for report in applied.reports]


def told(error: GpupassError) -> str:
    """The message with every reason."""
    return "\n".join((error.message, *(" ".join(reason) for reason in error.reasons)))


def hardware(machine: Machine) -> dict[str, object]:
    """The host without what gpupass remembers of it."""
    found = machine.snapshot()
    return {key: found[key] for key in ("drivers", "vfs", "live")}
