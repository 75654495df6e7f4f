"""What people are told of promises: by `promises`, `list`, `slots` and `show`."""

import pytest

from gpupass import app
from gpupass.app.listening import sweep
from gpupass.inspect import list_devices, list_promises, list_slots
from gpupass.lending.promises import Standing
from tests.simulated import GPU, LONE

CONNECT = "qemu:///system"


@pytest.fixture
def host(machine):
    machine.debian()
    machine.libvirt.stop("vm1")
    for domain in ("vm1", "vm2"):
        app.promise(machine, domain, ((LONE,),))
    return machine


def standing(machine):
    return {one.domain: one.standing for one in list_promises(machine, CONNECT).promises}


def test_how_each_promise_stands(host):
    assert standing(host) == {"vm1": Standing.SHUT_OFF, "vm2": Standing.KEPT}
    host.libvirt.start("vm1")
    assert standing(host)["vm1"] is Standing.IN_LINE
    app.detach(host, "vm2", LONE)
    assert standing(host) == {"vm1": Standing.DUE, "vm2": Standing.TAKEN}
    list(sweep(host))
    assert standing(host) == {"vm1": Standing.KEPT, "vm2": Standing.TAKEN}
    host.libvirt.stop("vm2")
    host.libvirt.undefine("vm2")
    assert standing(host)["vm2"] is Standing.NO_DOMAIN


def test_why_it_cannot_be_given(host):
    host.libvirt.stop("vm2")
    list(sweep(host))
    host.node_of(LONE, "drm", "card3", "226:3")
    host.process("python", "/dev/dri/card3")
    host.libvirt.start("vm1")
    list(sweep(host))
    (first, _) = list_promises(host, CONNECT).promises
    assert first.standing is Standing.REFUSED and "python" in first.why and first.remedy


def test_it_is_seen_wherever_the_device_is(host):
    assert list_devices(host, CONNECT, False).conditions[LONE] == ("promised to vm1, vm2",)
    assert {offer.slot.device: offer.promised for offer in list_slots(host, None, CONNECT).offers}[LONE] == (
        "vm1",
        "vm2",
    )
    host.libvirt.guests["web"] = host.libvirt.guests.pop("vm1")
    host.libvirt.guests["web"].name = "web"
    assert list_devices(host, CONNECT, False).conditions[LONE] == ("promised to web, vm2",)
    assert GPU not in list_devices(host, CONNECT, False).conditions
