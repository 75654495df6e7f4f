"""NVIDIA GPUs as the nvidia driver's /proc files and NVML tell them."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from gpupass.errors import GpupassError
from gpupass.model.address import Address, parse_address
from gpupass.model.host import Nvidia
from gpupass.observe import recorded
from gpupass.system import System
from gpupass.system.nvml import GpuAnswer, read_gpus

_GPUS = "/proc/driver/nvidia/gpus"


def read_nvidia(system: System) -> tuple[dict[Address, Nvidia], tuple[str, ...]]:
    """GPUs the nvidia driver runs, and what could not be seen. NVML is asked only when there is one."""
    information = _information(system)
    if not information:
        return {}, ()
    answers, unseen = read_answers(system)
    by_address = {parse_address(answer.bus_id): answer for answer in answers}
    found = {}
    for address, fields in information.items():
        answer = by_address.get(address)
        minor = fields.get("Device Minor", "")
        if answer is not None:
            found[address] = _from_nvml(answer)
        elif "GPU UUID" in fields and "?" not in fields["GPU UUID"]:
            found[address] = Nvidia(uuid=fields["GPU UUID"], minor=int(minor) if minor.isdecimal() else None)
    return found, unseen


def read_answers(system: System) -> tuple[tuple[GpuAnswer, ...], tuple[str, ...]]:
    if system.recorded:
        return recorded.load(
            system,
            recorded.NVML,
            lambda data: (tuple(GpuAnswer(**gpu) for gpu in data["gpus"]), tuple(data["unseen"])),
            {"gpus": [], "unseen": []},
        )
    try:
        return read_gpus(), ()
    except GpupassError as error:
        return (), (f"NVML: {error.message} ({error.hint})",)


def spell_answers(answers: tuple[GpuAnswer, ...], unseen: tuple[str, ...]) -> str:
    return json.dumps({"gpus": [asdict(answer) for answer in answers], "unseen": list(unseen)}, indent=1)


def minors(system: System) -> dict[int, Address]:
    """The N of /dev/nvidiaN → its GPU."""
    return {
        int(fields["Device Minor"]): address
        for address, fields in _information(system).items()
        if fields.get("Device Minor", "").isdecimal()
    }


def _from_nvml(answer: GpuAnswer) -> Nvidia:
    return Nvidia(
        uuid=answer.uuid,
        serial=answer.serial,
        mig=_mig(answer),
        memory_total=answer.memory_total,
        memory_used=answer.memory_used,
        persistence=answer.persistence,
        minor=answer.minor,
    )


def _mig(answer: GpuAnswer) -> str | None:
    if answer.mig is None:
        return None
    words = {True: "enabled", False: "disabled"}
    now = words[answer.mig]
    if answer.mig_pending is None or answer.mig_pending == answer.mig:
        return now
    return f"{now} (pending: {words[answer.mig_pending]})"


def _information(system: System) -> Mapping[Address, dict[str, str]]:
    """/proc/driver/nvidia/gpus/0000:01:00.0/information: lines of `Key: \t value`."""
    found = {}
    for name in system.names(_GPUS):
        address = parse_address(name)
        text = system.read(f"{_GPUS}/{name}/information")
        if address is not None and text is not None:
            pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
            found[address] = {key.strip(): value.strip() for key, value in pairs}
    return found
