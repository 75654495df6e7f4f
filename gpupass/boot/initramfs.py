"""Which tool makes this host's initramfs: its files decide, and the distribution where there are two."""

import re

from msgspec import Struct

from gpupass.model.boot import BootState
from gpupass.steps.refresh import FileReader

HOOK_FUNCTIONS = "/usr/share/initramfs-tools/hook-functions"
OSTREE = "/run/ostree-booted"
_DRACUT = ("/usr/bin/dracut", "/usr/sbin/dracut")
_MKINITCPIO = "/usr/bin/mkinitcpio"
TRACES = (HOOK_FUNCTIONS, *_DRACUT, _MKINITCPIO, OSTREE)
_DEBIAN = frozenset({"debian", "ubuntu"})


class Unknown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why no tool can be chosen, and what the operator can do instead."""

    why: str
    remedy: str
    mkinitcpio: bool = False  # which can make it, if not be configured


def initramfs_tool(boot: BootState) -> FileReader | Unknown:
    """Debian's and Ubuntu's dracut-core may lie beside initramfs-tools without being what makes the image."""
    names = _distributions(boot.os_release)
    dracut = any(path in boot.present for path in _DRACUT)
    debian = HOOK_FUNCTIONS in boot.present
    if OSTREE in boot.present:
        return Unknown(
            why="its file system is an ostree image, whose initramfs is made elsewhere",
            remedy="rpm-ostree kargs --append=vfio-pci.ids=VENDOR:DEVICE",
        )
    if debian and (names & _DEBIAN or not dracut):
        return FileReader.INITRAMFS_TOOLS
    if dracut:
        return FileReader.DRACUT
    if _MKINITCPIO in boot.present:
        return Unknown(
            why="mkinitcpio makes its initramfs, which gpupass cannot configure",
            remedy="set MODULES=(vfio-pci) and options vfio-pci ids=VENDOR:DEVICE by hand; or install dracut",
            mkinitcpio=True,
        )
    known = " or ".join(sorted(names)) or "an unknown distribution"
    return Unknown(
        why=f"it has neither initramfs-tools nor dracut ({known})",
        remedy="install initramfs-tools or dracut",
    )


def _distributions(os_release: str) -> frozenset[str]:
    """ID and ID_LIKE of os-release(5)."""
    found = re.findall(r"^(?:ID|ID_LIKE)=(.*)$", os_release, re.MULTILINE)
    return frozenset(word for value in found for word in value.strip("\"' \t").split())
