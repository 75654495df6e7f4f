"""What NVML says of the GPUs that the nvidia driver runs."""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address, parse_address
from gpupass.model.host import VgpuCard
from gpupass.model.mig import MigGpu
from gpupass.system.door import System
from gpupass.system.holders import process_name
from gpupass.system.mig import Incomplete, named, needs_reset, read_mig_gpu
from gpupass.system.nvml_library import NOT_SUPPORTED, NoNvmlAnswer, Opened, code, text, told, why
from gpupass.system.vgpu_card import read_card


class GpuAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU's answers; None where this GPU or this driver does not support the question. Memory in MiB."""

    bus_id: str
    uuid: str
    serial: str | None = None
    name: str | None = None
    part_number: str | None = None
    minor: int | None = None
    mig: bool | None = None
    mig_pending: bool | None = None
    mig_resets: bool = True  # another mode takes a reset
    mig_gpu: MigGpu | None = None  # None: not asked for, or …
    mig_unseen: str = ""  # … why it could not be seen
    memory_total: int | None = None
    memory_used: int | None = None
    persistence: bool | None = None
    vgpu_card: VgpuCard | None = None


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for beyond the basics."""

    cut: Collection[Address] = ()  # GPUs: how MIG cuts them, and who uses the parts
    with_vfs: Collection[Address] = ()  # those of them that can have vGPUs, so guests among the users


def read_gpus(system: System, asked: Asked) -> tuple[tuple[GpuAnswer, ...], str]:
    """Every GPU that answers, and what is to be said of the others; GpupassError when NVML is not there."""
    answers: list[GpuAnswer] = []
    try:
        for answer in system.nvml.answers(_read_all, asked):
            answers.append(_named(answer, partial(process_name, system)))
    except NoNvmlAnswer as silent:
        return tuple(answers), silent.message
    return tuple(answers), ""


def _named(answer: GpuAnswer, name_of: Callable[[int], str]) -> GpuAnswer:
    """Processes are looked up here: where NVML is called nothing else is."""
    if answer.mig_gpu is None or not answer.mig_gpu.instances:
        return answer
    instances = tuple(
        replace(
            one,
            users=named(one.users, name_of),
            compute=tuple(replace(part, users=named(part.users, name_of)) for part in one.compute),
        )
        for one in answer.mig_gpu.instances
    )
    return replace(answer, mig_gpu=replace(answer.mig_gpu, instances=instances))


def _read_all(opened: Opened, asked: Asked) -> Iterator[GpuAnswer]:
    nvml = opened.nvml
    with told("ask the NVIDIA driver", nvml):
        count = nvml.nvmlDeviceGetCount()
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            yield _read(opened, handle, asked)
        except nvml.NVMLError:  # one GPU that is lost, or not for this user, must not hide the others
            continue


def _read(opened: Opened, handle: Any, asked: Asked) -> GpuAnswer:
    nvml = opened.nvml

    def ask(question: Callable[[Any], Any]) -> Any:
        try:
            return question(handle)
        except nvml.NVMLError:
            return None

    pci, uuid = nvml.nvmlDeviceGetPciInfo(handle), text(nvml.nvmlDeviceGetUUID(handle))
    bus_id, memory = text(pci.busId), ask(nvml.nvmlDeviceGetMemoryInfo)
    address = parse_address(bus_id)
    if memory is not None:  # with ECC it is less, also of each MIG profile
        opened.known.boards[uuid] = f"{pci.pciDeviceId:08x} {pci.pciSubSystemId:08x} {memory.total}"
    persistence = ask(nvml.nvmlDeviceGetPersistenceMode)
    return GpuAnswer(
        bus_id=bus_id,
        uuid=uuid,
        serial=text(ask(nvml.nvmlDeviceGetSerial)) or None,
        name=text(ask(nvml.nvmlDeviceGetName)) or None,
        part_number=text(ask(nvml.nvmlDeviceGetBoardPartNumber)) or None,
        minor=ask(nvml.nvmlDeviceGetMinorNumber),
        memory_total=memory.total >> 20 if memory is not None else None,
        memory_used=memory.used >> 20 if memory is not None else None,
        persistence=bool(persistence) if persistence is not None else None,
        vgpu_card=read_card(opened, handle) if address in asked.cut else None,
        **_mig(opened, handle, uuid, address, asked),
    )


def _mig(opened: Opened, handle: Any, uuid: str, address: Address | None, asked: Asked) -> dict[str, Any]:
    """Nothing of a GPU that has no MIG; of any other why something could not be seen."""
    nvml = opened.nvml
    found: dict[str, Any] = {}
    try:
        now, pending = nvml.nvmlDeviceGetMigMode(handle)
        found |= {"mig": bool(now), "mig_pending": bool(pending)}
        if address in asked.cut:
            found["mig_resets"] = needs_reset(nvml, handle)
            found["mig_gpu"] = read_mig_gpu(opened, handle, uuid, bool(now), guests=address in asked.with_vfs)
    except nvml.NVMLError as error:
        if found or code(error) != NOT_SUPPORTED:
            found["mig_unseen"] = why(error)
    except Incomplete as error:
        opened.known.forget(uuid)
        found["mig_unseen"] = str(error)
    return found
