"""System: reads below one root, guarded writes, and the ways to libvirt and NVML."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gpupass.system.guarded import told, write_guarded

if TYPE_CHECKING:
    from gpupass.model.boot import HostFile
    from gpupass.system.kernel_log import KernelLog
    from gpupass.system.libvirt import Hypervisor

_NO_LOGIN = (1 << 32) - 1
STATE = "/var/lib/gpupass"


class System:
    """A machine: the live one (root ""), or a record of one in a directory, which can only be read."""

    def __init__(self, root: str = "", state: Path | None = None) -> None:
        self.root = root.rstrip("/")
        self.recorded = bool(self.root)
        self.state = state if state is not None else Path(self.root + STATE)

    def read(self, path: str) -> str | None:
        """The stripped text of a file; None when it is not there or not for us to read."""
        data = self.read_bytes(path)
        return None if data is None else data.decode(errors="replace").strip()

    def read_bytes(self, path: str, limit: int = 1 << 24) -> bytes | None:
        try:
            fd = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            chunks = []
            while limit > 0 and (chunk := os.read(fd, min(limit, 1 << 16))):
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks)
        except OSError:
            return None
        finally:
            os.close(fd)

    def names(self, path: str) -> tuple[str, ...]:
        """What a directory holds, sorted; () when it cannot be listed."""
        try:
            return tuple(sorted(os.listdir(self.root + path)))  # noqa: PTH208 - hot path, strings wanted
        except OSError:
            return ()

    def exists(self, path: str) -> bool:
        return os.path.exists(self.root + path)  # noqa: PTH110

    def link(self, path: str) -> str | None:
        """The last part of a symbolic link's target: a driver's name, a group's number."""
        try:
            return os.readlink(self.root + path).rpartition("/")[2]  # noqa: PTH115
        except OSError:
            return None

    def target(self, path: str) -> str | None:
        """A symbolic link's target as it is written."""
        try:
            return os.readlink(self.root + path)  # noqa: PTH115
        except OSError:
            return None

    def resolve(self, path: str) -> str | None:
        """The real path behind a link, again below the root."""
        try:
            real = os.path.realpath(self.root + path, strict=True)
        except OSError:
            return None
        root = os.path.realpath(self.root) if self.root else ""
        return real[len(root) :] if real.startswith(root) else None

    def write(
        self, path: str, value: str, about: str, *more: str, what: str = "", seconds: float = 10.0
    ) -> None:
        """Write a kernel attribute that changes these devices.

        KernelRefused ("cannot `what`: …", with the kernel's own line), NotClean when it does not return.
        """
        what = what or f"write {value} to {path.rpartition('/')[2]} of {about}"
        with told(path, (about, *more), what, self.kernel_log()):
            self._write(path, value, seconds)

    def _write(self, path: str, value: str, seconds: float) -> None:
        write_guarded(self.root + path, value, seconds)

    def read_file(self, path: str) -> "HostFile | None":
        """A whole file of the host; Refused when others than root decide what its path leads to."""
        from gpupass.system.files import read_file

        return read_file(self.root, path)

    def write_file(self, file: "HostFile") -> None:
        """Replace it atomically; directories that are missing are made."""
        from gpupass.system.files import write_file

        write_file(self.root, file)

    def remove_file(self, path: str) -> None:
        from gpupass.system.files import remove_file

        remove_file(self.root, path)

    def remove_directory(self, path: str) -> None:
        """Only if nothing is left in it."""
        from gpupass.system.files import remove_directory

        remove_directory(self.root, path)

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        from gpupass.system.process import run

        return run(argv, timeout)

    def hypervisor(self, uri: str) -> "Hypervisor":
        """The libvirt connection of this process; GpupassError when there is none to be had."""
        return _connection(uri)

    def watch(self, uri: str | None) -> Callable[[float], None]:
        """From now on: what it returns waits until a domain or PCI device changes, or a few seconds."""
        from gpupass.system.watch import watch

        return watch(None if uri is None else lambda: self.hypervisor(uri), self.sleep)

    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    def user(self) -> str:
        """Who is logged in behind sudo: the kernel keeps the login's user (/proc/self/loginuid)."""
        import pwd

        login = self.read("/proc/self/loginuid") or ""
        number = int(login) if login.isdecimal() and int(login) != _NO_LOGIN else os.getuid()
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return str(number)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Between two looks at a condition that has a deadline."""
        time.sleep(seconds)

    def hot_reset(self, group: int, address: str, *more: str) -> None:
        """Reset the slot of VFIO-bound functions; KernelRefused, NotClean when it does not return."""
        with told(f"/dev/vfio/{group}", (address, *more), f"reset the slot of {address}", self.kernel_log()):
            self._hot_reset(group, address)

    def _hot_reset(self, group: int, address: str) -> None:
        from gpupass.system.vfio import hot_reset

        hot_reset(group, address)

    def vfio_group_is_closed(self, group: int) -> bool | None:
        """Has the last user of the VFIO group closed it? None when the kernel cannot be asked."""
        from gpupass.system.vfio import group_is_closed

        return group_is_closed(group)

    def kernel_log(self) -> "KernelLog":
        from gpupass.system.kernel_log import KernelLog

        return KernelLog()

    def hostname(self) -> str:
        """Of a record it is not known: ""."""
        return self.read("/proc/sys/kernel/hostname") or ""

    def machine_id(self) -> str:
        """machine-id(5), which stays for as long as the installation; of a record it is not known: ""."""
        return self.read("/etc/machine-id") or ""

    def boot_id(self) -> str:
        return self.read("/proc/sys/kernel/random/boot_id") or ""


@cache
def _connection(uri: str) -> "Hypervisor":
    from gpupass.system.libvirt import Hypervisor

    return Hypervisor(uri)
