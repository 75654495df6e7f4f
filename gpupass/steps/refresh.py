"""Have the readers of files read them again; the same command forward and back."""

from gpupass.model.step import FileReader, Refresh
from gpupass.system import System

_SECONDS = 900.0  # an initramfs for each of several kernels, on a slow disk
# For every kernel, not only the newest: the boot menu offers all of them, and each must find the same rules.
_COMMANDS = {
    FileReader.SYSTEMD: ("systemctl", "daemon-reload"),
    FileReader.UDEV: ("udevadm", "control", "--reload"),
    FileReader.INITRAMFS_TOOLS: ("update-initramfs", "-u", "-k", "all"),
    FileReader.DRACUT: ("dracut", "--force", "--regenerate-all"),
}


def do(step: Refresh, system: System) -> None:
    if not step.back:
        system.run(*_COMMANDS[step.what], timeout=_SECONDS)


def undo(step: Refresh, system: System) -> None:
    if step.back:
        system.run(*_COMMANDS[step.what], timeout=_SECONDS)
