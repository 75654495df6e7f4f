"""Early binding on a real kernel and udev: files there, rules obeyed at a device's next event, files gone."""

import pytest

pytestmark = pytest.mark.lab

GPU, OTHER = "0000:01:00.0", "0000:02:00.0"
RULES = "/etc/udev/rules.d/10-gpupass-early.rules"
SETTINGS = "find /etc/udev /etc/modprobe.d /etc/initramfs-tools /etc/dracut.conf.d -type f 2>/dev/null | sort | xargs md5sum"


def test_early_bind_and_its_undo(simple):
    before = simple.sh(SETTINGS)
    simple.gpupass("host", "early-bind", GPU, code=2)
    simple.gpupass("host", "early-bind", GPU, "--yes")
    assert GPU in simple.sh(f"cat {RULES}")
    assert simple.driver(GPU) == "bochs-drm"
    test = simple.sh(f"udevadm test --action=add /sys/bus/pci/devices/{GPU} 2>&1")
    assert "kmod load vfio-pci" in test and "Invalid" not in test
    simple.gpupass("host", "early-bind", "--undo", "--yes")
    assert simple.sh(SETTINGS) == before


def test_the_rules_decide_before_a_driver_does(simple):
    """As at boot: functions appear while no display driver is loaded, udev loads one, and one is not for it."""
    simple.gpupass("host", "early-bind", GPU, "--yes")
    simple.sh(f"for d in {GPU} {OTHER}; do echo 1 > /sys/bus/pci/devices/$d/remove; done; modprobe -r bochs")
    simple.sh("echo 1 > /sys/bus/pci/rescan; udevadm settle")
    assert (simple.driver(GPU), simple.driver(OTHER)) == ("vfio-pci", "bochs-drm")
