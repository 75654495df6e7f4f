"""Names of NVIDIA vGPU types and the lists of them; pure.

Source: NVIDIA's kubevirt-gpu-device-plugin and Proxmox VE's qemu-server read creatable_vgpu_types; both
orders of its columns have been seen ("468 : NVIDIA A100-4C", "NVIDIA A40-2Q    558"). Names:
vgpu-device-manager.
"""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gpupass.model.host import VgpuType

_LABEL = re.compile(
    r"(?P<board>[A-Z0-9]+(-Ada|-SFF-Ada)?)-((?P<slices>[1-9])-)?(?P<gb>\d{1,3})(?P<series>[ABCQ])(ME|NOME|MEALL|GFX)?"
)
_ID_FIRST = re.compile(r"\s*(\d{1,9})\s*:\s*(\S.*?)\s*")
_NAME_FIRST = re.compile(r"\s*(\S.*?)\s+(\d{1,9})\s*")


class Label(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a type's name says: GB of framebuffer; of a MIG-backed one the slices of its GPU instance."""

    memory: int
    slices: int | None = None


def read_label(name: str) -> Label | None:
    """None: the name is not built like NVIDIA's."""
    found = _LABEL.fullmatch(name)
    if found is None:
        return None
    return Label(memory=int(found["gb"]), slices=int(found["slices"]) if found["slices"] else None)


def memory(name: str) -> int:
    """GB of framebuffer; 0 where the name does not tell."""
    label = read_label(name)
    return label.memory if label is not None else 0


def sizes(names: Iterable[str]) -> int:
    """How many there are of time-sliced types; those on MIG have their GPU instance's size."""
    labels = (read_label(name) for name in names)
    return len({label.memory for label in labels if label is not None and label.slices is None})


def param_words(text: str) -> list[str]:
    """The key=value pairs of vgpu_params: the driver puts commas or blanks between them."""
    return text.replace(",", " ").split()


def parse_types(text: str) -> tuple[VgpuType, ...]:
    """The lines of creatable_vgpu_types; its header says nothing."""
    return tuple(_types(text))


def _types(text: str) -> Iterator[VgpuType]:
    for line in text.splitlines():
        if found := _ID_FIRST.fullmatch(line):
            yield VgpuType(id=int(found[1]), name=type_label(found[2]))
        elif found := _NAME_FIRST.fullmatch(line):
            yield VgpuType(id=int(found[2]), name=type_label(found[1]))


def type_label(name: str) -> str:
    """The last word: "A100-4C" of "NVIDIA A100-4C" and of "GRID A100-4C"."""
    return name.split()[-1]
