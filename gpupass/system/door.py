"""System, the live machine: reads, guarded writes, and the ways to libvirt and NVML."""

import os
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError
from gpupass.system.guarded import Hung, not_clean, told, write_guarded
from gpupass.system.kept import K, Kept
from gpupass.system.may_hang import may_hang
from gpupass.system.opened import numbers
from gpupass.system.reader import MOST, ORDER, Number, Reader, follows, read_regular
from gpupass.system.reads import Reads

if TYPE_CHECKING:
    from gpupass.model.boot import HostFile
    from gpupass.system.kernel_log import KernelLog
    from gpupass.system.libvirt import Hypervisor
    from gpupass.system.nvml_library import Library

_NO_LOGIN = (1 << 32) - 1
_MAPS = 1 << 20  # bytes of one process: ten thousand mappings
STATE = "/var/lib/gpupass"


class System(Reader):
    """The live machine, with all that is kept open of it until `close`; `root` is "" save in tests."""

    def __init__(self, state: Path | None = None) -> None:
        self.state = state if state is not None else Path(STATE)
        self._kept = Kept()

    def keep(self, name: Hashable, make: Callable[[], K]) -> K:
        """What is opened once and closed with this System."""
        return self._kept.one(name, make)

    def close(self) -> None:
        self._kept.close()

    def read_bytes(self, path: str, limit: int = MOST) -> bytes | None:
        """Unread when the kernel does not answer; within `looking` that is noted, and None."""
        if may_hang(path):
            return self._read_guarded((path,), limit)[0]
        try:
            return read_regular(self.root + path, limit, follow=follows(path))
        except OSError:
            return None

    def read_order(self, path: str) -> bytes | None:
        from gpupass.system.trusted import read_trusted

        try:
            return read_trusted(self.root + path, ORDER, roots_alone=True)
        except OSError:
            return None

    def why_no_rom(self, path: str) -> str | None:
        from gpupass.system.rom import why_no_rom

        return why_no_rom(self.root + path)

    def read_many(self, paths: Sequence[str]) -> Sequence[bytes | None]:
        return self._read_guarded(paths, MOST)

    def opened(self, processes: Sequence[int]) -> Sequence[frozenset[Number]]:
        found = self._reads.opened([f"{self.root}/proc/{pid}" for pid in processes], _MAPS)
        return [numbers(packed or b"") for packed in found]

    def _read_guarded(self, paths: Sequence[str], limit: int) -> list[bytes | None]:
        """What is not there is known here: to look a name up asks no driver."""
        there = [self.root + path for path in paths if self.exists(path)]
        found = dict(zip(there, self._reads.read(there, limit), strict=True)) if there else {}
        return [found.get(self.root + path) for path in paths]

    @property
    def _reads(self) -> Reads:
        return self.keep(Reads, Reads)

    def answers(self, path: str) -> bool:
        return self._reads.answers(self.root + path)

    def looking(self) -> AbstractContextManager[list[str]]:
        return self._reads.looking()

    def names(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(self.root + path)))  # noqa: PTH208 - hot path, strings wanted
        except OSError:
            return ()

    def exists(self, path: str) -> bool:
        return os.path.exists(self.root + path)  # noqa: PTH110

    def target(self, path: str) -> str | None:
        try:
            return os.readlink(self.root + path)  # noqa: PTH115
        except OSError:
            return None

    def resolve(self, path: str) -> str | None:
        try:
            return os.path.realpath(self.root + path, strict=True)[len(self.root) :]
        except OSError:
            return None

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

    def run(self, *argv: str, timeout: float = 60.0, about: tuple[str, ...] = ()) -> str:
        """What the command prints; NotClean when it hangs in the kernel and changes these devices."""
        try:
            return self._run(argv, timeout)
        except Hung as hung:
            if about:
                raise not_clean(about, f"{argv[0]} does not end", hung) from None
            stuck = f"cannot run {argv[0]}: it does not end ({hung})"
            raise GpupassError(stuck, f"cat /proc/{hung.pid}/stack") from None

    def _run(self, argv: tuple[str, ...], seconds: float) -> str:
        from gpupass.system.process import run

        return run(argv, seconds)

    def hooks(self) -> tuple[str, ...]:
        """The administrator's programs; Refused when others than root can change one."""
        from gpupass.system.hooks import find_hooks

        return find_hooks()

    def run_hook(self, path: str, *arguments: str, given: bytes) -> None:
        """GpupassError with its own words when it says no, or does not end in time."""
        from gpupass.system.hooks import run_hook

        try:
            run_hook(path, arguments, given)
        except Hung as hung:
            raise GpupassError(f"it does not end ({hung})", f"cat /proc/{hung.pid}/stack") from None

    def hypervisor(self, uri: str) -> "Hypervisor":
        """Its libvirt connection; GpupassError when there is none to be had."""
        from gpupass.system.libvirt import Hypervisor

        return self.keep(uri, lambda: Hypervisor(uri))

    @property
    def nvml(self) -> "Library":
        from gpupass.system.nvml_library import Library

        return self.keep(Library, Library)

    def watch(self, uri: str | None) -> Callable[[float], None]:
        """From now on: what it returns waits until a domain or PCI device changes, or a few seconds."""
        from gpupass.system.watch import watch

        return watch(None if uri is None else lambda: self.hypervisor(uri), self.sleep)

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
