"""Virtual functions of an igb and of an NVMe controller: each its own group, each handed out alone."""

import json
import re

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


ROM = "/usr/share/vgabios/lab.rom"


def hostdev(host, domain, address):
    """Its element in the domain's live XML, as libvirt itself keeps it."""
    bus = address.split(":")[1]
    elements = re.findall(r"<hostdev.*?</hostdev>", host.sh(f"virsh dumpxml {domain}"), re.DOTALL)
    return next(one for one in elements if f"bus='0x{bus}'" in one.partition("</source>")[0])


def test_options_of_an_attachment(sriov):
    """Seen in the guest's live XML and in sysfs, kept over a move, and as it was when the device is back."""
    display = sriov.find("1234:1111")
    device = f"/sys/bus/pci/devices/{display}"
    sriov.sh(rf"mkdir -p {ROM.rpartition('/')[0]}; printf '\x55\xaa\x01' > {ROM}; truncate -s 512 {ROM}")
    methods = sriov.sh(f"cat {device}/reset_method")
    last = methods.split()[-1]
    free = re.findall(
        r"[0-9a-f]{2}:00\.0", sriov.refusal("attach", "vm1", display, "--guest-address", "1e:00.0")
    )[-1]
    how = ("--rom", "none", "--guest-address", free, "--reset-method", last, "--disable-idle-d3", "on")
    sriov.gpupass("attach", "vm1", display, *how)
    element = hostdev(sriov, "vm1", display)
    assert "<rom bar='off'/>" in element and f"bus='0x{free[:2]}'" in element.partition("</source>")[2]
    settings = f"cat {device}/reset_method {device}/power/control"
    assert sriov.sh(settings).split() == [last, "on"]
    assert "disrupts domain vm1" in sriov.refused("attach", "vm1", display, "--rom", ROM)
    sriov.gpupass("attach", "vm1", display, "--rom", ROM, "--allow-disruption")
    assert f"<rom file='{ROM}'/>" in hostdev(sriov, "vm1", display)
    sriov.gpupass("move", display, "--to", "vm2")
    assert f"<rom file='{ROM}'/>" in hostdev(sriov, "vm2", display)
    assert sriov.sh(settings).split() == [last, "on"]
    sriov.gpupass("detach", "vm2", display)
    assert sriov.sh(f"cat {device}/reset_method") == methods
    assert sriov.sh(f"cat {device}/power/control").strip() == "auto"
    assert sriov.remembered("setting") == []


def test_the_link_of_a_vf(sriov, vfs):
    """MAC, VLAN and trust, as the kernel tells of them, kept over a move and put back; a display has none."""
    pf, (first, _) = vfs
    name = sriov.sh(f"ls /sys/bus/pci/devices/{pf}/net").strip()

    def link():
        (told,) = json.loads(sriov.sh(f"ip -details -json link show dev {name}"))
        return next(one for one in told["vfinfo_list"] if one["vf"] == 0)

    before = link()
    sriov.gpupass("attach", "vm1", first, "--mac", "52:54:00:12:34:56", "--vlan", "100", "--trust", "on")
    for domain in ("vm1", "vm2"):
        now = link()
        assert (now["address"], now["vlan_list"][0]["vlan"], now["trust"]) == ("52:54:00:12:34:56", 100, True)
        if domain == "vm1":
            sriov.gpupass("move", first, "--to", "vm2")
    sriov.gpupass("detach", "vm2", first)
    assert link() == before
    assert "no vlan" in sriov.refused("attach", "vm1", sriov.find("1234:1111"), "--vlan", "100")
