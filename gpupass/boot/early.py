"""Early binding: the files that put PCI functions on vfio-pci before any other driver sees them.

driver_override keeps every other driver away, and does not load the one it names (Linux,
Documentation/ABI/testing/sysfs-bus-pci). udev writes an attribute while it works through the rules, and runs
RUN after all of them (udev(7)): at the first PCI event every override is in place, and no driver loaded yet.
A card that is added can give all others new addresses: a rule holds for one vendor, device and board there.
"""

import re

from msgspec import Struct

from gpupass.boot.initramfs import HOOK_FUNCTIONS
from gpupass.model.address import Address, parse_address
from gpupass.model.boot import HostFile
from gpupass.model.identity import Identity
from gpupass.steps.refresh import FileReader

RULES = "/etc/udev/rules.d/10-gpupass-early.rules"  # before 80-drivers.rules, which loads by modalias
SOFTDEP = "/etc/modprobe.d/gpupass-early.conf"
HOOK = "/etc/initramfs-tools/hooks/gpupass"
DRACUT_CONF = "/etc/dracut.conf.d/gpupass.conf"
PATHS = (RULES, SOFTDEP, HOOK, DRACUT_CONF)
_ATTRIBUTES = ("vendor", "device", "subsystem_vendor", "subsystem_device")
_RULE = re.compile(r'KERNEL=="(?P<address>[^"]+)", (?P<conditions>.*)')
_CONDITION = re.compile(r'ATTR\{(\w+)\}=="0x([0-9a-f]{4})"')
_HEAD = "# Written by `gpupass host early-bind`; `gpupass host early-bind --undo` takes it away.\n"


class Early(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One function to be bound early, and the module of the driver that it would have otherwise."""

    address: Address
    identity: Identity
    module: str | None = None


def early_bound(rules: HostFile | None) -> dict[Address, Identity | None]:
    """Whom the rules bind already; None: whoever has that address, as an earlier version wrote them."""
    found = (_RULE.search(line) for line in (rules.text if rules else "").splitlines())
    return {
        address: _identity(match["conditions"])
        for match in found
        if match is not None and (address := parse_address(match["address"])) is not None
    }


def _identity(conditions: str) -> Identity | None:
    said = dict(_CONDITION.findall(conditions))
    ids, board = (
        ":".join(said[name] for name in pair if name in said) for pair in (_ATTRIBUTES[:2], _ATTRIBUTES[2:])
    )
    return Identity(ids=ids, subsystem=board) if ids else None


def early_files(bound: tuple[Early, ...], tool: FileReader) -> tuple[HostFile, ...]:
    """All files for `bound`; none when nobody is bound early."""
    if not bound:
        return ()
    modules = sorted({early.module for early in bound if early.module})
    initramfs = (
        HostFile(path=HOOK, text=_hook(), mode=0o755)
        if tool is FileReader.INITRAMFS_TOOLS
        else HostFile(path=DRACUT_CONF, text=_dracut_conf(bool(modules)))
    )
    softdep = (HostFile(path=SOFTDEP, text=_softdep(modules)),) if modules else ()
    return (HostFile(path=RULES, text=_rules(bound)), *softdep, initramfs)


def _rules(bound: tuple[Early, ...]) -> str:
    """The override is set at the event of any PCI function: another GPU's may load the driver they share.

    Only while nobody drives the function: what `gpupass unbind` gave back to the host stays there.
    """
    lines = []
    for early in sorted(bound, key=lambda early: early.address):
        its = f"[pci/{early.address}]"
        lines.append(
            f'ACTION=="add", SUBSYSTEM=="pci", TEST=="{its}driver_override", TEST!="{its}driver", '
            f'{_conditions(early.identity, its)}ATTR{{{its}driver_override}}="vfio-pci"\n'
            f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{early.address}", '
            f'{_conditions(early.identity)}RUN{{builtin}}+="kmod load vfio-pci"\n'
        )
    return _HEAD + "".join(lines)


def _conditions(identity: Identity, its: str = "") -> str:
    """ATTR matches a file of another device, too (token_match_attr of systemd's udev-rules.c)."""
    values = f"{identity.ids}:{identity.subsystem}".split(":")
    said = zip(_ATTRIBUTES, values, strict=False)
    return "".join(f'ATTR{{{its}{name}}}=="0x{value}", ' for name, value in said if value)


def _softdep(modules: list[str]) -> str:
    """vfio-pci is there first, so that what is kept from its driver does not stand without any."""
    return _HEAD + "".join(f"softdep {module} pre: vfio-pci\n" for module in modules)


def _hook() -> str:
    """initramfs-tools(7); /etc/modprobe.d comes along anyway, of the udev rules only those it knows."""
    return f"""\
#!/bin/sh
{_HEAD}case "$1" in
prereqs)
    echo udev
    exit 0
    ;;
esac
. {HOOK_FUNCTIONS}
manual_add_modules vfio-pci vfio_iommu_type1
mkdir -p "$DESTDIR/etc/udev/rules.d"
cp -p {RULES} "$DESTDIR/etc/udev/rules.d/"
"""


def _dracut_conf(softdep: bool) -> str:
    """dracut.conf(5): lists begin and end with a space."""
    items = f"{RULES} {SOFTDEP}" if softdep else RULES
    return f"""\
{_HEAD}add_drivers+=" vfio-pci vfio_iommu_type1 "
install_items+=" {items} "
"""
