"""Devices of the host on a QEMU command line, in every form that QEMU takes."""

from xml.etree import ElementTree

import pytest

from gpupass.lending.domain_xml import parse_definition, parse_domain
from gpupass.lending.preflight import unplug_obstacles
from gpupass.lending.qemu_arguments import device_arguments, read_arguments
from gpupass.model.address import Address
from gpupass.model.domain import DomainState, PartKind, Written
from gpupass.observe.secrets import without_secrets
from tests.host_tree import domain_text

UUID = "3f2c9a1e-1111-4c6e-9d5a-0123456789ab"
GPU = "0000:02:00.0"
FORMS = {
    "short": ["-device", "vfio-pci,host=02:00.0,id=gpu"],
    "whole": ["-device", "vfio-pci,host=0000:02:00.0,x-vga=on"],
    "two dashes": ["--device", "vfio-pci,host=2:0.0"],
    "driver=": ["-device", "driver=vfio-pci,host=0000:02:00.0"],
    "json": ["-device", '{"driver":"vfio-pci","host":"0000:02:00.0","bus":"rp1"}'],
    "sysfsdev": ["-device", "vfio-pci,sysfsdev=/sys/bus/pci/devices/0000:02:00.0"],
    "sysfsdev real": ["-device", "vfio-pci,sysfsdev=/sys/devices/pci0000:00/0000:00:01.0/0000:02:00.0/"],
    "iommufd": ["-object", "iommufd,id=i0", "-device", "vfio-pci,host=02:00.0,iommufd=i0"],
    "ramfb": ["-device", "vfio-pci-nohotplug,host=0000:02:00.0,ramfb=on"],
    "nvme drive": ["-drive", "file=nvme://0000:02:00.0/1,if=none,id=d0"],
    "nvme blockdev": ["-blockdev", "driver=nvme,node-name=n,device=0000:02:00.0,namespace=1"],
    "nvme json": [
        "-blockdev",
        '{"driver":"raw","file":{"driver":"nvme","device":"0000:02:00.0","namespace":1}}',
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_functions(form: str) -> None:
    found = read_arguments(FORMS[form]).hostdevs
    assert [(one.address, one.written) for one in found] == [(Address(GPU), Written.QEMU_ARGUMENT)]


@pytest.mark.parametrize("form", FORMS)
def test_a_record_keeps_the_form(form: str) -> None:
    kept = list(device_arguments(["-fw_cfg", "name=x,string=password", *FORMS[form]]))
    assert read_arguments(kept).hostdevs and "password" not in " ".join(kept)


def test_mediated_device() -> None:
    for path in (f"/sys/bus/mdev/devices/{UUID.upper()}", f"/sys/devices/pci0000:00/{GPU}/{UUID}"):
        (found,) = read_arguments(["-device", f"vfio-pci,sysfsdev={path}"]).hostdevs
        assert (found.address, found.mdev) == (None, UUID)


@pytest.mark.parametrize(
    ("words", "kind", "name"),
    [
        (["-netdev", "vhost-vdpa,vhostdev=/dev/vhost-vdpa-1,id=n"], PartKind.NODE, "/dev/vhost-vdpa-1"),
        (["-drive", "file=/dev/nvme0n1,format=raw"], PartKind.DISK, "/dev/nvme0n1"),
        (["-hda", "/dev/vg/a"], PartKind.DISK, "/dev/vg/a"),
        (["-blockdev", "driver=host_device,filename=/dev/sdb,node-name=b"], PartKind.DISK, "/dev/sdb"),
        (["-display", "egl-headless,rendernode=/dev/dri/renderD129"], PartKind.NODE, "/dev/dri/renderD129"),
    ],
)
def test_parts(words: list[str], kind: PartKind, name: str) -> None:
    assert [(part.kind, part.name) for part in read_arguments(words).parts] == [(kind, name)]


def test_names_of_a_guest() -> None:
    found = read_arguments(["-name", "guest=web,,1,debug-threads=on", "-uuid", UUID, "-id", "100"])
    assert (found.name, found.uuid, found.id) == ("web,1", UUID, "100")
    assert read_arguments(["-name", "web,debug-threads=on"]).name == "web"


@pytest.mark.parametrize(
    "words", [["-device"], ["-device", "{"], ["-device", "[1]"], ["x", "-"], ["-drive", ","]]
)
def test_nonsense_is_nobody(words: list[str]) -> None:
    found = read_arguments(words)
    assert found.hostdevs == () and found.parts == ()


def _domain(devices: str, beside: str = "") -> str:
    return domain_text("web", UUID, f"{devices}^{beside}")


def _arguments(*words: str) -> str:
    return f"<qemu:commandline>{''.join(f'<qemu:arg value={chr(39)}{w}{chr(39)}/>' for w in words)}</qemu:commandline>"


NVME = (
    "<disk type='nvme'><source type='pci' managed='yes' namespace='1'>"
    "<address domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>{slices}</source>"
    "<target dev='vda'/></disk>"
)
WRITTEN = {
    Written.NVME_DISK: _domain(NVME.format(slices="")),
    "in slices": _domain(NVME.format(slices="<slices><slice type='storage' offset='0' size='1'/></slices>")),
    "as a backing store": _domain(
        "<disk type='file'><source file='/a'/><backingStore type='nvme'><source type='pci' namespace='1'>"
        "<address domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></source></backingStore>"
        "<target dev='vda'/></disk>"
    ),
    Written.QEMU_ARGUMENT: _domain("", _arguments("-device", "vfio-pci,host=02:00.0")),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_the_domain_has_it_and_libvirt_cannot_take_it(written: str) -> None:
    text = WRITTEN[written]
    domain = parse_domain(name="web", uuid=UUID, state=DomainState.RUNNING, live=text)
    (hostdev,) = domain.live
    assert hostdev.address == GPU
    (obstacle,) = unplug_obstacles(hostdev, domain)
    assert obstacle.fatal and "virsh" in obstacle.remedy


@pytest.mark.parametrize("written", WRITTEN)
def test_a_record_keeps_it(written: str) -> None:
    kept = parse_definition(without_secrets(WRITTEN[written])).hostdevs
    assert kept == parse_definition(WRITTEN[written]).hostdevs


def test_a_record_keeps_no_other_argument() -> None:
    text = _domain("", _arguments("-fw_cfg", "name=opt/x,string=hunter2", "-device", "vfio-pci,host=02:00.0"))
    kept = without_secrets(text)
    assert "hunter2" not in kept and "vfio-pci,host=02:00.0" in kept
    ElementTree.fromstring(kept)


def test_parts_of_devices() -> None:
    devices = (
        "<interface type='direct'><source dev='eth0'/><target dev='macvtap0'/></interface>"
        "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"
        "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD129'/></graphics>"
        "<hostdev type='usb'><source><address bus='3' device='2'/></source></hostdev>"
        "<input type='evdev'><source dev='/dev/input/event3'/></input>"
        "<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>"
        "<filesystem type='mount'><source dir='/srv'/><target dir='/'/></filesystem>"
    )
    assert [(part.kind, part.name) for part in parse_definition(_domain(devices)).parts] == [
        (PartKind.INTERFACE, "eth0"),
        (PartKind.NODE, "/dev/vhost-vdpa-0"),
        (PartKind.NODE, "/dev/dri/renderD129"),
        (PartKind.USB_BUS, "3"),
        (PartKind.NODE, "/dev/input/event3"),
        (PartKind.NODE, "/dev/hwrng"),
    ]
