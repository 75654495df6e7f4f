"""NVML: opened by the first call for all threads, in a process of its own; closed when need be."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec import Struct

from gpupass.errors import GpupassError
from gpupass.model.address import Address
from gpupass.model.mig import MigProfile
from gpupass.system.guarded import Hung, not_clean
from gpupass.system.patience import lost, patience

if TYPE_CHECKING:
    from gpupass.system.nvml_child import Child

T = TypeVar("T")
READ_SECONDS = 10.0  # for each GPU
CHANGE_SECONDS = 60.0

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


class Known(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What NVML always answers the same."""

    boards: dict[str, str] = {}  # by GPU UUID: those of one kind tell the same of …
    profiles: dict[str, tuple[MigProfile, ...]] = {}  # … these
    compute_profiles: dict[tuple[str, int], tuple[tuple[int, int], ...]] = {}
    vgpu_types: dict[int, str] = {}  # names by number

    def copy(self) -> "Known":
        return Known(
            boards=self.boards.copy(),
            profiles=self.profiles.copy(),
            compute_profiles=self.compute_profiles.copy(),
            vgpu_types=self.vgpu_types.copy(),
        )

    def board(self, uuid: str) -> str:
        """The GPU alone where nobody has said what board it is."""
        return self.boards.get(uuid, uuid)

    def forget(self, uuid: str) -> None:
        """What a GPU has told once; it was not all."""
        board = self.board(uuid)
        self.profiles.pop(board, None)
        for known in [known for known in self.compute_profiles if known[0] == board]:
            del self.compute_profiles[known]


class Opened:
    """NVML in its own process: initialised once, for all threads there."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._told = known.copy()
        self._opening = Lock()
        self._open = False

    @property
    def nvml(self) -> Any:
        """pynvml, initialised."""
        import pynvml

        with self._opening, told("ask the NVIDIA driver", pynvml):
            if not self._open:
                pynvml.nvmlInit()
                self._open = True
        return pynvml

    @contextmanager
    def gpu(self, address: str, what: str) -> Iterator[tuple[Any, Any]]:
        """pynvml and the GPU's handle; errors within are told as "cannot WHAT: …"."""
        nvml = self.nvml
        with told(what, nvml, f"gpupass show {address}"):
            yield nvml, nvml.nvmlDeviceGetHandleByPciBusId(address)

    def news(self) -> Known | None:
        now = self.known.copy()
        if now == self._told:
            return None
        self._told = now
        return now

    def close(self) -> None:
        if self._open:
            import pynvml

            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()


class Library:
    """Who asks NVML, who keeps it open, who needs it closed. What is asked gets an Opened there."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._callers = self._keepers = self._closers = self._silent = 0
        self._child: Child | None = None
        self._known = Known()

    def answers(
        self, call: Callable[..., Iterable[T]], *arguments: object, seconds: float = READ_SECONDS
    ) -> Iterator[T]:
        """What `call` yields in NVML's process; GpupassError when there is no NVML, or no answer in time."""
        seconds = patience(seconds) if seconds <= READ_SECONDS else seconds
        with self._calling() as child:
            try:
                yield from child.answers(call, arguments, seconds)
            except Hung as hung:
                lost(seconds)
                self._leave(child)
                raise NoNvmlAnswer(seconds, hung) from None

    def ask(self, about: Address, call: Callable[..., T], *arguments: object, seconds: float) -> T:
        """What `call` returns there; NotClean when it does not return."""
        try:
            (answer,) = self.answers(_one, call, arguments, seconds=seconds)
            return cast(T, answer)
        except NoNvmlAnswer as silent:
            raise not_clean((about,), "the NVIDIA driver does not answer", silent.hung) from None

    @contextmanager
    def _calling(self) -> "Iterator[Child]":
        """Its process; closed when nobody calls or keeps it."""
        _require_pynvml()
        with self._changed:
            self._changed.wait_for(lambda: not self._silent and not self._closers)
            self._child = child = self._child or self._started()
            self._callers += 1
            child.calls += 1
        try:
            yield child
        finally:
            with self._changed:
                self._callers -= 1
                child.calls -= 1
                if child is not self._child and not child.calls:
                    child.leave()
                self._close_if_idle()
                self._changed.notify_all()

    def _started(self) -> "Child":
        from gpupass.system.nvml_child import Child

        return Child(Opened(self._known), self._learn)

    def _leave(self, child: "Child") -> None:
        """One call of it hangs: whoever asks next has another; those that it still answers keep it."""
        with self._changed:
            if self._child is child:
                self._child = None

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
            self._changed.wait_for(lambda: not self._callers)
            self._closers -= 1
            self._silent += 1
            self.close()
            self._known = Known(boards=self._known.boards)  # the driver may be another one afterwards
        try:
            yield
        finally:
            with self._changed:
                self._silent -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            if self._child is not None:
                child, self._child = self._child, None
                child.end()

    def _learn(self, known: Known) -> None:
        self._known = known

    def _close_if_idle(self) -> None:
        if not self._callers and not self._keepers:
            self.close()


class NoNvmlAnswer(GpupassError):
    """A call into NVML did not return; its process is left behind."""

    kind = "no-answer"
    retryable = True

    def __init__(self, seconds: float, hung: Hung) -> None:
        super().__init__(f"NVML does not answer (asked for {seconds:g} s)", "dmesg | grep -i nvrm")
        self.hung = hung


def _one(opened: Opened, call: Callable[..., T], arguments: tuple[object, ...]) -> Iterator[T]:
    yield call(opened, *arguments)


def _require_pynvml() -> None:
    """Imported here, it is there already in each process that is forked."""
    try:
        import pynvml  # noqa: F401
    except ImportError:
        raise GpupassError(
            "cannot ask the NVIDIA driver: the Python module pynvml is not installed",
            "pip install nvidia-ml-py",
        ) from None


@contextmanager
def told(what: str, nvml: Any, hint: str = "nvidia-smi -L") -> Iterator[None]:
    """NVML's errors within as "cannot WHAT: WHY"."""
    try:
        yield
    except nvml.NVMLError as error:
        raise GpupassError(f"cannot {what}: {why(error)}", _HINTS.get(code(error), hint)) from None


def why(error: Any) -> str:
    return _WHY.get(code(error)) or f"NVML says: {error}"


def text(value: Any) -> str:
    """pynvml answers bytes or str, as its version is; "" for None."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def code(error: Any) -> int:
    return int(getattr(error, "value", -1))
