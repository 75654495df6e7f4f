"""What can be cut or lent: a function, a parent of mediated devices, or a slot of such a one."""

from enum import StrEnum

from gpupass.model.host import Base, Device
from gpupass.model.mdev import MdevBus
from gpupass.model.slot import Slot, SlotKind

Carrier = Base | Slot


class CarrierKind(StrEnum):
    """What a way to share a GPU may be able to cut, as people call one of it."""

    FUNCTION = "PCI function"
    VF = "virtual function"
    BUS = "parent of mediated devices"
    MDEV = "mediated device"
    MIG = "GPU instance"
    PARTITION = "partition"


_OF_SLOTS = {
    SlotKind.FUNCTION: CarrierKind.FUNCTION,
    SlotKind.VF: CarrierKind.VF,
    SlotKind.VGPU: CarrierKind.VF,
    SlotKind.MDEV: CarrierKind.MDEV,
    SlotKind.MIG: CarrierKind.MIG,
    SlotKind.PARTITION: CarrierKind.PARTITION,
}


def kind_of(carrier: Carrier) -> CarrierKind:
    if isinstance(carrier, MdevBus):
        return CarrierKind.BUS
    if isinstance(carrier, Device):
        return CarrierKind.FUNCTION if carrier.physfn is None else CarrierKind.VF
    return CarrierKind.MDEV if carrier.mdev is not None else _OF_SLOTS[carrier.kind]
