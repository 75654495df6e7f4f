"""Slots: everything that a domain or a container can be given as one thing."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address, Name, root_of


class SlotKind(StrEnum):
    """What a slot is."""

    FUNCTION = "function"  # a whole PCI function
    VF = "vf"
    VGPU = "vgpu"  # a VF that NVIDIA's driver runs as a vGPU of some type
    MDEV = "mdev"
    MIG = "mig"  # a GPU instance: containers only
    PARTITION = "partition"  # of an AMD GPU: containers only

    @property
    def only_for_containers(self) -> bool:
        """It has no PCI function of its own that a domain could be given."""
        return self in (SlotKind.MIG, SlotKind.PARTITION)


class SlotState(StrEnum):
    """Can it be given away now?"""

    FREE = "free"
    ATTACHED = "attached"
    IN_USE = "in use"  # by a guest, by a process of the host, its disks, networks or console
    CUT = "cut"  # it has been cut into the slots below it, or a vGPU is on it
    CLAIMED = "not clean"  # its last guest has gone without gpupass: `gpupass recover`
    QUARANTINED = "quarantined"
    EMPTY = "no type"  # a VF of NVIDIA's frameworks without a vGPU type
    REFUSED = "refused"  # nobody has it, and no domain would be given it: `gpupass show` says why


def vf_part(number: int) -> str:
    """What VF `number` is called among the slots of its PF."""
    return f"vf{number}"


class Slot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`device` is the function itself (of a VF or vGPU: the VF), or the one that the slot is cut from.

    `part` names it among the slots of `of`: "vf0", "3g.20gb@4"; "" for that itself. `of` is the device that
    people select, or a slot that is cut again.
    """

    kind: SlotKind
    device: Address
    of: Name
    part: str = ""
    mdev: str | None = None  # UUID
    size: str = ""  # "A100-4C", "3g.20gb"
    method: str = ""  # the way that it is of
    atoms: frozenset[str] = frozenset()  # what nobody else can have with it, as its way says (model/atom.py)

    @property
    def name(self) -> str:
        return f"{self.of}/{self.part}" if self.part else self.of

    @property
    def address(self) -> Name:
        """What it is called as a carrier of other slots, whatever a profile calls it."""
        return f"{self.of}/{self.mdev or self.part}"

    @property
    def is_function(self) -> bool:
        """It is a function of its own."""
        return self.mdev is None and (not self.part or self.device != root_of(self.of))

    @property
    def what(self) -> str:
        """What a guest is handed of it, as plans call it: a UUID, or an address."""
        return self.mdev or self.device
