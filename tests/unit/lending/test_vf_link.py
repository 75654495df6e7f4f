"""MAC, VLAN, trust and rate of a network's virtual function: through its PF, and as they were afterwards."""

import json

import pytest

from gpupass import app
from gpupass.errors import GpupassError, Refused
from gpupass.model.vf_link import VfLink
from gpupass.profiles.options import read_options
from gpupass.steps.vf_link import parse_links
from tests.simulated import GPU, PF, VF0, VF1

MAC = "52:54:00:12:34:56"
ALL = {"mac": MAC, "vlan": "100", "trust": "on", "rate": "500"}
SET = VfLink(mac=MAC, vlan=100, trust=True, rate=500)


@pytest.fixture
def connected(machine):
    machine.links.add(PF, "enp5s0", 2)
    return machine


def attach(machine, device=VF1, disruption=False, **typed):
    return app.attach(machine, "vm1", device, options=read_options(typed), disruption=disruption)


def test_set_kept_over_a_move_and_put_back(connected):
    attach(connected, **ALL)
    assert connected.links.of["enp5s0"] == {0: VfLink(), 1: SET}
    assert attach(connected, **ALL).ending == "nothing to do"
    app.move(connected, VF1, "vm2")
    assert connected.links.of["enp5s0"][1] == SET
    app.detach(connected, "vm2", VF1)
    assert connected.links.of["enp5s0"][1] == VfLink()
    assert not [name for name in connected.records() if name.startswith("setting")]


def test_what_it_had_before_is_what_it_gets_back(connected):
    mine = VfLink(mac="52:54:00:00:00:01", vlan=7)
    connected.links.of["enp5s0"][1] = mine
    attach(connected, vlan="100", trust="on")
    app.detach(connected, "vm1", VF1)
    assert connected.links.of["enp5s0"][1] == mine


def test_only_a_mac_takes_it_from_the_guest(connected):
    app.attach(connected, "vm1", VF1)
    attach(connected, vlan="100", rate="10")
    assert connected.libvirt.guests["vm1"].asks == 0
    with pytest.raises(Refused, match="disrupts domain vm1"):
        attach(connected, mac=MAC)
    attach(connected, mac=MAC, disruption=True)
    assert connected.links.of["enp5s0"][1] == VfLink(mac=MAC, vlan=100, rate=10)


def test_what_the_driver_does_not_know_is_told_and_all_is_taken_back(connected):
    connected.links.unknown = {"trust"}
    before = connected.snapshot()
    with pytest.raises(GpupassError, match=r"cannot set trust of .*: Operation not supported"):
        attach(connected, **ALL)
    assert connected.snapshot() == before


REFUSED = {
    "of a GPU": (GPU, {"vlan": "100"}, "is no network function, and so has no vlan"),
    "of a physical function": (PF, {"mac": MAC}, "no virtual function of a network card"),
    "no such VLAN": (VF0, {"vlan": "4095"}, "there is no VLAN 4095"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(connected, name):
    device, typed, why = REFUSED[name]
    with pytest.raises(Refused) as refused:
        attach(connected, device, **typed)
    assert any(why.split(",")[0] in reason for reason, _ in refused.value.reasons) or why in str(
        refused.value
    )


def test_a_pf_without_an_interface(machine):
    with pytest.raises(Refused, match="nobody tells of vlan"):
        attach(machine, vlan="100")


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "52:54:00:12:34", "x"])
def test_a_mac_of_no_station(mac):
    with pytest.raises(GpupassError, match="mac: "):
        read_options({"mac": mac})


TOLD = {
    "iproute2 6": ({"vlan_list": [{"vlan": 100, "qos": 2}], "trust": True, "rate": {"max_tx": 500}}, SET),
    "an old one": ({"mac": MAC, "vlan": 100, "tx_rate": 500}, VfLink(mac=MAC, vlan=100)),
    "no VLAN": ({"vlan_list": [{}], "rate": {"max_tx": 0, "min_tx": 0}}, VfLink(mac=MAC)),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_ip_tells(name):
    said, link = TOLD[name]
    where = {} if "mac" in said else {"address": MAC.upper()}
    assert parse_links(json.dumps([{"vfinfo_list": [{"vf": 3, **where, **said}]}])) == {3: link}


@pytest.mark.parametrize("said", ["", "[]", "[{}]", "{", '[{"vfinfo_list": [{"vf": "x"}]}]', '[["a"]]'])
def test_what_means_nothing_tells_nothing(said):
    assert parse_links(said) == {}
