"""Shared IOMMU groups, a boot display, the root disk on NVMe, a network card with a route."""

import json

import pytest

from gpupass.errors import Refused

pytestmark = pytest.mark.lab


@pytest.fixture
def places(groups):
    """Addresses by what they are."""
    audio = groups.find("8086:293e")
    return {
        "gpu": audio[:-1] + "0",
        "audio": audio,
        "shared": groups.sh("lspci -Dnd 1234:1111 | grep -v '^0000:00' | sed -n 2p").split()[0],
        "conventional": groups.find("1002:5046"),
        "disk": groups.sh("basename $(realpath /sys/class/nvme/nvme0/device)").strip(),
        "network": groups.find("8086:10d3"),
        "boot": groups.sh("dirname $(grep -l 1 /sys/bus/pci/devices/*/boot_vga) | xargs basename").strip(),
    }


def test_list_show_groups_and_record(groups, places):
    addresses = [item["address"] for item in groups.gpupass("list")["devices"]]
    assert places["gpu"] in addresses and places["boot"] in addresses
    assert places["audio"] not in addresses
    assert places["disk"] in groups.functions()
    assert json.dumps(groups.gpupass("show", places["gpu"])).count(places["audio"]) >= 1
    groups.sh("rm -rf /root/rec; gpupass record /root/rec")
    for verb in (("list",), ("groups", "--all")):
        assert groups.gpupass(*verb, "--host", "/root/rec") == groups.gpupass(*verb)


def test_what_the_host_lives_on_is_never_taken(groups, places):
    text = groups.refused("bind", places["disk"])
    assert "root disk" in text and places["disk"] in text
    assert "network" in groups.refused("bind", places["network"])
    assert "boot display" in groups.refused("bind", places["boot"])
    assert groups.driver(places["disk"]) == "nvme"
    groups.start("vm1")
    assert "root disk" in groups.refused("attach", "vm1", places["disk"])


def test_a_boot_display_moves_only_when_told(groups, places):
    plan = groups.gpupass("bind", places["boot"], "--allow-boot-display", "--dry-run")
    assert plan["changes"][0]["result"] == "planned"


def test_gpu_and_audio_move_together(groups, places):
    groups.gpupass("bind", places["gpu"])
    assert groups.driver(places["gpu"]) == groups.driver(places["audio"]) == "vfio-pci"
    groups.gpupass("unbind", places["audio"])
    assert groups.driver(places["gpu"]) != "vfio-pci"
    assert groups.driver(places["audio"]) == "snd_hda_intel"


def test_attach_move_and_detach_a_group(groups, places):
    """The companion is owned by libvirt and not shown to the guest (fault 36: free only when all is back)."""
    groups.start("vm1", "vm2")
    both = {places["gpu"], places["audio"]}
    groups.gpupass("attach", "vm1", places["gpu"])
    assert groups.hostdevs("vm1") == both
    assert "type='unassigned'" in groups.sh("virsh dumpxml vm1")
    assert "is attached to vm1" in groups.refused("attach", "vm2", places["audio"]), "fault 21"
    groups.gpupass("move", places["gpu"], "--to", "vm2")
    assert groups.hostdevs("vm1") == set() and groups.hostdevs("vm2") == both
    alias = "ua-gpupass-" + places["gpu"].replace(":", "-").replace(".", "-")
    groups.sh(
        f"virsh -q detach-device-alias vm2 {alias}; "
        f"for i in $(seq 100); do virsh dumpxml vm2 | grep -q {alias} || exit 0; sleep 0.1; done; exit 1"
    )
    assert groups.gpupass("recover")["changes"] == [], "the audio function still holds the group"
    assert "attached to vm2" in groups.refused("attach", "vm1", places["gpu"])
    groups.gpupass("detach", "vm2", places["gpu"])
    assert groups.hostdevs("vm2") == set()


def test_a_conventional_device_fits_no_pcie_port(groups, places):
    """libvirt would say "No more available PCI slots" although ports are free."""
    groups.start("vm1")
    assert "conventional PCI" in groups.refused("attach", "vm1", places["conventional"])


def test_strangers_in_the_group_must_be_named(groups, places):
    """Fault 20: a sibling on a host driver is found before VFIO finds it."""
    text = groups.refused("bind", places["shared"])
    assert "same IOMMU group" in text
    (other,) = [
        item["address"]
        for item in groups.functions().values()
        if item["iommu_group"] == groups.functions()[places["shared"]]["iommu_group"]
        and item["address"] != places["shared"]
        and not item["class"].startswith("06")
    ]
    groups.gpupass("bind", places["shared"], "--with", other)
    assert groups.driver(other) == "vfio-pci"


def test_a_cold_plugged_multifunction_slot_is_never_taken_live(groups, places):
    """Fault 22: libvirt unplugs whole slots only, so the refusal comes first and says what helps."""
    groups.gpupass("bind", places["gpu"])
    domain, bus, rest = places["gpu"].split(":")
    slot = rest.split(".")[0]
    devices = "".join(
        f"<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x{domain}' bus='0x{bus}' "
        f"slot='0x{slot}' function='0x{f}'/></source><address type='pci' domain='0' bus='2' slot='0' "
        f"function='{f}'{' multifunction=' + chr(39) + 'on' + chr(39) if f == 0 else ''}/></hostdev>"
        for f in (0, 1)
    )
    groups.sh(
        f'lab-domain both --ports 2; virsh dumpxml both | sed "s|</devices>|{devices}</devices>|" > /tmp/both.xml; '
        "virsh -q undefine both; virsh -q define /tmp/both.xml; virsh -q start both"
    )
    assert "multifunction" in groups.refused("detach", "both", places["gpu"])


def test_an_nvme_root_is_never_saved(groups):
    with pytest.raises(Refused, match="root disk on NVMe"):
        groups.lab.snapshot("groups")
