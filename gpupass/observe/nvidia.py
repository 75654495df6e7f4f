"""NVIDIA GPUs as the nvidia driver's /proc files and NVML tell them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import convert
from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address, parse_address
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Nvidia
from gpupass.model.mig import MigGpu, MigState
from gpupass.model.user import User, UserKind
from gpupass.model.wire import to_json
from gpupass.observe import recorded
from gpupass.observe.number import number
from gpupass.system import Reader, System
from gpupass.system.nvml import Asked, GpuAnswer, read_gpus

_GPUS = "/proc/driver/nvidia/gpus"
Information = Mapping[Address, Mapping[str, str]]  # what each GPU's file says


def read_nvidia(
    system: Reader,
    information: Information,
    cut: Collection[Address] = (),
    with_vfs: Collection[Address] = (),
    domains: Iterable[Domain] = (),
) -> tuple[dict[Address, Nvidia], tuple[str, ...]]:
    """GPUs the nvidia driver runs, and what could not be seen. NVML is asked only when there is one.

    How MIG cuts them is read of those in `cut` only; guests that use the parts, where there are VFs for
    vGPUs: MIG-backed ones are on VFs always (NVIDIA vGPU documentation, "SR-IOV vGPU").
    """
    if not information:
        return {}, ()
    answers, unseen = read_answers(system, cut, with_vfs)
    silent = unseen[0] if unseen else "NVML does not answer for it"
    by_address = {parse_address(answer.bus_id): answer for answer in answers}
    names = {domain.uuid.lower(): domain.name for domain in domains}
    found = {}
    for address, fields in information.items():
        answer = by_address.get(address)
        minor, model = fields.get("Device Minor", ""), fields.get("Model") or None
        if answer is not None:
            found[address] = _from_nvml(answer, names, model)
        elif "GPU UUID" in fields and "?" not in fields["GPU UUID"]:
            found[address] = Nvidia(
                uuid=fields["GPU UUID"], name=model, minor=number(minor), mig_unseen=silent
            )
    return found, unseen


def with_vfs(devices: Iterable[Device]) -> frozenset[Address]:
    return frozenset(device.physfn for device in devices if device.physfn is not None)


def read_answers(
    system: Reader, cut: Collection[Address] = (), with_vfs: Collection[Address] = ()
) -> tuple[tuple[GpuAnswer, ...], tuple[str, ...]]:
    if not isinstance(system, System):
        return recorded.load(
            system,
            recorded.NVML,
            _answers_of,
            {"gpus": [], "unseen": []},
        )
    try:
        asked = Asked(cut=tuple(cut), with_vfs=tuple(with_vfs))
        answers, missed = read_gpus(system, asked)
    except GpupassError as error:
        return (), (f"NVML: {error.message} ({error.hint})",)
    unseen = (missed.replace("NVML", "NVML:", 1),) if missed else ()
    return answers, (*unseen, *_unseen(answers))


def _unseen(answers: tuple[GpuAnswer, ...]) -> Iterator[str]:
    for answer in answers:
        if answer.mig_unseen:
            yield f"MIG of {parse_address(answer.bus_id)}: {answer.mig_unseen}"


def _answers_of(data: Any) -> tuple[tuple[GpuAnswer, ...], tuple[str, ...]]:
    return tuple(convert(gpu, GpuAnswer) for gpu in data["gpus"]), tuple(data["unseen"])


def spell_answers(answers: tuple[GpuAnswer, ...], unseen: tuple[str, ...]) -> str:
    return to_json({"gpus": answers, "unseen": unseen}, indent=1).decode()


def minors(information: Information) -> dict[int, Address]:
    """The N of /dev/nvidiaN → its GPU."""
    found = {number(fields.get("Device Minor")): address for address, fields in information.items()}
    return {minor: address for minor, address in found.items() if minor is not None}


def _from_nvml(answer: GpuAnswer, domains: Mapping[str, str], model: str | None) -> Nvidia:
    return Nvidia(
        uuid=answer.uuid,
        serial=answer.serial,
        name=answer.name or model,
        part_number=answer.part_number,
        mig_mode=_mig(answer),
        memory_total=answer.memory_total,
        memory_used=answer.memory_used,
        persistence=answer.persistence,
        minor=answer.minor,
        vgpu_card=answer.vgpu_card,
        mig=_cut(answer, domains),
        mig_unseen=answer.mig_unseen if answer.mig is None else "",
    )


def _cut(answer: GpuAnswer, domains: Mapping[str, str]) -> MigState | None:
    if answer.mig is None:
        return None
    return MigState(
        on=answer.mig,
        pending=answer.mig if answer.mig_pending is None else answer.mig_pending,
        resets=answer.mig_resets,
        gpu=_with_domains(answer.mig_gpu, domains) if answer.mig_gpu is not None else None,
        unseen=answer.mig_unseen,
    )


def _with_domains(gpu: MigGpu, domains: Mapping[str, str]) -> MigGpu:
    """Guests by the names that libvirt has for their UUIDs."""

    def named(user: User) -> User:
        name = domains.get(user.name.lower()) if user.kind is UserKind.VM else None
        return user if name is None else replace(user, kind=UserKind.DOMAIN, name=name)

    return replace(
        gpu,
        instances=tuple(replace(one, users=tuple(map(named, one.users))) for one in gpu.instances),
    )


def _mig(answer: GpuAnswer) -> str | None:
    if answer.mig is None:
        return None
    words = {True: "enabled", False: "disabled"}
    now = words[answer.mig]
    if answer.mig_pending is None or answer.mig_pending == answer.mig:
        return now
    return f"{now} (pending: {words[answer.mig_pending]})"


def read_information(system: Reader, addresses: Collection[Address]) -> Information:
    """/proc/driver/nvidia/gpus/0000:01:00.0/information, lines of `Key: \t value`; of those asked for."""
    found = {}
    for name in system.names(_GPUS):
        address = parse_address(name)
        text = system.read(f"{_GPUS}/{name}/information") if address in addresses else None
        if address is not None and text is not None:
            pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
            found[address] = {key.strip(): value.strip() for key, value in pairs}
    return found
