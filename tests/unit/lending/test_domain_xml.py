"""Domain XML as libvirt writes it → Domain."""

import pytest

from gpupass.lending.domain_xml import parse_definition, parse_domain, parse_list
from gpupass.model.address import Address
from gpupass.model.domain import DomainState, Port

LIVE = """<domain type='kvm' id='3'>
  <name>vm1</name><uuid>a6ac2c39-0001-4000-8000-000000000001</uuid>
  <memory unit='GiB'>4</memory>
  <memtune><hard_limit unit='KiB'>9000000</hard_limit></memtune>
  <memoryBacking><locked/></memoryBacking>
  <numatune><memory mode='strict' nodeset='0-2,^1'/><memnode cellid='0' mode='strict' nodeset='4'/></numatune>
  <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>
  <devices>
    <controller type='pci' index='0' model='pcie-root'><alias name='pcie.0'/></controller>
    <controller type='pci' index='1' model='pcie-root-port'>
      <target chassis='1' port='0x10'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <target chassis='2' port='0x11' hotplug='off'/></controller>
    <controller type='pci' index='3' model='pcie-root-port'><target chassis='3' port='0x12'/></controller>
    <controller type='usb' index='0' model='qemu-xhci'>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></controller>
    <hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>
      <source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>
      <alias name='hostdev0'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0' multifunction='on'/></hostdev>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <source><address domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source>
      <alias name='ua-audio'/><address type='unassigned'/></hostdev>
    <interface type='hostdev' managed='yes'>
      <source><address type='pci' domain='0x0000' bus='0x41' slot='0x01' function='0x2'/></source>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x09' function='0x0'/></interface>
    <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
      <source><address uuid='3F2C9A1E-1111-4C6E-9D5A-0123456789AB'/></source></hostdev>
    <iommu model='intel'/>
  </devices>
</domain>"""


def test_live() -> None:
    found = parse_definition(LIVE)
    assert [str(h.address) for h in found.hostdevs] == [
        "0000:01:00.0",
        "0000:01:00.1",
        "0000:41:01.2",
        "None",
    ]
    gpu, audio, vf, mdev = found.hostdevs
    assert (gpu.alias, gpu.managed, gpu.guest, gpu.multifunction, gpu.unassigned) == (
        "hostdev0",
        True,
        Address("0000:01:00.0"),
        True,
        False,
    )
    assert (audio.alias, audio.managed, audio.guest, audio.unassigned) == ("ua-audio", False, None, True)
    assert vf.alias is None
    assert mdev.mdev == "3f2c9a1e-1111-4c6e-9d5a-0123456789ab"
    assert found.ports == (
        Port(index=1, hotplug=True, occupied=True),
        Port(index=2, hotplug=False, occupied=True),
        Port(index=3, hotplug=True, occupied=False),
    )
    assert (found.memory, found.hard_limit, found.locked, found.viommu) == (4 << 20, 9000000, True, True)
    assert found.numa_nodes == (0, 2, 4)
    assert found.machine == "pc-q35-10.0"


def test_live_decides_and_config_is_kept_apart() -> None:
    config = "<domain><memory unit='MiB'>512</memory><devices/></domain>"
    domain = parse_domain(name="vm1", uuid="u", state=DomainState.RUNNING, live=LIVE, config=config)
    assert domain.memory == 4 << 20
    assert len(domain.live) == 4
    assert domain.config == ()
    stopped = parse_domain(name="vm1", uuid="u", state=DomainState.SHUT_OFF, config=config)
    assert stopped.memory == 512 << 10


@pytest.mark.parametrize("xml", ["", "<domain>", "<network/>", "no xml"])
def test_no_domain(xml: str) -> None:
    with pytest.raises(ValueError, match=r"not well-formed|expected <domain>"):
        parse_definition(xml)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", {0}), ("0-3,^2", {0, 1, 3}), ("1,3-4", {1, 3, 4}), ("", set()), ("x-2", set()), ("2-", {2})],
)
def test_lists(text: str, numbers: set[int]) -> None:
    assert parse_list(text) == numbers


@pytest.mark.parametrize(
    ("unit", "kib"), [("b", 1), ("KiB", 1024), ("k", 1024), ("MB", 1000000), ("GiB", 1 << 30)]
)
def test_units(unit: str, kib: int) -> None:
    assert parse_definition(f"<domain><memory unit='{unit}'>1024</memory></domain>").memory == kib


def test_a_hostdev_without_an_address_is_no_device() -> None:
    xml = "<domain><devices><hostdev type='pci'><source/></hostdev></devices></domain>"
    assert parse_definition(xml).hostdevs == ()
