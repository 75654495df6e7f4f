"""Programs of others that a profile can ask for."""

from gpupass.model.profile import NVIDIA_CTK
from gpupass.model.wire import to_json
from gpupass.observe import recorded
from gpupass.system import Reader
from gpupass.system.executable import installed


def read_nvidia_ctk(system: Reader) -> bool | None:
    """Is it installed? None: the record was made before that was asked."""
    if not system.recorded:
        return installed(system, NVIDIA_CTK)

    def answer(data: dict[str, bool]) -> bool | None:
        return data.get(NVIDIA_CTK)

    return recorded.load(system, recorded.PROGRAMS, answer, {})


def spell_programs(nvidia_ctk: bool | None) -> str:
    return to_json({NVIDIA_CTK: nvidia_ctk}, indent=1).decode()
