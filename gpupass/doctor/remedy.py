"""Remedies as data: what has to become otherwise, before anybody knows in which distribution's words."""

from msgspec import Struct


class _Remedy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class Arguments(_Remedy, frozen=True, kw_only=True):
    """Of the kernel's command line. `doubt`: where it is known to fail, and what tells."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    doubt: str = ""


class Options(_Remedy, frozen=True, kw_only=True):
    """Lines of modprobe.d: "options kvm nested=1", "blacklist nouveau"."""

    lines: tuple[str, ...]
    reload: str = ""  # the module, where loading it anew would do instead of a reboot


class Without(_Remedy, frozen=True, kw_only=True):
    """A word that some file of modprobe.d or modules-load.d should not have."""

    word: str
    files: tuple[str, ...]


class Load(_Remedy, frozen=True, kw_only=True):
    """Modules, now and at every boot."""

    modules: tuple[str, ...]


class Limit(_Remedy, frozen=True, kw_only=True):
    """A line of a unit's [Service]: "LimitMEMLOCK=infinity"."""

    unit: str
    line: str


class Install(_Remedy, frozen=True, kw_only=True):
    """What it is for: a key of the packages of each distribution."""

    what: str


class Setup(_Remedy, frozen=True, kw_only=True):
    """Words for the firmware setup, which nobody can type."""

    words: str


class Remake(_Remedy, frozen=True, kw_only=True):
    """The initramfs, which does not know of files that have changed."""


class Type(_Remedy, frozen=True, kw_only=True):
    """The same words everywhere: a command, or plain words."""

    words: str


Remedy = Arguments | Options | Without | Load | Limit | Install | Remake | Setup | Type
