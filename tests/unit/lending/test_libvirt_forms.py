"""The forms in which libvirt's XML gives a domain something of the host: which functions it owns, what else it stands on.

Small XMLs of our own, one for each form that libvirt's own tests have (tests/qemuxmlconfdata; the names are theirs).
"""

import pytest

from gpupass.lending.domain_xml import hostdev_of, parse_definition
from gpupass.model.address import Address
from gpupass.model.domain import PartKind, Written
from gpupass.model.options import IOMMUFD, NONE, VFIO

UUID = "c2177883-f1bb-47f0-914d-32a22e3a8804"
PCI = "<hostdev mode='subsystem' type='pci' managed='{managed}'>{inside}<source{more}>{address}</source></hostdev>"


def pci(address="domain='0x0000' bus='0x06' slot='0x12' function='0x5'", inside="", managed="yes", more=""):
    return PCI.format(managed=managed, inside=inside, more=more, address=f"<address {address}/>")


def mdev(model, more="", uuid=UUID):
    source = f"<source><address uuid='{uuid}'/></source>"
    return f"<hostdev mode='subsystem' type='mdev' model='{model}' {more}>{source}</hostdev>"


def nvme(inside):
    return f"<disk type='nvme' device='disk'>{inside}<target dev='vda' bus='virtio'/></disk>"


NVME = (
    "<source type='pci' managed='{}' namespace='{}'>"
    "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>{}</source>"
)
VF = "<address type='pci' domain='0x0000' bus='0x03' slot='0x07' function='0x1'/>"
AT = "0000:06:12.5"

OWNED = {  # form: (XML, (what, …))
    "hostdev-pci-address": (pci(), (AT,)),
    "hostdev-pci-address, bus and slot alone": (pci("bus='6' slot='18' function='5'"), (AT,)),
    "hostdev-pci-address, as C writes numbers": (pci("bus='06' slot='022' function='5'"), (AT,)),
    "hostdev-vfio": (pci(inside="<driver name='vfio'/>"), (AT,)),
    "hostdev-vfio, a variant driver": (pci(inside="<driver name='vfio' model='mlx5_vfio_pci'/>"), (AT,)),
    "hostdev-vfio-multidomain": (pci("domain='0x55aa' bus='0x20' slot='0x0f' function='0x3'"), ("55aa:20:0f.3",)),
    "a domain of 32 bits": (pci("domain='0x10000' bus='0x01' slot='0x00' function='0x0'"), ("10000:01:00.0",)),
    "hostdev-pci-multifunction": (
        pci("bus='0x06' slot='0x12' function='0x0'")
        + pci("bus='0x06' slot='0x12' function='0x1'")
        + pci("bus='0x06' slot='0x13' function='0x7'"),
        ("0000:06:12.0", "0000:06:12.1", "0000:06:13.7"),
    ),
    "hostdev-vfio-zpci": (
        pci().replace("</source>", "</source><address type='pci'><zpci uid='0x19' fid='0x1f'/></address>"),
        (AT,),
    ),
    "write filtering": (pci(more=" writeFiltering='no'"), (AT,)),
    "start-up policy": (pci(more=" startupPolicy='optional'"), (AT,)),
    "net-virtio-teaming-hostdev": (pci(inside="<teaming type='transient' persistent='ua-backup0'/>"), (AT,)),
    "net-hostdev": (
        f"<interface type='hostdev' managed='yes'><mac address='00:11:22:33:44:55'/><source>{VF}</source>"
        "<vlan><tag id='42'/></vlan><virtualport type='802.1Qbg'><parameters managerid='11'/></virtualport></interface>",
        ("0000:03:07.1",),
    ),
    "net-hostdev-vfio-multidomain": (
        "<interface type='hostdev'><driver name='vfio'/><source>"
        "<address type='pci' domain='0x2424' bus='0x21' slot='0x1c' function='0x6'/></source></interface>",
        ("2424:21:1c.6",),
    ),
    "hostdev-mdev-precreated": (mdev("vfio-pci"), (UUID,)),
    "hostdev-mdev-precreated, capitals": (mdev("vfio-pci", uuid=UUID.upper()), (UUID,)),
    "hostdev-mdev-display-ramfb": (mdev("vfio-pci", "display='on' ramfb='on'"), (UUID,)),
    "hostdev-subsys-mdev-vfio-ccw": (mdev("vfio-ccw"), (UUID,)),
    "hostdev-subsys-mdev-vfio-ap": (mdev("vfio-ap"), (UUID,)),
    "disk-nvme": (nvme(NVME.format("yes", 1, "")), ("0000:01:00.0",)),
    "disk-nvme, two namespaces": (
        nvme(NVME.format("yes", 1, "")) + nvme(NVME.format("no", 2, "")),
        ("0000:01:00.0", "0000:01:00.0"),
    ),
    "disk-nvme, encrypted": (nvme(NVME.format("no", 2, "<encryption format='luks'/>")), ("0000:01:00.0",)),
    "disk-nvme as a backing store": (
        "<disk type='file' device='disk'><source file='/var/lib/over.qcow2'/><backingStore type='nvme'>"
        f"<format type='raw'/>{NVME.format('yes', 1, '')}</backingStore><target dev='vda'/></disk>",
        ("0000:01:00.0",),
    ),
}  # fmt: skip


def definition(devices):
    return parse_definition(f"<domain type='kvm'><name>vm</name><devices>{devices}</devices></domain>")


@pytest.mark.parametrize(("xml", "owned"), OWNED.values(), ids=OWNED)
def test_what_a_domain_owns(xml, owned):
    found = definition(xml)
    assert tuple(one.address or one.mdev for one in found.hostdevs) == owned


