"""A promised device under the machine's own systemd and libvirt: whatever starts and ends a domain."""

import os
import time

import pytest

from tests.lab.test_simple import GPU, kill_qemu, records, results

pytestmark = pytest.mark.lab

UNIT = "gpupass-promises"
LOG = "/var/log/libvirt/qemu/{}-serial.log"
# who destroys it while libvirtd takes its QEMU up again is told that it does not run: by then it does not
AFTER_A_RESTART = (
    "systemctl restart libvirtd; virsh -q destroy {0} || virsh domstate {0} | grep -q 'shut off'"
)
HOME = f"/sys/bus/pci/drivers/bochs-drm/{GPU}"


def until(host, what, seconds=240):
    """A shell command succeeds; one that costs little: the unit needs the machine's one processor."""
    host.sh(
        f"for i in $(seq {seconds}); do {what} && exit 0; sleep 1; done; "
        f"journalctl -u {UNIT} -u libvirtd --no-pager | tail -40; exit 1"
    )


def start(host, domain):
    host.sh(f"rm -f {LOG.format(domain)}; virsh -q start {domain}")


def given(host, domain):
    """Its guest has powered the slot on: P; before it ran, R, or afterwards."""
    until(host, f"grep -qsa P {LOG.format(domain)}")
    assert host.hostdevs(domain) == {GPU}


def at_home(host):
    """With its host driver, and nothing is remembered of any guest."""
    until(host, f"[ -e {HOME} ]")
    for _ in range(60):
        if records(host) == []:
            return
        time.sleep(1)
    raise AssertionError(records(host))


def round_trip(host, domain, end):
    end()
    at_home(host)
    start(host, domain)
    given(host, domain)


def each_way_to_end(host, domain, rounds):
    """Destroyed again and again; QEMU killed; libvirtd restarted before; while nobody listens."""
    for _ in range(rounds):
        round_trip(host, domain, lambda: host.sh(f"virsh -q destroy {domain}"))
    round_trip(host, domain, lambda: kill_qemu(host, domain))
    round_trip(host, domain, lambda: host.sh(AFTER_A_RESTART.format(domain)))
    host.sh(f"systemctl stop {UNIT}; virsh -q destroy {domain}; systemctl start {UNIT}")
    at_home(host)
    host.sh(f"[ $(systemctl show -P NRestarts {UNIT}) = 0 ]")


def test_started_and_stopped_again_and_again(simple):
    """GPUPASS_ROUNDS of them, and each other way."""
    simple.sh("for d in $(virsh list --name); do virsh -q destroy $d; done")  # each takes its share of time
    simple.start("nat", options="--native")
    said = simple.gpupass("attach", "nat", GPU, "--at-start")
    assert results(said) == ["done", "done"] and simple.hostdevs("nat") == {GPU}
    simple.sh(f"systemctl is-active {UNIT} && systemctl is-enabled {UNIT}")
    given(simple, "nat")
    each_way_to_end(simple, "nat", rounds=int(os.environ.get("GPUPASS_ROUNDS", "1")))
    assert results(simple.gpupass("detach", "nat", GPU, "--at-start")) == ["done", "done"]
    assert not simple.sh(f"ls /etc/systemd/system/{UNIT}.service 2>/dev/null || true")
