"""`export --as`: what a host gives to guests, as nova, KubeVirt and Proxmox read it; golden files, and read back."""

import json
import re
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gpupass.app.export import FORMATS, export_for
from gpupass.cli.main import cli
from gpupass.errors import Usage
from gpupass.exporting.handed import sorted_out
from gpupass.exporting.kubevirt import write_kubevirt
from gpupass.exporting.nova import write_nova
from gpupass.exporting.proxmox import write_proxmox
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Iommu, Sriov
from gpupass.model.mark import Quarantine
from gpupass.model.mdev import Mdev, MdevType
from gpupass.planner.export import worth_telling
from gpupass.planner.offers import offers_of
from gpupass.system import RecordedHost
from tests.machines_in_parts import MACHINES
from tests.profile_trips import apply

HERE = Path(__file__).parent
HOSTS = HERE.parents[1] / "hosts"
NAMES = ("acs-less", "amd-gim", "desktop", "intel-xe", "lab-sriov", "mig-server", "server-sriov")
CARD = "gpus: [{name: a, select: {address: '0000:0d:00.0'}, use: vgpu, types: {A100-5C: 2}}]"
SIZES = CARD.replace("A100-5C: 2", "A100-5C: 1, A100-20C: 1")
CUT = {"vgpu": ("vgpu", CARD), "vgpu-sizes": ("vgpu", SIZES), "vgpu-mediated": ("vgpu mediated", CARD)}


def compare(text, name, manager, regenerate):
    golden = HERE / "golden" / f"{name}.{manager}"
    if regenerate:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
    READ[manager](text)


def read_nova(text):
    """[pci] has an option several times, as oslo.config reads it; the values are JSON."""
    parser = RawConfigParser(strict=False)
    parser.read_string(text)
    for line in re.findall(r"^(?:device_spec|alias) = (.*)$", text, re.M):
        assert set(json.loads(line)) >= {"device_type"} or set(json.loads(line)) >= {"address"}
    sections = [one for one in parser.sections() if one.startswith("mdev_")]
    types = parser["devices"]["enabled_mdev_types"].split(", ") if parser.has_section("devices") else []
    assert sections == [f"mdev_{kind}" for kind in types]


def read_kubevirt(text):
    (document,) = [yaml.safe_load(text)]
    permitted = document["spec"]["configuration"]["permittedHostDevices"]
    for one in permitted.get("pciHostDevices", ()):
        assert re.fullmatch(r"[0-9A-F]{4}:[0-9A-F]{4}", one["pciVendorSelector"])
        assert re.fullmatch(r"[a-z.]+/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", one["resourceName"])


def read_proxmox(text):
    """As PVE::SectionConfig and PVE::Mapping::PCI would."""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith("\t"):
            assert re.fullmatch(r"[a-z][a-z0-9_-]+", line), line
        elif line != "\tmdev 1":
            found = dict(part.split("=") for part in line.removeprefix("\tmap ").split(","))
            assert re.fullmatch(r"[a-f0-9]{4,}:[a-f0-9]{2}:[a-f0-9]{2}\.[a-f0-9]", found["path"])
            assert {"id", "node"} <= set(found) <= {"id", "node", "iommugroup", "path", "subsystem-id"}


READ = {"nova": read_nova, "kubevirt": read_kubevirt, "pve-mapping": read_proxmox}


