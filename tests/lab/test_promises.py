"""A promised device under the machine's own systemd and libvirt: whatever starts and ends a domain."""

import pytest

from tests.lab.test_simple import GPU, kill_qemu, records, results

pytestmark = pytest.mark.lab

UNIT = "gpupass-promises"
LOG = "/var/log/libvirt/qemu/{}-serial.log"


def until(host, what, seconds=60):
    """A shell command succeeds."""
    host.sh(
        f"for i in $(seq {seconds * 5}); do {what} && exit 0; sleep 0.2; done; "
        f"journalctl -u {UNIT} -u libvirtd --no-pager | tail -40; exit 1"
    )


def given(host, domain):
    """And the guest has powered its slot on: P."""
    until(host, f"virsh dumpxml {domain} | grep -q '<hostdev' && grep -qa P {LOG.format(domain)}")
    assert host.hostdevs(domain) == {GPU}


def at_home(host):
    """With its host driver, and nothing is remembered of any guest."""
    until(host, f"[ $(basename $(readlink /sys/bus/pci/devices/{GPU}/driver)) = bochs-drm ]")
    until(host, "! gpupass list --json | grep -q '\"not clean\"'")
    assert records(host) == []


def test_started_and_stopped_ten_times(simple):
    simple.start("nat", options="--native")
    said = simple.gpupass("attach", "nat", GPU, "--at-start")
    assert results(said) == ["done", "done"] and simple.hostdevs("nat") == {GPU}
    simple.sh(f"systemctl is-active {UNIT} && systemctl is-enabled {UNIT}")
    given(simple, "nat")
    for _ in range(10):
        simple.sh("virsh -q destroy nat")
        at_home(simple)
        simple.sh("virsh -q start nat")
        given(simple, "nat")
    kill_qemu(simple, "nat")
    at_home(simple)
    simple.sh("virsh -q start nat")
    given(simple, "nat")
    simple.sh("systemctl restart libvirtd; virsh -q destroy nat")
    at_home(simple)
    simple.sh("virsh -q start nat")
    given(simple, "nat")
    simple.sh(f"systemctl stop {UNIT}; virsh -q destroy nat")
    simple.sh(f"systemctl start {UNIT}")
    at_home(simple)
    simple.sh(f"[ $(systemctl show -P NRestarts {UNIT}) = 0 ]")
    assert results(simple.gpupass("detach", "nat", GPU, "--at-start")) == ["done", "done"]
    assert not simple.sh(f"ls /etc/systemd/system/{UNIT}.service 2>/dev/null || true")
