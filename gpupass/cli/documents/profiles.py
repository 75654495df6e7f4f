"""Profiles, and what containers are told."""

from msgspec import UNSET, Struct, UnsetType

from gpupass.cli.documents.document import Document, Where
from gpupass.plan import Finding


class Exported(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The profile (YAML) of a host as it is, and what it leaves out because others made it."""

    profile: str
    foreign: tuple[str, ...]
    unseen: tuple[str, ...]


class LeftOut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What no guest gets by the file, and why."""

    what: str
    why: str


class ExportedFor(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a host gives to guests, as the file of another program says it."""

    format: str  # nova, kubevirt, pve-mapping
    text: str
    left_out: tuple[LeftOut, ...]
    unseen: tuple[str, ...]


class Imported(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The profile (YAML) that says the same as another tool's file."""

    profile: str


class Compared(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How two profiles differ, as a unified diff."""

    differ: bool
    diff: str


class Error(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong with a profile; `remedy` may be empty."""

    message: str
    remedy: str


class FileDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file; how many rules and attachments it has is told of a valid one."""

    file: str
    valid: bool
    rules: int | UnsetType = UNSET
    attachments: int | UnsetType = UNSET
    errors: tuple[Error, ...]


class Validated(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files are valid profiles."""

    files: tuple[FileDocument, ...]


class Specified(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The CDI specification (YAML) of a host."""

    specification: str
    warnings: tuple[Finding, ...]
