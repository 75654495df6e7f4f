"""A profile: which GPUs are meant, how each is used, and which domain gets what. YAML is its only spelling.

Every field a person may write carries its description (`Key`); the parser and the published JSON Schema
are made from these classes, so a key exists in one place.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Protocol

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.domain import Manager
from gpupass.model.key import Key
from gpupass.model.options import Options

VERSION = 1
CDI, NVIDIA_CTK = "cdi", "nvidia-ctk"  # of `containers`


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where something stands in a file; lines and columns count from 1, no file: it is written nowhere.

    All places are equal: where something stands changes nothing of what it says.
    """

    file: str = ""
    line: int = 0
    column: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place)

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NAME = r"[A-Za-z][A-Za-z0-9._-]{0,62}"
DRIVER = r"[A-Za-z0-9_-]{1,63}"
PART = r"[A-Za-z0-9][A-Za-z0-9._+,@-]{0,99}"
NAME_FORM = "a letter, then letters, digits, '.', '_' or '-'"
DRIVER_FORM = "letters, digits, '_' or '-'"
ADDRESS = r"([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{1,2}:[01]?[0-9a-fA-F]\.[0-7]"


class Select(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every condition given must hold; names that stay the same (uuid, serial, slot) are the best.

    Without an address, UUID, serial, slot or class only GPUs and accelerators are meant; bridges never are,
    virtual functions only as slots of another rule.
    """

    address: Annotated[Address | None, Key("PCI address, 0000:01:00.0", pattern=ADDRESS)] = None
    uuid: Annotated[str | None, Key("NVIDIA GPU UUID, GPU-…")] = None
    serial: Annotated[str | None, Key("serial number, of the board or PCI Express")] = None
    slot: Annotated[
        str | None,
        Key(
            "physical slot name; or RULE/PART: that slot of another rule of this profile, card/3g.20gb@4",
            pattern=rf"[^/]+|{NAME}(/{PART})+",
            form="a physical slot's name, or RULE/PART",
            also=("physical-slot",),
        ),
    ] = None
    vendor: Annotated[
        str | None, Key("nvidia, amd, intel, or four hex digits", pattern="nvidia|amd|intel|[0-9a-fA-F]{4}")
    ] = None
    model: Annotated[
        str | None, Key("glob on the device's name, NVIDIA's own name of it, or vendor:device, *A100*")
    ] = None
    part_number: Annotated[
        str | None,
        Key(
            "glob on the part number of an NVIDIA board, 900-21001-*",
            spelled="part-number",
            pattern=r"[A-Za-z0-9*?-]{1,79}",
            form="letters, digits and '-', * and ? for any",
        ),
    ] = None
    minor: Annotated[
        int | None, Key("N of NVIDIA's /dev/nvidiaN, which another boot may give to another GPU", minimum=0)
    ] = None
    mig_capable: Annotated[bool | None, Key("can MIG cut it?", spelled="mig-capable")] = None
    class_: Annotated[
        str | None,
        Key(
            "display, accelerator, network, storage, or hex digits of the PCI class",
            spelled="class",
            pattern="display|accelerator|network|storage|[0-9a-fA-F]{2,6}",
        ),
    ] = None
    numa: Annotated[int | None, Key("NUMA node", minimum=0)] = None
    parent: Annotated[
        str | None,
        Key(
            "parent of mediated devices that is no PCI function, by its name in /sys/class/mdev_bus",
            pattern=NAME,
            form=NAME_FORM,
        ),
    ] = None
    driver: Annotated[
        str | None,
        Key("kernel driver that has it, or had it before gpupass bound it", pattern=DRIVER, form=DRIVER_FORM),
    ] = None

    @property
    def asks_driver(self) -> bool:
        """Of which devices all of it is true only NVIDIA's driver knows."""
        told = (self.uuid, self.serial, self.part_number, self.minor, self.mig_capable)
        named = self.model is not None and re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", self.model) is None
        return named or any(one is not None for one in told)

    @property
    def on(self) -> tuple[str, ...]:
        """The rule that makes the slot which is meant, and the way from there; () for a device."""
        return tuple(self.slot.split("/")) if self.slot is not None and "/" in self.slot else ()


class Said(Protocol):
    """A rule as it is written, before it is whole: what is wrong or missing in it is None."""

    @property
    def place(self) -> Place: ...
    def get(self, field: str) -> Any: ...
    def parts(self, field: str) -> "tuple[Said, ...]": ...


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all rules have in common."""

    use: ClassVar[str] = ""  # as it is written
    lends_whole: ClassVar[bool] = False  # the function itself is given to a domain
    for_host: ClassVar[bool] = False  # the host works with it
    whole: ClassVar[bool] = False  # take-over is about whatever is on the device
    mediates: ClassVar[bool] = False  # mediated devices of the device are its slots

    name: Annotated[
        str, Key("what attachments and the command line call the device", pattern=NAME, form=NAME_FORM)
    ]
    select: Annotated[Select, Key("which device is meant", minimum=1, also=("match", "selector"))]
    count: Annotated[int | None, Key("take the first so many, in the order of addresses", minimum=1)] = None
    optional: Annotated[bool, Key("no error when nothing matches")] = False
    take_over: Annotated[bool, Key("change what gpupass did not make, too", spelled="take-over")] = False
    stop: Annotated[
        tuple[str, ...],
        Key(
            "who works with the device and may be stopped for it: dcgm, display-manager, console",
            pattern=NAME,
        ),
    ] = ()
    place: Place = Place()

    def names(self, part: str) -> bool:
        """Has it a name for this part of a device?"""
        return True

    @property
    def driver_for_host(self) -> str | None:
        """The host driver that it names."""
        return None

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        """Why no domain can have this part ("": the device itself) of a device with such a rule; or ""."""
        return f"'{rule.get('name')}' says use: {cls.use}"

    @classmethod
    def mistakes(cls, rule: Said) -> "Iterator[tuple[Said, str]]":
        """What does not fit together in it."""
        return iter(())


class Attachment(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running domain has the device; one that does not run gets it at the next apply, or at its start."""

    written_first: ClassVar[tuple[str, ...]] = ("domain", "device")

    domain: Annotated[str, Key("name of the libvirt domain", also=("vm", "guest"))]
    device: Annotated[
        str,
        Key(
            "a rule's name, NAME/vf0 for a VF, NAME/1 for the second of several; or a PCI address",
            also=("gpu", "name"),
        ),
    ]
    even_of: Annotated[
        str | None,
        Key("who manages the domain and need not know", spelled="even-of", choices=tuple(Manager)),
    ] = None
    at_start: Annotated[
        bool,
        Key(
            "whenever it starts, and back when it stops; use: host: the host works with it in between",
            spelled="at-start",
        ),
    ] = False
    place: Place = Place()

    @property
    def options(self) -> Options:
        return Options(**{name: getattr(self, name) for name in Options.__struct_fields__})


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wanted state of a host's GPUs."""

    version: int = VERSION
    gpus: tuple[Rule, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    containers: str | None = None  # whose CDI specification every apply refreshes
