"""What a definition lacks for so many devices: table of machines; and that put in and taken out again."""

from xml.etree import ElementTree

import pytest

from gpupass.definition.decide import decide
from gpupass.definition.preparation import (
    Preparation,
    RootPort,
    Window,
    addresses,
    as_before,
    facts_in,
    holds,
    prepared,
    read,
    state_of,
)

GIB = 1 << 30
NEW = (11, 3, 0)


def port(index, slot, function=0, more=""):
    return (
        f"<controller type='pci' index='{index}' model='pcie-root-port'><target chassis='{index}' memReserve='65536'{more}/>"
        f"<address type='pci' domain='0x0000' bus='0x00' slot='0x{slot:02x}' function='0x{function}'/>"
        "</controller>"
    )


def behind(bus, tag="disk"):
    return (
        f"<{tag}><address type='pci' domain='0x0000' bus='0x{bus:02x}' slot='0x00' function='0x0'/></{tag}>"
    )


def on_root(*slots):
    return "".join(
        f"<sound><address type='pci' domain='0x0000' bus='0x00' slot='0x{slot:02x}' function='0x0'/></sound>"
        for slot in slots
    )


def domain(devices="", machine="pc-q35-9.2", kind="kvm", more=""):
    return (
        f"<domain type='{kind}'><name>d</name><memory unit='KiB'>{4 << 20}</memory>{more}"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os><memoryBacking><hugepages/></memoryBacking>"
        f"<devices><controller type='pci' index='0' model='pcie-root'/>{devices}</devices></domain>"
    )


def asks(index, kept, size):
    return (
        f"<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:device alias='pci.{index}'>"
        f"<q:frontend><q:property name='{kept}' type='unsigned' value='{size}'/></q:frontend></q:device></q:override>"
    )


def limit(size):
    return f"<memtune><hard_limit unit='KiB'>{size}</hard_limit></memtune>"


def windows(*below, size=64 << 20, **above):
    """64 MiB for 32-bit BARs of these ports, and p1=BYTES for 64-bit ones of that."""
    found = [(index, "mem-reserve", size) for index in below]
    found += [(int(name[1:]), "pref64-reserve", bytes_) for name, bytes_ in above.items()]
    return tuple(Window(index=index, kept=kept, size=of) for index, kept, of in sorted(found))


def root_port(index, slot, function, first=False):
    return RootPort(index=index, slot=slot, function=function, first=first)


# the definition, devices, the largest BAR → what it gets
CASES = {
    "nothing there": (domain(), 1, 0, Preparation(ports=(root_port(1, 1, 0),), windows=windows(1))),
    "two functions of one slot": (
        domain(),
        2,
        0,
        Preparation(ports=(root_port(1, 1, 0, first=True), root_port(2, 1, 1)), windows=windows(1, 2)),
    ),
    "enough already": (domain(port(1, 2) + port(2, 3)), 2, 0, Preparation()),
    "what others have is left": (
        domain(port(1, 1) + on_root(2, 4) + behind(1, "hostdev")),
        1,
        0,
        Preparation(ports=(root_port(2, 3, 0),), windows=windows(2)),
    ),
    "its own disk's port goes cold": (
        domain(port(1, 1) + port(2, 2) + behind(1)),
        1,
        0,
        Preparation(cold=(1,)),
    ),
    "a device that was plugged in stays warm": (
        domain(port(1, 1) + port(2, 2) + behind(1, "hostdev")),
        1,
        0,
        Preparation(),
    ),
    "an empty port without hot-plug is none": (
        domain(port(1, 1, more=" hotplug='off'")),
        1,
        0,
        Preparation(ports=(root_port(2, 2, 0),), windows=windows(2)),
    ),
    "windows of powers of two, of free ports, too": (
        domain(port(1, 1)),
        2,
        5 * GIB,
        Preparation(ports=(root_port(2, 2, 0),), windows=windows(2, p1=8 * GIB, p2=8 * GIB)),
    ),
    "what firmware leaves anyway": (domain(port(1, 1)), 1, 2 << 20, Preparation()),
    "a limit that is too low": (
        domain(port(1, 1), more=limit(4 << 20)),
        1,
        0,
        Preparation(hard_limit=5 << 20),
    ),
    "a limit that is not": (domain(port(1, 1), more=limit(5 << 20)), 1, 0, Preparation()),
    "behind a vIOMMU once for each device": (
        domain(port(1, 1) + port(2, 2) + "<iommu model='intel'/>", more=limit(5 << 20)),
        2,
        0,
        Preparation(hard_limit=9 << 20),
    ),
    "more than 40 address bits have room for": (
        domain(port(1, 1) + port(2, 2), more="<cpu mode='host-passthrough'/>"),
        2,
        128 * GIB,
        Preparation(windows=windows(p1=128 * GIB, p2=128 * GIB), wide=True),
    ),
    "what is asked for already": (
        domain(port(1, 1) + port(2, 2, more=" hotplug='on'"), more=asks(2, "pref64-reserve", 4 * GIB)),
        2,
        4 * GIB,
        Preparation(windows=windows(p1=4 * GIB)),
    ),
    "sixteen share what is below 4 GiB": (
        domain("".join(port(n, n) for n in range(1, 17)).replace("65536", "2048")),
        16,
        0,
        Preparation(windows=windows(*range(1, 17), size=32 << 20)),
    ),
    "arm": (domain(machine="virt-9.2"), 1, 0, Preparation(ports=(root_port(1, 1, 0),), windows=windows(1))),
    "i440fx plugs into its root bus": (domain(machine="pc-i440fx-9.2"), 3, 0, Preparation()),
}


