"""Native PCIe hot-plug: the guest sees an attention button and takes its time; faults 1, 4, 7 and 8."""

import threading

import pytest

pytestmark = pytest.mark.lab

GPU = "0000:01:00.0"
LOG = "/var/log/libvirt/qemu/{}-serial.log"


def said(host, domain):
    return host.sh(f"tr -d '\\0\\n' < {LOG.format(domain)}").strip()


def test_attach_and_detach(simple):
    """Faults 1 and 7: a detach right after the attach, when the guest has hardly seen the device."""
    simple.start("nat", options="--native")
    for _ in range(3):
        simple.gpupass("attach", "nat", GPU)
        assert simple.hostdevs("nat") == {GPU}
        simple.gpupass("detach", "nat", GPU)
        assert simple.hostdevs("nat") == set()
    assert said(simple, "nat") == "R" + "P?E" * 3


def test_asked_twice_within_the_buttons_five_seconds(simple):
    """Fault 8: pressing the button again would cancel; two clients, and somebody else's request before."""
    simple.start("nat", guest="slow", options="--seconds 4 --native")
    simple.gpupass("attach", "nat", GPU)
    simple.sh("virsh detach-device-alias nat $(virsh dumpxml nat | grep -o 'ua-gpupass[^\\\"'\\'']*')")
    results = []
    clients = [
        threading.Thread(
            target=lambda: results.append(simple.gpupass("detach", "nat", GPU)["changes"][0]["result"])
        )
        for _ in range(2)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sorted(results) in (["done", "nothing"], ["done", "done"])
    assert simple.hostdevs("nat") == set() and said(simple, "nat") == "RP?E"


def test_a_slot_that_is_off_lets_go_at_once(simple):
    """A guest that never powers the slot on has nothing to let go of: QEMU does not ask it."""
    simple.start("nat", guest="refuse", options="--native")
    simple.gpupass("attach", "nat", GPU)
    simple.gpupass("detach", "nat", GPU)
    assert simple.hostdevs("nat") == set()


def test_the_guest_reboots_while_it_is_asked(simple):
    """Fault 4: what a reset does to the request is told as it is, and nobody else gets the device before."""
    simple.start("nat", guest="slow", options="--seconds 600 --native")
    simple.gpupass("attach", "nat", GPU)
    simple.sh(f"for i in $(seq 100); do grep -q P {LOG.format('nat')} && exit 0; sleep 0.1; done; exit 1")
    simple.refused_pending("detach", "nat", GPU, "--timeout", "3")
    simple.sh("virsh reset nat; sleep 2")
    done = simple.lab.run(["gpupass", "recover", "--json"], timeout=300)
    if simple.hostdevs("nat"):
        assert done.returncode == 6
        assert "is attached to nat" in simple.refused("attach", "vm1", GPU)
        simple.sh("virsh destroy nat")
        simple.gpupass("recover")
    else:
        assert done.returncode == 0
    simple.gpupass("attach", "vm1", GPU)
    assert simple.hostdevs("vm1") == {GPU}
