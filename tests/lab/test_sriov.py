"""Virtual functions of an igb and of an NVMe controller: each its own group, each handed out alone."""

import pytest

pytestmark = pytest.mark.lab


@pytest.fixture
def vfs(sriov):
    """An igb PF with 2 VFs that no host driver has."""
    pf = sriov.find("8086:10c9")
    device = f"/sys/bus/pci/devices/{pf}"
    sriov.sh(f"echo 0 > {device}/sriov_drivers_autoprobe; echo 2 > {device}/sriov_numvfs")
    addresses = sriov.sh(f"for l in {device}/virtfn*; do basename $(readlink $l); done").split()
    return pf, addresses


def test_list_show_groups(sriov, vfs):
    pf, (first, second) = vfs
    functions = sriov.functions()
    assert functions[first]["iommu_group"] != functions[second]["iommu_group"]
    shown = sriov.gpupass("show", pf)["device"]["sriov"]
    assert (shown["total"], shown["enabled"], shown["vfs"]) == (7, 2, [first, second])
    assert sriov.gpupass("show", first)["device"]["physfn"] == pf
    sriov.sh("rm -rf /root/rec; gpupass record /root/rec")
    assert sriov.gpupass("list", "--all", "--host", "/root/rec") == sriov.gpupass("list", "--all")


def test_a_pf_with_vfs_is_not_unbound(sriov, vfs):
    """Fault 28: nothing of ours ever changes sriov_numvfs under a VF's user."""
    pf, (first, _) = vfs
    sriov.gpupass("attach", "vm1", first)
    assert "2 virtual functions" in sriov.refused("bind", pf)
    assert sriov.driver(pf) == "igb"
    assert sriov.hostdevs("vm1") == {first}


def test_attach_move_detach_a_vf(sriov, vfs):
    _, (first, second) = vfs
    sriov.gpupass("attach", "vm1", first)
    sriov.gpupass("attach", "vm2", second)
    sriov.gpupass("detach", "vm2", second)
    sriov.gpupass("move", first, "--to", "vm2")
    assert sriov.hostdevs("vm1") == set() and sriov.hostdevs("vm2") == {first}
    sriov.gpupass("detach", "vm2", first)
    sriov.gpupass("unbind", first)
    assert sriov.driver(first) == ""


def test_an_nvme_vf_and_its_pf(sriov):
    pf = sriov.find("1b36:0010")
    device = f"/sys/bus/pci/devices/{pf}"
    sriov.gpupass("bind", pf)
    assert sriov.driver(pf) == "vfio-pci"
    sriov.gpupass("unbind", pf)
    assert sriov.driver(pf) == "nvme"
    assert sriov.sh(f"cat {device}/sriov_totalvfs").strip() == "8"


def test_a_vf_that_cannot_be_reset(sriov, vfs):
    """Fault 29: not handed out; when its reset is lost meanwhile, quarantined until a person says so."""
    _, (first, second) = vfs
    sriov.sh(f"echo > /sys/bus/pci/devices/{second}/reset_method")
    assert "cannot be reset" in sriov.refused("attach", "vm2", second)
    sriov.gpupass("attach", "vm1", first)
    sriov.sh(f"echo > /sys/bus/pci/devices/{first}/reset_method")
    assert "no way to reset it" in sriov.refused("detach", "vm1", first, code=5)
    assert sriov.hostdevs("vm1") == set()
    assert "quarantine" in sriov.refused("attach", "vm2", first)
    sriov.sh(f"echo default > /sys/bus/pci/devices/{first}/reset_method")
    sriov.gpupass("quarantine", "clear", first)
    sriov.gpupass("attach", "vm2", first)
    assert sriov.hostdevs("vm2") == {first}
