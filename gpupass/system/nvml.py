"""What NVML says of the GPUs that the nvidia driver runs. The library is loaded only by a call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpupass.errors import GpupassError


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuAnswer:
    """One GPU's answers; None where this GPU or this driver does not support the question. Memory in MiB."""

    bus_id: str
    uuid: str
    serial: str | None = None
    minor: int | None = None
    mig: bool | None = None
    mig_pending: bool | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    persistence: bool | None = None


def read_gpus() -> tuple[GpuAnswer, ...]:
    """Every GPU; GpupassError when NVML is not there or does not answer. Nothing stays open."""
    try:
        import pynvml
    except ImportError:
        raise GpupassError(
            "cannot ask the NVIDIA driver: the Python module pynvml is not installed",
            "pip install nvidia-ml-py",
        ) from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise GpupassError(f"cannot ask the NVIDIA driver: {error}", "nvidia-smi -L") from None
    try:
        return tuple(_read_all(pynvml))
    except pynvml.NVMLError as error:
        raise GpupassError(f"cannot ask the NVIDIA driver: {error}", "nvidia-smi -L") from None
    finally:
        pynvml.nvmlShutdown()


def _read_all(nvml: Any) -> list[GpuAnswer]:
    answers = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            answers.append(_read(nvml, handle))
        except nvml.NVMLError:  # one GPU that is lost, or not for this user, must not hide the others
            continue
    return answers


def _read(nvml: Any, handle: Any) -> GpuAnswer:
    def ask(question: Callable[[Any], Any]) -> Any:
        try:
            return question(handle)
        except nvml.NVMLError:
            return None

    memory = ask(nvml.nvmlDeviceGetMemoryInfo)
    modes = ask(nvml.nvmlDeviceGetMigMode)
    persistence = ask(nvml.nvmlDeviceGetPersistenceMode)
    return GpuAnswer(
        bus_id=_text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        serial=_text(ask(nvml.nvmlDeviceGetSerial)) or None,
        minor=ask(nvml.nvmlDeviceGetMinorNumber),
        mig=bool(modes[0]) if modes is not None else None,
        mig_pending=bool(modes[1]) if modes is not None else None,
        memory_total=memory.total >> 20 if memory is not None else None,
        memory_used=memory.used >> 20 if memory is not None else None,
        persistence=bool(persistence) if persistence is not None else None,
    )


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value or "")
