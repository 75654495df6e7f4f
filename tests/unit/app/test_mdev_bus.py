"""A parent of mediated devices that is no PCI function: seen, cut, adopted, exported, never bound."""

import errno
import json

import pytest

from gpupass import inspect
from gpupass.app import verbs
from gpupass.cli.documents.devices import device_document
from gpupass.cli.tables import print_device
from gpupass.errors import Refused, Usage
from gpupass.model.domain import QEMU
from gpupass.model.wire import to_json
from gpupass.profiles import write_profile
from tests.memory_tree import Link
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told

PARENT = "/sys/class/mdev_bus/mtty"
TYPE = f"{PARENT}/mdev_supported_types/mtty-2"
FOREIGN = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
TWO = "gpus: [{name: ttys, select: {parent: mtty}, use: mdev, types: {mtty-2: 2}}]"


def make(machine, uuid):
    here = f"/sys/devices/virtual/mtty/mtty/{uuid}"
    machine.files.put(f"/sys/bus/mdev/devices/{uuid}", Link(here))
    machine.files.put(f"{here}/mdev_type", Link("/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2"))


@pytest.fixture
def ttys(machine, monkeypatch):
    """A machine with the kernel's sample driver mtty."""
    real = machine._write

    def write(path, value, seconds):
        if path == f"{TYPE}/create":
            return make(machine, value)
        if path.startswith("/sys/bus/mdev/devices/") and path.endswith("/remove"):
            uuid = path.split("/")[-2]
            machine.files.remove(f"/sys/bus/mdev/devices/{uuid}")
            return machine.files.remove(f"/sys/devices/virtual/mtty/mtty/{uuid}/mdev_type")
        return real(path, value, seconds)

    for name, text in (
        ("name", "Dual port serial"),
        ("available_instances", "12"),
        ("device_api", "vfio-pci"),
    ):
        machine.put(f"{TYPE}/{name}", f"{text}\n")
    monkeypatch.setattr(machine, "_write", write)
    return machine


def alive(machine):
    return machine.names("/sys/bus/mdev/devices")


def test_the_whole_trip(ttys):
    assert kinds(plan(ttys, TWO)) == ["SetMdev mtty"] * 2
    assert endings(apply(ttys, TWO)) == ["done"] and len(alive(ttys)) == 2
    assert kinds(plan(ttys, TWO)) == []
    found = exported(ttys)
    assert "parent: mtty" in write_profile(found) and kinds(plan(ttys, found)) == []
    offers = inspect.list_slots(ttys, "mtty", QEMU).offers
    assert {(one.slot.part, one.owner, one.state) for one in offers} == {
        (f"mtty-2-{number}", "gpupass", "free") for number in range(2)
    }
    assert endings(rollback(ttys)) == ["done"] and not alive(ttys) and not ttys.records()


def test_what_others_made_is_adopted(ttys):
    make(ttys, FOREIGN)
    host = "gpus: [{name: ttys, select: {parent: mtty}, use: host}]"
    assert kinds(plan(ttys, host)) == []
    verbs.adopt(ttys, "mtty")
    assert endings(apply(ttys, host)) == ["done"] and not alive(ttys)


def test_it_is_shown(ttys, capsys):
    names = [one.address for one in inspect.list_devices(ttys, QEMU, True).devices]
    assert names[-1] == "mtty"
    assert "mtty" not in [one.address for one in inspect.list_devices(ttys, QEMU, False).devices]
    shown = inspect.show_device(ttys, "mtty", QEMU)
    document = json.loads(to_json(device_document(shown.device, shown.host)))
    assert (document["address"], document["name"], document["driver"]) == ("mtty", "mtty", None)
    assert document["mdev_types"] == [
        {"id": "mtty-2", "name": "Dual port serial", "available": 12, "device_api": "vfio-pci"}
    ]
    assert not shown.verdict.viable and shown.verdict.reasons == ("mtty is in no IOMMU group",)
    print_device(shown)
    assert capsys.readouterr().out.startswith("mtty  mtty\n  mdev type  mtty-2 (Dual port serial): 12 free")


def test_it_is_never_bound(ttys):
    with pytest.raises(Refused, match="mtty is no PCI function"):
        verbs.bind(ttys, "mtty")
    assert verbs.unbind(ttys, "mtty", dry_run=True).plan.steps == ()
    driven = "gpus: [{name: ttys, select: {parent: mtty}, use: host, driver: igb}]"
    assert plan(ttys, driven).refusals[0].message == "mtty is no PCI function"


@pytest.mark.parametrize("rule", ["use: mig, layout: []", "use: sriov, vfs: 2", "use: passthrough"])
def test_a_way_that_cannot_cut_it_is_refused(rule, ttys):
    with pytest.raises(Usage) as error:
        plan(ttys, f"gpus: [{{name: ttys, select: {{parent: mtty}}, {rule}}}]")
    use = rule.split(",")[0]
    assert f"{use} cannot cut mtty, a parent of mediated devices" in told(error.value)


def test_other_conditions_hold_for_it_too(ttys):
    with pytest.raises(Usage, match="ttys wants a device"):
        plan(ttys, TWO.replace("parent: mtty", "parent: mtty, vendor: nvidia"))


def test_what_the_kernel_refuses_is_taken_back(ttys, monkeypatch):
    real = ttys._write

    def write(path, value, seconds):
        if path.endswith("/create") and alive(ttys):
            raise OSError(errno.ENOSPC, "no room")
        return real(path, value, seconds)

    monkeypatch.setattr(ttys, "_write", write)
    assert endings(apply(ttys, TWO)) == ["failed"] and not alive(ttys) and not ttys.records()
