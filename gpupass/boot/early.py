"""Early binding: the files that put PCI functions on vfio-pci before any other driver sees them.

driver_override keeps every other driver away, and does not load the one it names (Linux,
Documentation/ABI/testing/sysfs-bus-pci). udev writes an attribute while it works through the rules, and runs
RUN after all of them (udev(7)): at the first PCI event every override is in place, and no driver loaded yet.
"""

import re

from msgspec import Struct

from gpupass.boot.initramfs import HOOK_FUNCTIONS
from gpupass.model.address import Address, parse_address
from gpupass.model.boot import HostFile
from gpupass.steps.refresh import FileReader

RULES = "/etc/udev/rules.d/10-gpupass-early.rules"  # before 80-drivers.rules, which loads by modalias
SOFTDEP = "/etc/modprobe.d/gpupass-early.conf"
HOOK = "/etc/initramfs-tools/hooks/gpupass"
DRACUT_CONF = "/etc/dracut.conf.d/gpupass.conf"
PATHS = (RULES, SOFTDEP, HOOK, DRACUT_CONF)
_HEAD = "# Written by `gpupass host early-bind`; `gpupass host early-bind --undo` takes it away.\n"


class Early(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One function to be bound early, and the module of the driver that it would have otherwise."""

    address: Address
    module: str | None = None


def early_addresses(rules: HostFile | None) -> tuple[Address, ...]:
    """Whom the rules bind already."""
    found = re.findall(r'KERNEL=="([^"]+)"', rules.text if rules else "")
    return tuple(address for text in found if (address := parse_address(text)) is not None)


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
        override = f"[pci/{early.address}]driver_override"
        lines.append(
            f'ACTION=="add", SUBSYSTEM=="pci", TEST=="{override}", TEST!="[pci/{early.address}]driver", '
            f'ATTR{{{override}}}="vfio-pci"\n'
            f'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="{early.address}", '
            'RUN{builtin}+="kmod load vfio-pci"\n'
        )
    return _HEAD + "".join(lines)


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
