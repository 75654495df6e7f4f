"""Which slots a domain can have: those with a PCI function or a mediated device, and who made them."""

from pathlib import Path

import pytest

from gpupass.cli.inspect import system_at
from gpupass.model.domain import Domain, DomainState
from gpupass.model.host import Detail, Device, Host, Mdev
from gpupass.model.slot import SlotKind
from gpupass.observe import observe
from gpupass.planner import lending
from gpupass.planner.offers import offers_of
from gpupass.planner.slots import slots_of
from tests.profile_files import findings

HOSTS = Path(__file__).parents[2] / "hosts"
DOMAIN = Domain(name="vm1", uuid="u", state=DomainState.RUNNING, machine="pc-q35-9.2")


@pytest.mark.parametrize(
    "name, kind, way",
    [("mig-server", SlotKind.MIG, "use: vgpu"), ("amd-mi300x", SlotKind.PARTITION, "virtual functions")],
)
def test_slices_without_a_function_are_refused_with_the_way_that_works(name, kind, way):
    host = observe(system_at(HOSTS / name))
    slots = [slot for device in host.devices for slot in slots_of(host, device) if slot.kind is kind]
    assert slots
    for verb, words in (
        (lending.attach, f"attach {slots[0].name} to vm1"),
        (lending.detach, f"detach {slots[0].name} from vm1"),
        (lending.move, f"move {slots[0].name} to vm1"),
    ):
        plan = verb(host, DOMAIN, slots[0], "qemu:///system")
        assert (plan.title, plan.steps) == (words, ())
        assert "no PCI function" in plan.refusals[0].message and way in plan.refusals[0].remedy


@pytest.mark.parametrize(
    "cut, part, way",
    [
        ("use: mig, layout: [3g.20gb]", "3g.20gb@4", "use: vgpu"),
        ("use: partition, compute: QPX", "qpx0", "use: sriov"),
    ],
)
def test_a_profile_is_told_so_where_it_says_it(cut, part, way):
    text = f"""version: 1
gpus:
  - {{name: render, select: {{slot: 3}}, {cut}}}
attachments:
  - {{domain: vm1, device: render/{part}}}
"""
    (said,) = findings(text)
    assert said.startswith(f"5:27: 'render/{part}' cannot be attached") and said.endswith(way)


def test_who_made_it():
    uuid = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
    for defined, owner in ((True, "mdevctl"), (False, "")):
        mdev = Mdev(uuid=uuid, type="mbochs-small", defined=defined)
        detail = Detail(mdevs=(mdev,), express=False)
        parent = Device(address="mbochs", vendor=0, device=0, class_code=0, detail=detail)
        (offer,) = offers_of(Host(devices=(parent,)), parent)
        assert (offer.owner, offer.state) == (owner, "free")