@pytest.mark.parametrize("case", CASES)
def test_decided(case):
    xml, slots, bar, wanted = CASES[case]
    found, findings = decide(xml, "d", slots, bar, NEW)
    assert (found, [one for one in findings if one.fatal]) == (wanted, [])


@pytest.mark.parametrize("case", CASES)
def test_put_in_nothing_is_lost_or_moved_and_taken_out_it_is_as_before(case):
    xml, _, _, wanted = CASES[case]
    before = state_of(xml, wanted)
    made = prepared(xml, wanted)
    assert holds(made, wanted)
    assert set(addresses(read(xml))) <= set(addresses(read(made)))
    assert prepared(made, wanted) == made, "put in twice"
    assert canonical(as_before(made, wanted, before)) == canonical(xml)
    again, _ = decide(made, "d", CASES[case][1], CASES[case][2], NEW)
    assert not again, "nothing is left to do"


REFUSED = {
    "confidential": (domain(more="<launchSecurity type='sev'/>"), 1, 0, NEW, "confidential"),
    "another machine": (domain(machine="pseries-9.2"), 1, 0, NEW, "nobody knows its ports"),
    "a full root bus": (domain(on_root(*range(1, 31))), 1, 0, NEW, "no place on its root bus"),
    "a full i440fx": (domain(on_root(*range(1, 32)), machine="pc-i440fx-9.2"), 1, 0, NEW, "has 0 free slots"),
    "an old libvirt": (domain(), 1, GIB, (8, 1, 0), "came with 8.2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    xml, slots, bar, version, why = REFUSED[case]
    _, findings = decide(xml, "d", slots, bar, version)
    assert why in " ".join(one.message for one in findings if one.fatal)


def test_what_its_processor_has_no_room_for_is_said():
    _, findings = decide(domain(kind="qemu"), "d", 2, 128 * GIB, NEW)
    assert "40 address bits" in findings[0].message and "X-PciMmio64Mb,string=524288" in findings[0].remedy


def test_others_write_meanwhile():
    """What they wrote stays; a port that they use is not taken from them."""
    xml = domain(port(1, 1))
    wanted, _ = decide(xml, "d", 2, GIB, NEW)
    before, made = state_of(xml, wanted), prepared(xml, wanted)
    renamed = made.replace("<name>d</name>", "<name>d</name><title>theirs</title>")
    assert "theirs" in as_before(renamed, wanted, before)
    used = made.replace("</devices>", behind(2, "hostdev") + "</devices>")
    with pytest.raises(ValueError, match="into port 2 meanwhile"):
        as_before(used, wanted, before)


def test_name_spaces_keep_their_prefixes():
    xml = domain(more="<metadata><l:os xmlns:l='http://libosinfo.org/'/></metadata>")
    made = prepared(xml, Preparation(windows=windows(p1=GIB)))
    assert "<l:os" in made and "<qemu:override>" in made and "ns0" not in made


@pytest.mark.parametrize("xml", ["", "<domain", "<network/>"])
def test_no_domain(xml):
    with pytest.raises(ValueError, match=r"not well-formed|expected <domain>"):
        decide(xml, "d", 1, 0, NEW)


def test_told_in_a_difference():
    made = prepared(
        domain(port(1, 1)), Preparation(windows=windows(p1=GIB), cold=(1,), hard_limit=7, wide=True)
    )
    assert facts_in(made) == {
        "ports": [1],
        "hotplug-off": [1],
        "windows": {"1 mem-reserve": 64 << 20, "1 pref64-reserve": GIB},
        "hard-limit": 7,
        "maxphysaddr": "passthrough",
    }


def canonical(xml):
    """Without white space between elements, and without name spaces that nothing is of."""
    root = ElementTree.fromstring(xml)
    for element in root.iter():
        element.tail = None
        element.text = (element.text or "").strip() or None
        if element.tag == "target" and not element.attrib and not len(element):
            element.tag = "gone"
    return ElementTree.canonicalize(ElementTree.tostring(root, encoding="unicode"))
