"""Which distribution this is, and who tells its kernel the command line: files decide, not the name alone."""

import re
import shlex
from collections.abc import Iterable

from gpupass.model.ground import Distribution, Family, Loader, LoaderKind
from gpupass.system import Reader

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_FAMILIES = {  # ID or ID_LIKE
    "debian": Family.DEBIAN,
    "ubuntu": Family.DEBIAN,
    "rhel": Family.FEDORA,
    "fedora": Family.FEDORA,
    "centos": Family.FEDORA,
    "suse": Family.SUSE,
    "opensuse": Family.SUSE,
    "sles": Family.SUSE,
    "arch": Family.ARCH,
}
_PROXMOX = ("/usr/bin/pveversion", "/usr/share/perl5/PVE/pvecfg.pm")
OSTREE = "/run/ostree-booted"
# systemd's Boot Loader Interface: who has booted this kernel ("GRUB 2.12", "systemd-boot 254")
_LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
GRUB = "/etc/default/grub"
GRUB_D = "/etc/default/grub.d"
CMDLINE = "/etc/kernel/cmdline"
_ENTRIES = ("/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries")
_MADE = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
_VARIABLES = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)(\+?)=(.*)$")


def read_distribution(system: Reader) -> Distribution:
    text = next((text for path in _OS_RELEASE if (text := system.read(path))), "")
    said = dict(re.findall(r"^(ID|ID_LIKE|VERSION_ID|PRETTY_NAME)=(.*)$", text, re.MULTILINE))
    plain = {key: value.strip().strip("\"'") for key, value in said.items()}
    pve = any(system.exists(path) for path in _PROXMOX)
    names = (plain.get("ID", ""), *plain.get("ID_LIKE", "").split())
    return Distribution(
        family=Family.PROXMOX if pve else family_of(names),
        id=plain.get("ID", ""),
        version=plain.get("VERSION_ID", ""),
        name=plain.get("PRETTY_NAME", ""),
    )


def family_of(names: Iterable[str]) -> Family:
    """opensuse-leap, opensuse-tumbleweed and sle-micro are what their beginning says."""
    for name in names:
        short = name.partition("-")[0]
        found = _FAMILIES.get(name) or _FAMILIES.get(short) or (Family.SUSE if short == "sle" else None)
        if found is not None:
            return found
    return Family.OTHER


def read_loader(system: Reader, family: Family) -> Loader:
    """The loader in use, and what it will tell the next kernel."""
    kind = _kind(system, family)
    if kind in (LoaderKind.UPDATE_GRUB, LoaderKind.GRUB2_MKCONFIG, LoaderKind.GRUB_MKCONFIG):
        debian = kind is LoaderKind.UPDATE_GRUB  # its grub-mkconfig alone reads the directory
        return Loader(
            kind=kind, files=_grub_files(system, debian), words=_grub(system, debian), made=_made(system)
        )
    if kind in (LoaderKind.GRUBBY, LoaderKind.ENTRIES):
        files = tuple(_entries(system))
        return Loader(kind=kind, files=files, words=_options(system, files))
    if kind in (LoaderKind.OSTREE, LoaderKind.UNKNOWN):
        return Loader(kind=kind)
    files = tuple(_entries(system))
    words = tuple((system.read(CMDLINE) or "").split())
    return Loader(kind=kind, files=(CMDLINE,), words=words, made=_options(system, files) if files else None)


def _kind(system: Reader, family: Family) -> LoaderKind:
    if system.exists(OSTREE):
        return LoaderKind.OSTREE
    systemd_boot = _booted_by(system).startswith("systemd-boot")
    if family is Family.PROXMOX and systemd_boot:
        return LoaderKind.PROXMOX_BOOT_TOOL
    if _program(system, "grubby") and any(system.names(path) for path in _ENTRIES):
        return LoaderKind.GRUBBY
    if systemd_boot or not system.exists(GRUB):
        return _without_grub(system, systemd_boot)
    if _program(system, "update-grub"):
        return LoaderKind.UPDATE_GRUB
    if _program(system, "grub2-mkconfig"):
        return LoaderKind.GRUB2_MKCONFIG
    return LoaderKind.GRUB_MKCONFIG if _program(system, "grub-mkconfig") else LoaderKind.UNKNOWN


def _without_grub(system: Reader, systemd_boot: bool) -> LoaderKind:
    if _program(system, "sdbootutil"):
        return LoaderKind.SDBOOTUTIL
    if _unified(system):
        return LoaderKind.UNIFIED
    if not any(system.names(path) for path in _ENTRIES):
        return LoaderKind.UNKNOWN
    if system.exists(CMDLINE) and not _program(system, "mkinitcpio"):
        return LoaderKind.KERNEL_INSTALL
    return LoaderKind.ENTRIES


def _unified(system: Reader) -> bool:
    """mkinitcpio.d(5): a preset that makes an image with the command line in it."""
    presets = "/etc/mkinitcpio.d"
    texts = (system.read(f"{presets}/{name}") or "" for name in system.names(presets))
    return any(re.search(r"^\s*\w+_uki=", text, re.MULTILINE) for text in texts)


def _booted_by(system: Reader) -> str:
    """An EFI variable: four bytes of attributes, then UTF-16."""
    data = system.read_bytes(_LOADER_INFO, 512)
    return data[4:].decode("utf-16-le", errors="replace").rstrip("\0") if data else ""


def _program(system: Reader, name: str) -> bool:
    return any(system.exists(f"{where}/{name}") for where in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"))


def _grub_files(system: Reader, debian: bool) -> tuple[str, ...]:
    more = (name for name in system.names(GRUB_D) if name.endswith(".cfg")) if debian else ()
    return (GRUB, *(f"{GRUB_D}/{name}" for name in more))


def _grub(system: Reader, debian: bool) -> tuple[str, ...]:
    """As the shell would have the variables after these files."""
    values = dict.fromkeys(_VARIABLES, "")
    for path in _grub_files(system, debian):
        for line in (system.read(path) or "").splitlines():
            found = _ASSIGNMENT.match(line)
            if found is not None:
                name, more, value = found.groups()
                text = _plain(value, values)
                values[name] = f"{values[name]} {text}" if more else text
    return tuple(" ".join(values.values()).split())


def _plain(value: str, values: dict[str, str]) -> str:
    try:
        text = " ".join(shlex.split(value, comments=True)[:1])
    except ValueError:
        return ""
    return re.sub(r"\$\{?(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)\}?", lambda name: values[name[1]], text)


def _made(system: Reader) -> tuple[str, ...] | None:
    """What entries of the loader's own file have, which root alone may read: rescue entries have less."""
    for path in _MADE:
        lines = re.findall(r"^\s*linux(?:efi|16)?\s+\S+(.*)$", system.read(path) or "", re.MULTILINE)
        if lines:
            return tuple(dict.fromkeys(word for line in lines for word in line.split()))
    return None


def _entries(system: Reader) -> Iterable[str]:
    """Boot Loader Specification, type 1; what rescues is not what boots."""
    for directory in _ENTRIES:
        names = [name for name in system.names(directory) if name.endswith(".conf") and "rescue" not in name]
        if names:
            return [f"{directory}/{name}" for name in names]
    return []


def _options(system: Reader, files: Iterable[str]) -> tuple[str, ...] | None:
    """What every entry has."""
    texts = [system.read(path) for path in files]
    lines = [re.findall(r"^options[ \t]+(.*)$", text, re.MULTILINE) for text in texts if text is not None]
    if not lines:
        return None
    each = [" ".join(found).split() for found in lines]
    return tuple(word for word in each[0] if all(word in words for words in each))
