"""The <hostdev> of one attachment: what goes to libvirt, and that our own reader understands it."""

import xml.etree.ElementTree as ElementTree

import pytest

from gpupass.lending.domain_xml import parse_definition
from gpupass.lending.hostdev_xml import alias_of, hostdev_xml
from gpupass.model.address import Address

EXPOSED = (
    '<hostdev mode="subsystem" type="pci" managed="no"><source><address domain="0x0001" bus="0xaf" '
    'slot="0x1f" function="0x7" /></source><alias name="ua-gpupass-0001-af-1f-7" /></hostdev>'
)


def test_exposed():
    address = Address("0001:af:1f.7")
    assert hostdev_xml(address, alias_of(address), exposed=True) == EXPOSED


@pytest.mark.parametrize("exposed", [True, False])
@pytest.mark.parametrize("text", ["0000:01:00.0", "ffff:ff:1f.7", "10000:e1:00.0"])
def test_the_reader_reads_what_the_writer_writes(text, exposed):
    xml = hostdev_xml(Address(text), alias_of(Address(text)), exposed)
    (hostdev,) = parse_definition(f"<domain><devices>{xml}</devices></domain>").hostdevs
    assert (hostdev.address, hostdev.alias) == (text, alias_of(Address(text)))
    assert (hostdev.unassigned, hostdev.managed) == (not exposed, False)


def test_an_alias_is_one_functions_own_and_libvirt_accepts_it():
    aliases = {alias_of(Address(f"0000:{bus:02x}:00.{f}")) for bus in range(16) for f in range(8)}
    assert len(aliases) == 128
    assert all(
        a.startswith("ua-") and set(a) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for a in aliases
    )


def test_a_hostile_alias_stays_text():
    xml = hostdev_xml(Address("0000:01:00.0"), '"/><devices>', exposed=True)
    assert ElementTree.fromstring(xml).find("alias").get("name") == '"/><devices>'
