"""A domain made able to take devices: what did not fit before fits afterwards, as its firmware has it."""

import json
import os

import pytest

pytestmark = pytest.mark.lab

GPU = "0000:01:00.0"
GIB = 1 << 30


def restart(host, domain):
    host.sh(
        f"virsh -q destroy {domain}; rm -f /var/log/libvirt/qemu/{domain}-serial.log; virsh -q start {domain}"
    )
    host.running(domain)


def free(host, domain):
    """Free ports with what the firmware has kept behind each: memory, prefetchable memory."""
    checked = host.gpupass("domain", "check", domain)
    return [
        (port["memory_window"], port["prefetchable_window"])
        for port in checked["domain"]["ports"]
        if not port["occupied"]
    ]


def test_what_did_not_fit_fits_afterwards(simple):
    """16 MiB of a real function's 32-bit BAR; and room for 4 GiB that QEMU itself tells."""
    simple.start("roomy", options="--window 0 --ports 1")
    assert "16 MiB" in simple.refused("attach", "roomy", GPU)
    before = simple.sh("virsh dumpxml --inactive roomy")
    assert simple.gpupass("domain", "check", "roomy", "--device", GPU, code=3)["usable"] is False

    said = ["domain", "prepare", "roomy", "--slots", "2", "--largest-bar", "4G"]
    planned = simple.gpupass(*said, "--dry-run")
    assert simple.sh("virsh dumpxml --inactive roomy") == before
    done = simple.gpupass(*said, "--yes")
    assert done["diff"] == planned["diff"] and done["changed"]
    assert simple.gpupass(*said, "--yes")["changed"] is False
    assert addresses(before) <= addresses(simple.sh("virsh dumpxml --inactive roomy"))

    restart(simple, "roomy")
    windows = free(simple, "roomy")
    assert len(windows) == 2 and all(memory >= 64 << 20 and above >= 4 * GIB for memory, above in windows)
    simple.gpupass("attach", "roomy", GPU)
    assert simple.hostdevs("roomy") == {GPU}
    simple.gpupass("detach", "roomy", GPU)
    simple.sh("virsh -q destroy roomy; virsh -q undefine roomy")


def addresses(xml):
    return {line.strip() for line in xml.splitlines() if "<address type='pci'" in line}


def in_linux(simple):
    """What Linux says of a function of 4 GiB that is plugged in, before and afterwards."""
    assert "can't assign" in plugged(simple) or "no space" in plugged(simple)
    simple.gpupass("domain", "prepare", "inside", "--slots", "2", "--largest-bar", "4G", "--yes")
    assert "BAR" in plugged(simple) and "assigned" in plugged(simple)


if "GPUPASS_LINUX_GUEST" in os.environ:  # boots Linux twice, 10 minutes each: by hand
    test_inside_a_linux_guest = in_linux


def plugged(host):
    log = "/var/log/libvirt/qemu/inside-serial.log"
    host.sh(
        f"virsh domid inside 2>/dev/null || lab-domain inside --guest linux --ports 2 --window 0; virsh -q destroy inside; rm -f {log}; virsh -q start inside"
    )
    host.sh(
        f"for i in $(seq 1500); do grep -q 'linux guest ready' {log} && exit 0; sleep 1; done; exit 1",
        timeout=1600,
    )
    ports = json.loads(host.sh("gpupass domain check inside --json", code=None))["domain"]["ports"]
    bus = next(port["index"] for port in ports if not port["occupied"])
    host.sh(
        f"virsh qemu-monitor-command inside --hmp 'device_add pci-testdev,membar=4G,id=big,bus=pci.{bus}'"
    )
    return host.sh(
        f"for i in $(seq 300); do grep 'BAR 2' {log} && exit 0; sleep 1; done; tail -30 {log}", timeout=400
    )
