"""A Draft is what is wanted, a Plan that in its order; with what speaks against it and whom it disturbs."""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from gpupass.model.address import Address
from gpupass.model.identity import Identity
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder, User, UserKind
from gpupass.step import Deed


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One precheck result: a reason to refuse, or only a warning."""

    message: str
    remedy: str
    fatal: bool = True


class Disruption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who loses something: "domain vm1" loses "0000:01:00.0"."""

    victim: str
    loses: str
    at_work: bool = True  # then only with --allow-disruption


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a way to share a GPU, or a lender, wants done: in no order, ends and makings apart.

    What `makes` give is the goal: what is taken away of the same kind was there before.
    """

    takes: tuple[Deed, ...] = ()  # what ends things that are
    makes: tuple[Deed, ...] = ()
    findings: tuple[Finding, ...] = ()
    losses: tuple[Disruption, ...] = ()
    waits: tuple[str, ...] = ()  # what is wanted and cannot be yet
    foreign: tuple[str, ...] = ()  # what others made and is left alone
    devices: tuple[Address, ...] = ()  # what it touches or needs to keep still, beside those of its steps

    def __add__(self, other: "Draft") -> "Draft":
        return Draft(
            takes=(*self.takes, *other.takes),
            makes=(*self.makes, *other.makes),
            findings=(*self.findings, *other.findings),
            losses=(*self.losses, *other.losses),
            waits=(*self.waits, *other.waits),
            foreign=(*self.foreign, *other.foreign),
            devices=(*self.devices, *other.devices),
        )

    @property
    def steps(self) -> tuple[Deed, ...]:
        return (*self.takes, *self.makes)

    @property
    def refused(self) -> bool:
        return any(finding.fatal for finding in self.findings)


NOTHING = Draft()


def in_use_by_processes(name: str, users: Iterable[User]) -> Iterator[Finding]:
    """One for each process, whatever it has open, or for whoever is to end with all of its processes."""
    of: dict[tuple[Holder, str, int | None], list[User]] = {}
    for user in users:
        if user.kind is UserKind.PROCESS:
            of.setdefault((user.holder, user.handle, user.pid if user.holder in _ALONE else None), []).append(
                user
            )
    for same in of.values():
        first, more = same[0], len(same) - 1
        others = f" and {more} more" if more else ""
        yield Finding(
            message=f"{name} is in use by {first.name} ({first.detail}){others}", remedy=remedy(first, name)
        )


_ALONE = (Holder.NOBODY, Holder.PROCESS, Holder.QEMU)


def adopt_or_take_over(address: Address, rule: str = "") -> str:
    """What to do about what gpupass did not make; `rule` is the name of that in the profile."""
    return f"gpupass adopt {address}, or take-over: true {f'for {rule}' if rule else 'in the rule'}"


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verb would do. Findings that are fatal forbid it; an empty one is already so."""

    title: str  # "bind 0000:01:00.0 to vfio-pci"
    steps: tuple[Deed, ...] = ()
    findings: tuple[Finding, ...] = ()
    devices: tuple[Address, ...] = ()  # everything it touches or needs to keep still; may be BOOT
    disruptions: tuple[Disruption, ...] = ()  # what it takes from whom, where the order did not name them
    waits: tuple[str, ...] = ()  # what is wanted and cannot be yet: "vm1 is not running: …"
    foreign: tuple[str, ...] = ()  # what others made and this plan leaves alone
    continues: bool = False  # its steps make what only a fresh look can plan on with
    identities: dict[Address, Identity] = field(default_factory=dict)  # who they are: others are left alone

    @property
    def refusals(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.fatal)


class HostPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile would do: one Plan for each set of devices that must change together."""

    plans: tuple[Plan, ...] = ()

    @property
    def to_do(self) -> tuple[Plan, ...]:
        return tuple(plan for plan in self.plans if plan.steps)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        return tuple(finding for plan in self.plans for finding in plan.refusals)

    @property
    def disruptions(self) -> tuple[Disruption, ...]:
        return tuple(disruption for plan in self.plans for disruption in plan.disruptions)

    @property
    def victims(self) -> tuple[Disruption, ...]:
        return tuple(disruption for disruption in self.disruptions if disruption.at_work)

    @property
    def waits(self) -> tuple[str, ...]:
        return tuple(wait for plan in self.plans for wait in plan.waits)

    @property
    def foreign(self) -> tuple[str, ...]:
        return tuple(text for plan in self.plans for text in plan.foreign)
