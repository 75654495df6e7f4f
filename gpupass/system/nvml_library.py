"""NVML in this process: loaded by the first call, initialised once for all threads, closed when need be."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, local
from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.mig import MigProfile

INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND = 2, 3, 6, 13
RESET_REQUIRED, IN_USE, INSUFFICIENT_RESOURCES = 16, 19, 23
_WHY = {
    4: "no permission",
    9: "the nvidia driver is not loaded",
    12: "its library libnvidia-ml.so.1 is not installed",
    13: "this NVIDIA driver is too old for it",
    15: "the GPU is lost",
    16: "the GPU needs a reset first",
    18: "the NVIDIA driver in the kernel and its library are of two versions",
    19: "it is in use",
}
_HINTS = {
    4: "run it with sudo",
    9: "modprobe nvidia",
    13: "install a newer NVIDIA driver; this one: cat /proc/driver/nvidia/version",
    15: "dmesg | grep -i xid",
    16: "nvidia-smi --gpu-reset",
    18: "reboot, or unload the old driver; cat /proc/driver/nvidia/version",
}


class Library:
    """Who calls it, who keeps it open, who needs it closed; and what it always answers the same."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._thread = local()  # how many calls it is within
        self._callers = self._keepers = self._closers = 0
        self._silent = self._open = False
        self.boards: dict[str, str] = {}  # by GPU UUID: those of one kind tell the same of …
        self.profiles: dict[str, tuple[MigProfile, ...]] = {}  # … these
        self.compute_profiles: dict[tuple[str, int], tuple[tuple[int, int], ...]] = {}
        self.vgpu_types: dict[int, str] = {}  # names by number

    @contextmanager
    def calls(self) -> Iterator[Any]:
        """pynvml, initialised; closed when nobody calls or keeps it. GpupassError when there is none."""
        try:
            import pynvml
        except ImportError:
            raise GpupassError(
                "cannot ask the NVIDIA driver: the Python module pynvml is not installed",
                "pip install nvidia-ml-py",
            ) from None
        within = getattr(self._thread, "calls", 0)
        with self._changed:
            if not within:  # else whoever wants it closed waits for us
                self._changed.wait_for(lambda: not self._silent and not self._closers)
            if not self._open:
                with told("ask the NVIDIA driver", pynvml):
                    pynvml.nvmlInit()
                self._open = True
            self._callers += 1
        self._thread.calls = within + 1
        try:
            yield pynvml
        finally:
            self._thread.calls = within
            with self._changed:
                self._callers -= 1
                self._close_if_idle()
                self._changed.notify_all()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """From the first call within on it stays open."""
        with self._changed:
            self._keepers += 1
        try:
            yield
        finally:
            with self._changed:
                self._keepers -= 1
                self._close_if_idle()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Closed, and nobody calls: a GPU that NVML has open can be neither reset nor unbound."""
        with self._changed:
            self._closers += 1
            self._changed.wait_for(lambda: not self._callers and not self._silent)
            self._closers -= 1
            self._silent = True
            self._close()
            self.profiles.clear()  # the driver may be another one afterwards
            self.compute_profiles.clear()
            self.vgpu_types.clear()
        try:
            yield
        finally:
            with self._changed:
                self._silent = False
                self._changed.notify_all()

    def board(self, uuid: str) -> str:
        """The GPU alone where nobody has said what board it is."""
        return self.boards.get(uuid, uuid)

    def forget(self, uuid: str) -> None:
        """What a GPU has told once; it was not all."""
        board = self.board(uuid)
        self.profiles.pop(board, None)
        for known in [known for known in self.compute_profiles if known[0] == board]:
            del self.compute_profiles[known]

    def _close_if_idle(self) -> None:
        if not self._callers and not self._keepers:
            self._close()

    def _close(self) -> None:
        if self._open:
            import pynvml

            self._open = False
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


LIBRARY = Library()


@contextmanager
def told(what: str, nvml: Any, hint: str = "nvidia-smi -L") -> Iterator[None]:
    """NVML's errors within as "cannot WHAT: WHY"."""
    try:
        yield
    except nvml.NVMLError as error:
        raise GpupassError(f"cannot {what}: {why(error)}", _HINTS.get(code(error), hint)) from None


@contextmanager
def gpu_at(address: str, what: str) -> Iterator[tuple[Any, Any]]:
    """pynvml and the GPU's handle; NVML's errors within are told as "cannot WHAT: …"."""
    with LIBRARY.calls() as nvml, told(what, nvml, f"gpupass show {address}"):
        yield nvml, nvml.nvmlDeviceGetHandleByPciBusId(address)


def why(error: Any) -> str:
    return _WHY.get(code(error)) or f"NVML says: {error}"


def text(value: Any) -> str:
    """pynvml answers bytes or str, as its version is; "" for None."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def code(error: Any) -> int:
    return int(getattr(error, "value", -1))
