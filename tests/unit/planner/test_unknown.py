"""What is quarantined where nobody knows any more what gpupass has done: all that is not idle at home."""

import pytest

from gpupass.model.host import Detail, Device, Host, Mdev, Sriov
from gpupass.model.identity import Identity
from gpupass.model.mark import Quarantine
from gpupass.model.mdev import MdevBus, Mediated
from gpupass.model.user import User, UserKind
from gpupass.planner.unknown import not_idle, quarantines

GPU, GONE, BUS = "0000:01:00.0", "0000:02:00.0", "mbochs"
MDEV = Mdev(uuid="0f0f0f0f-0000-4000-8000-000000000001", type="small")
PROCESS = User(kind=UserKind.PROCESS, name="python", pid=4711)
GUEST = User(kind=UserKind.DOMAIN, name="web")
VM = User(kind=UserKind.VM, name="1b4e28ba")
BRIDGE = 0x060400
HOME = Detail(host_driver="nvidia")


def gpu(driver="nvidia", detail=HOME, users=(), kind=0x030200):
    return Device(address=GPU, vendor=1, device=1, class_code=kind, driver=driver, detail=detail, users=users)


def functions(enabled):
    return Detail(sriov=Sriov(total=4, enabled=enabled, autoprobe=True))


IDLE = {
    "at home": gpu(),
    "at home, as a bare look tells": gpu(detail=None),
    "at work for the host": gpu(users=(PROCESS,)),
    "no driver would take it": gpu(driver=None, detail=Detail()),
    "virtual functions could be made": gpu(detail=functions(0)),
    "a bridge": gpu(driver=None, detail=None, users=(GUEST,), kind=BRIDGE),
    "a bus without mediated devices": MdevBus(address=BUS, detail=Mediated()),
    "a bus, as a bare look tells": MdevBus(address=BUS),
}
NOT_IDLE = {
    "of a guest": (gpu(users=(PROCESS, GUEST)), "domain web has it"),
    "of a VM that libvirt does not know": (gpu(users=(VM,)), "VM 1b4e28ba has it"),
    "lent by its driver": (gpu(driver="vfio-pci"), "vfio-pci has it"),
    "without the driver that would take it": (gpu(driver=None), "it has no driver"),
    "without a driver, as a bare look tells": (gpu(driver=None, detail=None), "it has no driver"),
    "kept from its driver": (
        gpu(detail=Detail(driver_override="vfio-pci")),
        "its driver_override is vfio-pci",
    ),
    "in functions": (gpu(detail=functions(1)), "it has virtual functions"),
    "in mediated devices": (gpu(detail=Detail(mdevs=(MDEV,))), "it has mediated devices"),
    "a bus with one": (MdevBus(address=BUS, detail=Mediated(mdevs=(MDEV,))), "it has mediated devices"),
    "a bus that a guest has": (MdevBus(address=BUS, users=(GUEST,)), "domain web has it"),
}


@pytest.mark.parametrize("carrier", IDLE.values(), ids=IDLE)
def test_provably_idle(carrier):
    assert not_idle(carrier, ()) == ""


@pytest.mark.parametrize(("carrier", "why"), NOT_IDLE.values(), ids=NOT_IDLE)
def test_not_provably_idle(carrier, why):
    assert not_idle(carrier, ()) == why


def test_whatever_was_being_changed_is_quarantined_also_when_it_has_gone():
    host = Host(devices=(gpu(driver="vfio-pci"),), boot_id="now")
    found = quarantines(host, (GONE, GPU), "the store is damaged", "2026-12-01")
    assert found == tuple(
        Quarantine(
            carrier=address,
            why="the store is damaged, and it was being changed",
            boot_id="now",
            identity=identity,
            since="2026-12-01",
        )
        for address, identity in ((GPU, Identity(ids="0001:0001")), (GONE, None))
    )
    (mark,) = quarantines(host, (), "the store is damaged", "")
    assert (mark.carrier, mark.why) == (GPU, "the store is damaged, and vfio-pci has it")
