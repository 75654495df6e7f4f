"""Topologies are data: every file parses, a mistake names its place, and QEMU's words follow from it."""

from itertools import pairwise
from pathlib import Path

import pytest

from gpupass.errors import GpupassError, Usage
from gpupass.lab import qemu, topology

FILES = qemu.Files(
    kernel=Path("/k"), initrd=Path("/i"), disk=Path("/d,1"), source=Path("/s"), sockets=Path("/run"),
    console=Path("/c"),
)  # fmt: skip
DISPLAY = "[[port]]\n[[port.device]]\nid = 'gpu0'\nmodel = 'bochs-display'\n"


def _argv(wanted: topology.Topology, accelerator: str = "tcg") -> str:
    return " ".join(qemu.arguments(wanted, FILES, accelerator, incoming=False))


@pytest.mark.parametrize("name", topology.names())
def test_every_topology_reads(name: str) -> None:
    one = topology.load(name)
    assert one.description and one.ports
    argv = qemu.arguments(one, FILES, "tcg", incoming=False)
    devices = [word for flag, word in pairwise(argv) if flag == "-device"]
    assert devices[0].startswith("intel-iommu")
    for port in one.ports:
        for device in port.devices:
            assert any(f"id={device.id}," in word for word in devices) is not device.late


def test_the_three_promised_topologies_are_there() -> None:
    assert {"simple", "groups", "sriov"} <= set(topology.names())


def test_unknown_topology_names_the_known() -> None:
    with pytest.raises(
        Usage, match=r"cannot find topology 'nope': known are groups, grown, mixed, simple, slices, sriov"
    ):
        topology.load("nope")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("port = 3", "description"),
        ("description = 'x'\nport = 3", r"\[\[port\]\] is expected"),
        ("description = 'x'\ncolour = 'red'", "unknown key 'colour'"),
        ("description = 'x'\n" + DISPLAY + "speed = 1", "topology t, port 1, device 1: unknown key 'speed'"),
        ("description = 'x'\n" + DISPLAY + DISPLAY, "'gpu0' is no id of its own"),
        ("description = 'x'\nroot = 'floppy'", "root must be"),
        ("description = 'x'\nmemory = 'lots'", "memory must look like"),
        ("description = ", "cannot read topology t"),
        (
            "description = 'x'\n" + DISPLAY + "late = true\n[[port.device]]\nid = 'b'\nmodel = 'edu'",
            "of its own",
        ),
    ],
)
def test_mistakes_are_named(text: str, why: str) -> None:
    with pytest.raises(GpupassError, match=why):
        topology.parse(text, "t")


def test_functions_of_one_slot() -> None:
    text = "description = 'x'\n" + DISPLAY + "[[port.device]]\nid = 'audio0'\nmodel = 'ich9-intel-hda'\n"
    argv = _argv(topology.parse(text, "t"))
    assert "bochs-display,id=gpu0,bus=port0,addr=0x0.0,multifunction=on" in argv
    assert "ich9-intel-hda,id=audio0,bus=port0,addr=0x0.1" in argv


def test_switch_and_missing_acs() -> None:
    argv = _argv(
        topology.parse("description = 'x'\n[[port]]\nacs = false\nswitch = true\n" + DISPLAY[9:], "t")
    )
    assert "disable-acs=on" in argv
    assert "xio3130-downstream,id=port0-down0,bus=port0-up" in argv
    assert "bochs-display,id=gpu0,bus=port0-down0" in argv


def test_what_keeps_a_machine_from_being_saved() -> None:
    assert topology.load("simple").why_no_snapshot() is None
    assert "root disk on NVMe" in str(topology.load("groups").why_no_snapshot())
    assert topology.load("sriov").why_no_snapshot() is None
    assert "nvme0" in str(topology.load("sriov").why_no_snapshot(late={"nvme0"}))


@pytest.mark.parametrize("name", topology.names())
def test_one_processor_has_no_second_one_whose_timer_qemu_could_lose(name: str) -> None:
    assert " -smp 1 " in _argv(topology.load(name))


def test_paths_with_a_comma_and_the_accelerator() -> None:
    assert "file=/d,,1,format=qcow2" in _argv(topology.load("simple"))
    assert "-accel kvm -cpu host" in _argv(topology.load("simple"), "kvm")


def test_what_the_kernel_is_not_to_load_by_itself() -> None:
    one = topology.parse("description = 'x'\nblacklist = ['igb', 'igbvf']\n" + DISPLAY, "t")
    assert "modprobe.blacklist=igb,igbvf" in qemu.kernel_command_line(one)
    assert "blacklist" not in qemu.kernel_command_line(topology.load("simple"))