@pytest.mark.parametrize("manager", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_recorded(name, manager, regenerate):
    written, _ = export_for(RecordedHost(str(HOSTS / name)), manager, node="pve1")
    compare(written.text, name, manager, regenerate)


@pytest.mark.parametrize("manager", FORMATS)
@pytest.mark.parametrize("name", CUT)
def test_cut(name, manager, nvml, new_state, regenerate):
    kind, profile = CUT[name]
    machine = MACHINES[kind](new_state())
    apply(machine, profile)
    written, _ = export_for(machine, manager, node="pve1")
    compare(written.text, name, manager, regenerate)


TYPES = tuple(
    MdevType(id=f"nvidia-{number}", name=f"GRID T4-{number}Q", available=4, device_api="vfio-pci")
    for number in (1, 2)
)


def function(address, **facts):
    told = {
        "vendor": 0x10DE,
        "device": 0x1EB8,
        "class_code": 0x030200,
        "driver": "vfio-pci",
        "group": int(address[-7:-5], 16),
        "subsystem": "10de:12a2",
        "name": "NVIDIA Corporation TU104GL [Tesla T4]",
        "detail": Detail(reset_methods=("flr",)),
    }
    return Device(address=Address(address), **{**told, **facts})


def mediated(address, *kinds):
    mdevs = tuple(
        Mdev(
            uuid=f"{address[5:7]}000000-0000-4000-8000-{number:012d}",
            type=f"nvidia-{kind}",
            group=90 + number,
        )
        for number, kind in enumerate(kinds)
    )
    return function(
        address, driver="nvidia", detail=Detail(mdev_types=TYPES, mdevs=mdevs, reset_methods=("flr",))
    )


def found(*devices):
    host = Host(devices=devices, iommu=Iommu(enabled=True))
    return sorted_out(host, [one for each in worth_telling(host) for one in offers_of(host, each)])


def test_nova_makes_one_type_of_each_device():
    handed, left = found(
        mediated("0000:01:00.0", 1, 2), mediated("0000:02:00.0", 1), mediated("0000:03:00.0", 1, 1)
    )
    written = write_nova(handed, left)
    assert "device_addresses = 0000:02:00.0,0000:03:00.0\n" in written.text
    assert (
        "# nova has one max_instances for all of them: 1 on 0000:02:00.0, 2 on 0000:03:00.0" in written.text
    )
    assert {one.why for one in written.left} == {"nova makes one type of each device: nvidia-1, nvidia-2"}


def test_a_domain_beyond_nova():
    written = write_nova(*found(function("10000:01:00.0"), function("ffff:01:00.0")))
    assert [one.what for one in written.left] == ["10000:01:00.0"]
    assert '"address": "ffff:01:00.0"' in written.text
    read_proxmox(write_proxmox(*found(function("10000:01:00.0")), "pve1").text)


def test_one_that_could_have_functions_is_a_physical_one_to_nova():
    able = Detail(reset_methods=("flr",), sriov=Sriov(total=4, enabled=0, autoprobe=True))
    written = write_nova(*found(function("0000:01:00.0", detail=able)))
    assert '"device_type": "type-PF"' in written.text


def test_two_kinds_of_one_name():
    ones = found(function("0000:01:00.0"), function("0000:02:00.0", device=0x1EB9))
    again = found(function("0000:01:00.0"), function("0000:02:00.0", subsystem="10de:0001"))
    assert '"nvidia-tesla-t4-10de-1eb9"' in write_nova(*ones).text
    assert "\nnvidia-tesla-t4-10de-1eb8\n" in write_proxmox(*again, "pve1").text
    assert write_kubevirt(*again, ()).text.count("resourceName") == 1, "it knows no boards"


def test_what_kubevirt_cannot_tell_apart_is_told():
    lent, alike, other = (
        function("0000:01:00.0"),
        function("0000:02:00.0"),
        function("0000:03:00.0", device=1),
    )
    handed, left = found(lent)
    assert (
        "# 0000:02:00.0 goes along: it is 10DE:1EB8 on vfio-pci, too"
        in write_kubevirt(handed, left, (lent, alike, other)).text
    )


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "pci-10de-1eb8"),
        ("NVIDIA Corporation GB2 [4x, 'b'\n[pci]]", "nvidia-gb2-4x-b-pci"),
        ("日本", "pci-10de-1eb8"),
        ("A" * 300, "a" * 60),
        ('x", "managed": "yes', "pci-x-managed-yes"),
    ],
)
def test_no_name_breaks_a_format(name, word):
    handed, left = found(function("0000:01:00.0", name=name))
    for manager, text in (
        ("nova", write_nova(handed, left).text),
        ("kubevirt", write_kubevirt(handed, left, ()).text),
        ("pve-mapping", write_proxmox(handed, left, "pve1").text),
    ):
        READ[manager](text)
    assert f'"name": "{word}"' in write_nova(handed, left).text


def test_a_type_that_is_no_name_is_left_out():
    odd = Mdev(uuid="01000000-0000-4000-8000-000000000000", type="a]\n[x", group=9)
    _, left = found(function("0000:01:00.0", driver="nvidia", detail=Detail(mdevs=(odd,))))
    assert [one.why for one in left] == [r"its type 'a]\n[x' is no name"]


def test_what_no_guest_would_get_is_left_out():
    host = Host(
        devices=(function("0000:01:00.0"), function("0000:02:00.0", group=None), function("0000:03:00.0")),
        marks=(Quarantine(carrier=Address("0000:03:00.0"), why="it hung"),),
        iommu=Iommu(enabled=True),
    )
    handed, left = sorted_out(host, [one for each in worth_telling(host) for one in offers_of(host, each)])
    assert [one.slot.name for one in handed] == ["0000:01:00.0"]
    assert {one.what: one.why for one in left} == {
        "0000:02:00.0": "it is refused: gpupass show 0000:02:00.0",
        "0000:03:00.0": "it is quarantined: gpupass show 0000:03:00.0",
    }


def test_whose_name_cannot_be_a_node_s():
    handed, left = found(function("0000:01:00.0"))
    assert "node=pve-1," in write_proxmox(handed, left, "pve-1.example.org").text
    for name in ("", "-a", "a_b", "a,path=x", "é"):
        with pytest.raises(Usage, match="cannot export"):
            write_proxmox(handed, left, name)


def test_the_verb():
    host = ("--host", str(HOSTS / "server-sriov"))
    told = CliRunner().invoke(cli, ["export", "--as", "nova", "--json", *host])
    document = json.loads(told.stdout)
    assert (document["format"], told.exit_code) == ("nova", 0)
    assert [one["what"] for one in document["left_out"]] == ["0000:21:00.0", "0000:31:00.0"]
    plain = CliRunner().invoke(cli, ["export", "--as", "pve-mapping", "--node", "pve1", *host])
    assert plain.stdout == (HERE / "golden/server-sriov.pve-mapping").read_text()
    for words, message in (
        (("--node", "pve1"), "--node belongs to --as pve-mapping"),
        (("--as", "pve-mapping"), "the record does not tell the node's name"),
    ):
        refused = CliRunner().invoke(cli, ["export", *words, *host])
        assert isinstance(refused.exception, Usage) and message in refused.exception.message
