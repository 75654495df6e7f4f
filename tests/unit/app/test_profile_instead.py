"""Profiles read otherwise than they are written, on the simulated machine."""

import pytest

from gpupass.errors import Refused
from gpupass.profiles.instead import adopting, gone
from tests.profile_trips import apply, endings, plan, profile_of
from tests.simulated import GPU, LONE, NIC

WHOLE = f"""
gpus:
  - {{name: card, select: {{address: '{GPU}'}}, use: passthrough}}
  - {{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 4, vf: {{driver: vfio-pci}}}}
attachments:
  - {{domain: vm1, device: card}}
  - {{domain: vm2, device: nic/vf1}}
"""


def test_absent_is_as_before_and_needs_the_same_consent(machine):
    before, profile = machine.snapshot(), gone(profile_of(WHOLE))
    assert apply(machine, profile).reports == () and machine.snapshot() == before
    apply(machine, WHOLE)
    with pytest.raises(Refused, match="domain vm1"):
        apply(machine, profile)
    assert endings(apply(machine, profile, allow_disruption=True)) == ["done", "done"]
    assert machine.snapshot() == before
    assert apply(machine, profile).reports == ()


def test_absent_leaves_what_others_made(machine):
    machine.libvirt.plug("vm1", LONE)
    text = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]"
    machine.set_driver(LONE, "vfio-pci")
    before = machine.snapshot()
    with pytest.raises(Refused, match="gpupass did not"):
        apply(machine, gone(profile_of(text)), allow_disruption=True)
    assert machine.snapshot() == before


def test_adopting_is_take_over_of_every_rule(machine):
    machine.set_driver(LONE, "vfio-pci")
    text = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: host}}]"
    assert plan(machine, text).refusals
    assert not plan(machine, adopting(profile_of(text))).refusals
