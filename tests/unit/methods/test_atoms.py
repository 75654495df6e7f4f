"""Slots that cannot be lent to two owners at once share an atom, and no others do."""

from itertools import combinations

import pytest

from gpupass.methods import atoms_of, overlap, slots_of
from gpupass.model.amd import Amd, Partition
from gpupass.model.host import Detail, Device, Host, Nvidia, Sriov
from gpupass.model.mdev import Mdev, MdevBus, Mediated
from gpupass.model.mig import GpuInstance, MigGpu, MigState, Placement

CARD, AUDIO = "0000:01:00.0", "0000:01:00.1"
VFS = ("0000:01:10.0", "0000:01:10.2")
UUIDS = ("c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f", "d8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f")


def device(address, group, physfn=None, **facts):
    return Device(
        address=address,
        vendor=0x10DE,
        device=1,
        class_code=0x030000,
        group=group,
        physfn=physfn,
        detail=Detail(**facts),
    )


def cut(*instances):
    """A GPU instance for each name with its first memory slice and how many it has."""
    there = tuple(
        GpuInstance(id=number, profile=name, placement=Placement(start=start, size=size))
        for number, (name, start, size) in enumerate(instances)
    )
    mig = MigState(on=True, pending=True, gpu=MigGpu(profiles=(), instances=there))
    return device(CARD, 1, nvidia=Nvidia(uuid="GPU-1", mig=mig))


def shared(host):
    """Pairs of slots that share something, by their names."""
    slots = {slot.name: slot for one in host.carriers for slot in slots_of(host, one)}
    return {
        frozenset((one, other))
        for (one, mine), (other, its) in combinations(slots.items(), 2)
        if overlap(host, mine, its)
    }


def names(*pairs):
    return {frozenset(pair) for pair in pairs}


def test_a_card_and_its_virtual_functions():
    pf = device(CARD, 1, sriov=Sriov(total=2, enabled=2, autoprobe=True, vfs=VFS))
    host = Host(devices=(pf, *(device(vf, 2 + number, CARD) for number, vf in enumerate(VFS))))
    whole = [(CARD, f"{CARD}/vf{number}") for number in range(2)]
    by_address = [(CARD, vf) for vf in VFS]
    same = [(f"{CARD}/vf{number}", vf) for number, vf in enumerate(VFS)]
    assert shared(host) == names(*whole, *by_address, *same)


def test_functions_of_one_iommu_group():
    host = Host(devices=(device(CARD, 1), device(AUDIO, 1), device("0000:02:00.0", 2)))
    assert shared(host) == names((CARD, AUDIO))
    one, other = (slots_of(host, host.device(address))[0] for address in (CARD, AUDIO))
    assert overlap(host, one, other) == {"group:1"}


def test_no_group_that_the_kernel_has_not_made():
    host = Host(devices=(device(CARD, -1), device(AUDIO, -1)))
    assert shared(host) == set()


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        (("7g.40gb", 0, 8), ("3g.20gb", 4, 4), True),
        (("4g.20gb", 0, 4), ("3g.20gb", 4, 4), False),
        (("2g.10gb", 2, 2), ("1g.5gb", 3, 1), True),
        (("2g.10gb", 2, 2), ("1g.5gb", 4, 1), False),
    ],
)
def test_gpu_instances_over_the_same_memory_slices(one, other, overlaps):
    """They are never there at once, but one may be wanted while somebody still has the other."""
    slots = [slots_of(Host(devices=(gpu,)), gpu)[1] for gpu in (cut(one), cut(other))]
    assert bool(slots[0].atoms & slots[1].atoms) is overlaps


def test_a_card_and_its_gpu_instances():
    host = Host(devices=(cut(("3g.20gb", 0, 4), ("3g.20gb", 4, 4)),))
    assert shared(host) == names((CARD, f"{CARD}/3g.20gb@0"), (CARD, f"{CARD}/3g.20gb@4"))
    whole = slots_of(host, host.devices[0])[0]
    assert {f"slice:{CARD}/memory/{number}" for number in range(8)} < atoms_of(host, whole)


def test_mediated_devices_and_partitions_are_each_by_themselves():
    mdevs = tuple(Mdev(uuid=uuid, type="mtty-2", group=20 + number) for number, uuid in enumerate(UUIDS))
    bus = MdevBus(address="mtty", detail=Mediated(mdevs=mdevs))
    parts = tuple(Partition(name=f"cpx{number}") for number in range(2))
    gpu = device(CARD, 1, amd=Amd(compute="CPX", partitions=parts))
    host = Host(devices=(gpu,), mdev_buses=(bus,))
    assert shared(host) == names((CARD, f"{CARD}/cpx0"), (CARD, f"{CARD}/cpx1"))
