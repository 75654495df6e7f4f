"""Have the readers of files read them again; the same command forward and back."""

from enum import StrEnum
from typing import Any, ClassVar

from gpupass.step import Step
from gpupass.system import System

_SECONDS = 900.0  # an initramfs for each of several kernels, on a slow disk


class FileReader(StrEnum):
    """Who has to be told that files have changed."""

    SYSTEMD = "systemd"
    UDEV = "udev"
    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"
    MKINITCPIO = "mkinitcpio"
    GRUB = "grub"  # Debian's and Proxmox VE's
    PROXMOX_BOOT_TOOL = "proxmox-boot-tool"
    SDBOOTUTIL = "sdbootutil"


# For every kernel, not only the newest: the boot menu offers all of them, and each must find the same rules.
_COMMANDS = {
    FileReader.SYSTEMD: ("systemctl", "daemon-reload"),
    FileReader.UDEV: ("udevadm", "control", "--reload"),
    FileReader.INITRAMFS_TOOLS: ("update-initramfs", "-u", "-k", "all"),
    FileReader.DRACUT: ("dracut", "--force", "--regenerate-all"),
    FileReader.MKINITCPIO: ("mkinitcpio", "-P"),
    FileReader.GRUB: ("update-grub",),
    FileReader.PROXMOX_BOOT_TOOL: ("proxmox-boot-tool", "refresh"),
    FileReader.SDBOOTUTIL: ("sdbootutil", "update-all-entries"),
}


class Refresh(Step, frozen=True, kw_only=True):
    """Have `what` read its files again, forward and back."""

    what: FileReader

    Before: ClassVar[Any] = type(None)
    settles: ClassVar[bool] = True

    @property
    def target(self) -> str:
        return f"reader:{self.what}"

    def words(self) -> str:
        return f"have {self.what} read its files again"

    def seconds(self) -> float:
        return 30.0

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        system.run(*_COMMANDS[self.what], timeout=_SECONDS)

    def undo(self, before: Any, system: System) -> None:
        self.do(system, 0.0)
