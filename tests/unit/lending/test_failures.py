"""What libvirt, QEMU and the kernel say → what the operator can type."""

import pytest

from gpupass import app
from gpupass.errors import GpupassError
from gpupass.lending.failures import hint_for
from gpupass.system.libvirt import LibvirtFailure
from tests.simulated import LONE

QEMU = "internal error: unable to execute QEMU command 'device_add': vfio 0000:02:00.0: "
SAID = {
    "PCI device 0000:02:00.0 is in use by driver QEMU, domain vm;2": "virsh dumpxml 'vm;2'",
    "Unmanaged PCI device 0000:02:00.0 must be manually detached from the host": "gpupass show 0000:02:00.0",
    QEMU + "group 13 is not viable": "gpupass groups",
    QEMU + "group 13 used in multiple address spaces": "vIOMMU",
    QEMU + "failed to open /dev/vfio/13: Device or resource busy": "fuser -v /dev/vfio/",
    QEMU + "failed to setup container for group 13: memory listener initialization failed: "
    "VFIO_MAP_DMA failed: Cannot allocate memory": "virsh memtune vm1 --hard-limit",
    "internal error: No more available PCI slots": "pcie-root-port",
    "Hot-plug failed: unsupported by the port device pci.3": "pcie-root-port",
    "device_add not allowed while migrating": "virsh domjobinfo vm1",
    "Timed out during operation: cannot acquire state change lock (held by monitor=x)": "virsh domjobinfo vm1",
    QEMU + "failed to open /dev/vfio/13: Operation not permitted": "journalctl -k -g",
    "guest unexpectedly quit during hotplug": "tail /var/log/libvirt/qemu/vm1.log",
    "no; kernel: vfio_pin_pages_remote: RLIMIT_MEMLOCK (65536) exceeded": "virsh memtune vm1",
}


@pytest.mark.parametrize("why", SAID, ids=SAID.get)
def test_hint(why):
    assert SAID[why] in hint_for(why, LONE, "vm1", f"/sys/bus/pci/devices/{LONE}")


def test_words_that_nobody_knows_have_no_hint():
    assert hint_for("something else", LONE, "vm1", "") is None


def test_a_failed_attach_says_what_the_kernel_said(machine):
    def refuse():
        machine.kernel_says("vfio_pin_pages_remote: RLIMIT_MEMLOCK (65536) exceeded")
        raise LibvirtFailure(QEMU + "VFIO_MAP_DMA failed", 1)

    machine.libvirt.faults["attach"] = [refuse]
    with pytest.raises(GpupassError, match="VFIO_MAP_DMA failed; kernel: vfio_pin_pages") as failed:
        app.attach(machine, "vm1", LONE)
    assert failed.value.hint.startswith("virsh memtune vm1 --hard-limit")