PLAIN = {"managed": True, "unassigned": False, "ramfb": False, "driver": VFIO, "written": Written.HOSTDEV}
SAID = {
    "unmanaged": (pci(managed="no"), {"managed": False}),
    "hostdev-pci-address-unassigned": (
        pci().replace("</source>", "</source><address type='unassigned'/>"),
        {"unassigned": True, "guest": None},
    ),
    "a guest's address": (
        pci().replace(
            "</source>",
            "</source><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0' multifunction='on'/>",
        ),
        {"guest": Address("0000:01:00.0"), "multifunction": True},
    ),
    "hostdev-pci-iommufd": (pci(inside="<driver name='vfio' iommufd='yes'/>"), {"driver": IOMMUFD}),
    "pci-rom": (pci(inside="<rom bar='on' file='/etc/rom.bin'/>"), {"rom": "/etc/rom.bin"}),
    "pci-rom-disabled": (pci(inside="<rom enabled='no'/>"), {"rom": NONE}),
    "hostdev-mdev-display-ramfb": (
        mdev("vfio-pci", "managed='yes' display='on' ramfb='on'"),
        {"ramfb": True},
    ),
    "net-hostdev": (
        f"<interface type='hostdev' managed='yes'><source>{VF}</source></interface>",
        {"written": Written.INTERFACE},
    ),
    "disk-nvme": (nvme(NVME.format("yes", 1, "")), {"written": Written.NVME_DISK, "target": "vda"}),
}


@pytest.mark.parametrize(("xml", "said"), SAID.values(), ids=SAID)
def test_how_it_has_it(xml, said):
    (found,) = definition(xml).hostdevs
    assert {name: getattr(found, name) for name in PLAIN | said} == PLAIN | said


ELSE = {  # form: (XML, (kind, name), …); no function of its own
    "hostdev-scsi": (
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host3'/>"
        "<address bus='0' target='0' unit='5'/></source></hostdev>",
        (PartKind.SCSI_HOST, "host3"),
    ),
    "hostdev-usb-address": (
        "<hostdev mode='subsystem' type='usb' managed='no'><source><address bus='14' device='6'/></source></hostdev>",
        (PartKind.USB_BUS, "14"),
    ),
    "hostdev-caps-storage": (
        "<hostdev mode='capabilities' type='storage'><source><block>/dev/sdf1</block></source></hostdev>",
        (PartKind.NODE, "/dev/sdf1"),
    ),
    "hostdev-caps-misc": (
        "<hostdev mode='capabilities' type='misc'><source><char>/dev/input/event3</char></source></hostdev>",
        (PartKind.NODE, "/dev/input/event3"),
    ),
    "hostdev-caps-net": (
        "<hostdev mode='capabilities' type='net'><source><interface>eth7</interface></source></hostdev>",
        (PartKind.INTERFACE, "eth7"),
    ),
    "net-direct": (
        "<interface type='direct'><source dev='eth3' mode='passthrough'/></interface>",
        (PartKind.INTERFACE, "eth3"),
    ),
    "net-vdpa": (
        "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>",
        (PartKind.NODE, "/dev/vhost-vdpa-0"),
    ),
    "disk-vhostvdpa": (
        "<disk type='vhostvdpa' device='disk'><source dev='/dev/vhost-vdpa-1'/><target dev='vda'/></disk>",
        (PartKind.DISK, "/dev/vhost-vdpa-1"),
    ),
    "disk by its device": (
        "<disk type='block' device='lun'><source dev='/dev/nvme0n1'/><target dev='sda'/></disk>",
        (PartKind.DISK, "/dev/nvme0n1"),
    ),
    "graphics-egl-headless-rendernode": (
        "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>",
        (PartKind.NODE, "/dev/dri/renderD128"),
    ),
    "input-evdev": (
        "<input type='evdev'><source dev='/dev/input/event7' grab='all'/></input>",
        (PartKind.NODE, "/dev/input/event7"),
    ),
}


@pytest.mark.parametrize(("xml", "part"), ELSE.values(), ids=ELSE)
def test_what_else_it_stands_on(xml, part):
    found = definition(xml)
    assert found.hostdevs == () and part in [(one.kind, one.name) for one in found.parts]


NOTHING = {
    "hostdev-scsi-virtio-iscsi": "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.a:b/1'>"
    "<host name='example.org'/></source></hostdev>",
    "hostdev-scsi-vhost-scsi-pci": "<hostdev mode='subsystem' type='scsi_host'>"
    "<source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>",
    "hostdev-usb, by what it is": "<hostdev mode='subsystem' type='usb'><source><vendor id='0x204'/></source></hostdev>",
    "a network of libvirt's": "<interface type='network'><source network='vf-pool'/></interface>",
    "an address that is none": pci("domain='0x0000' bus='zz' slot='0x12' function='0x5'"),
    "hostdev-mdev-src-address-invalid": "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
    "<address domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></source></hostdev>",
}


@pytest.mark.parametrize("xml", NOTHING.values(), ids=NOTHING)
def test_what_is_no_device_of_the_host_s(xml):
    found = definition(xml)
    assert (found.hostdevs, found.parts) == ((), ())


@pytest.mark.parametrize(
    "form", [form for form, (_, owned) in OWNED.items() if len(owned) == 1 and "nvme" not in form]
)
def test_its_element_is_found_again_to_be_taken_out(form):
    xml, (what,) = OWNED[form]
    address, uuid = (Address("0000:00:02.0"), what) if "-" in what else (Address(what), None)
    found = hostdev_of(f"<domain><devices>{xml}</devices></domain>", address, uuid)
    assert found is not None and found[1].is_of(address, uuid)
