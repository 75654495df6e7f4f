"""What gpupass itself remembers of a carrier, so that what it made is told from what others made.

A way to share a GPU has marks of its own (`<method>.made`); these are those of everybody.
"""

from typing import ClassVar, TypeVar

from msgspec import Struct

from gpupass.model.address import Address, Name
from gpupass.model.domain import Manager
from gpupass.model.identity import Identity
from gpupass.model.options import UNSAID, Options

MarkKey = tuple[str, Name, str]  # tag, carrier, part


class Mark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="mark"):
    """`part` is the part of the carrier that it is about: the UUID of a mediated device, 3g.20gb@4.

    `identity` is the engine's to tell, which sets marks. None: an earlier version has set it.
    """

    carrier: Name
    part: str = ""
    boot_id: str = ""
    identity: Identity | None = None  # who had the carrier's address

    what: ClassVar[str] = "it"  # for people: "forget the former driver of 0000:01:00.0"

    @property
    def key(self) -> MarkKey:
        return tag_of(type(self)), self.carrier, self.part


M = TypeVar("M", bound=Mark)


def tag_of(kind: type[Mark]) -> str:
    return str(kind.__struct_config__.tag)


class Origin(Mark, frozen=True, kw_only=True, tag="origin"):
    """The driver and override that it had before the first bind, and what only its driver knows."""

    carrier: Address
    driver: str | None
    override: str | None = None
    gpu_uuid: str | None = None
    gpu_serial: str | None = None
    gpu_name: str | None = None
    gpu_part_number: str | None = None
    gpu_minor: int | None = None
    gpu_mig: bool | None = None  # can MIG cut it? None: not known

    what: ClassVar[str] = "the former driver"


class Claim(Mark, frozen=True, kw_only=True, tag="claim"):
    """Handed to a domain and not yet seen clean again. `declared`: a profile said so, and may unsay it."""

    carrier: Address
    domain: str
    uuid: str
    alias: str | None = None
    declared: bool = False
    atoms: tuple[str, ...] = ()  # what nobody else can have meanwhile

    what: ClassVar[str] = "the domain"


class Quarantine(Mark, frozen=True, kw_only=True, tag="quarantine"):
    """Nobody gets it until a person says so. `since`: ISO 8601, UTC."""

    carrier: Address
    why: str
    since: str = ""

    what: ClassVar[str] = "the quarantine"


class Stopped(Mark, frozen=True, kw_only=True, tag="stopped"):
    """What worked with it for the host and was stopped for it; `step` is the kind that starts it again."""

    step: str

    what: ClassVar[str] = "what was stopped"


class Heir(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain that gets it when it starts. `declared`: a profile said so, and may unsay it.

    `given` is the run of the domain that has had it: what a person takes from it meanwhile stays with that
    person until the next start.
    """

    domain: str
    uuid: str
    given: str = ""
    declared: bool = False
    stop: tuple[str, ...] = ()  # who works with it for the host and may be stopped for it
    options: Options = UNSAID
    even_of: Manager | None = None  # who else manages the domain and need not know


class Promise(Mark, frozen=True, kw_only=True, tag="promise"):
    """`to` are those in line: of several that run the first has it.

    `home`: the host works with it in between.
    """

    carrier: Address
    to: tuple[Heir, ...]
    home: bool = False

    what: ClassVar[str] = "the promise"


class Setting(Mark, frozen=True, kw_only=True, tag="setting"):
    """`part` of it was set for whoever has it, and was `before`."""

    carrier: Address
    before: str

    what: ClassVar[str] = "a setting"


class Hooked(Mark, frozen=True, kw_only=True, tag="hooked"):
    """Programs of the administrator's that have heard of the beginning of a change, and not of its end.

    `given` is what they were given then, as JSON. `since`: ISO 8601, UTC.
    """

    carrier: Address  # the first of `devices`
    devices: tuple[Address, ...]
    action: str
    ran: tuple[str, ...]
    given: str
    since: str

    what: ClassVar[str] = "the hooks to run"


MARKS: tuple[type[Mark], ...] = (Origin, Claim, Quarantine, Stopped, Promise, Setting, Hooked)
