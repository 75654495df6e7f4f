"""What a definition gets, and that in its XML: put in, found there, taken out again; pure."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Any, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from msgspec import Meta, Struct
from msgspec.structs import replace

from gpupass.lending.domain_xml import QEMU, overridden, reserved

_PORT = "pcie-root-port"
_OURS = re.compile(r"ns\d+")  # prefixes that ElementTree keeps for itself

Index = Annotated[int, Meta(ge=1, le=255)]


class RootPort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more pcie-root-port: the bus that it makes, and where on the root bus it sits."""

    index: Index
    slot: Annotated[int, Meta(ge=1, le=31)]
    function: Annotated[int, Meta(ge=0, le=7)]
    first: bool = False  # of several functions in its slot


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept free behind a port, in bytes, as a property of QEMU's pcie-root-port says it."""

    index: Index
    kept: Literal["mem-reserve", "pref64-reserve"]
    size: int


class Preparation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. Ports go by the bus they make."""

    ports: tuple[RootPort, ...] = ()
    windows: tuple[Window, ...] = ()
    cold: tuple[Index, ...] = ()  # nothing is plugged into these, or out of them, while it runs
    hard_limit: int | None = None  # KiB
    wide: bool = False  # as many address bits as the host has

    def __bool__(self) -> bool:
        return bool(self.ports or self.windows or self.cold or self.hard_limit is not None or self.wide)


class Before(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it puts something else in the place of; and the text, without secrets, for people."""

    text: str = ""
    hot: tuple[Index, ...] = ()  # ports that said hotplug='on'; the others said nothing
    windows: tuple[Window, ...] = ()
    hard_limit: int | None = None  # KiB
    wide: str = ""  # the mode of <maxphysaddr>


def read(xml: str) -> Element:
    """ValueError when it is not the XML of a domain. The prefixes of its name spaces stay as they are."""
    try:
        for _, (prefix, uri) in ElementTree.iterparse(StringIO(xml), events=("start-ns",)):
            if prefix and not _OURS.fullmatch(prefix):
                ElementTree.register_namespace(prefix, uri)
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from None
    if root.tag != "domain":
        raise ValueError(f"expected <domain>, not <{root.tag}>")
    return root


def text(root: Element) -> str:
    ElementTree.register_namespace("qemu", QEMU)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def prepared(xml: str, wanted: Preparation) -> str:
    """With all of it; what is there already stays as it is."""
    root = read(xml)
    devices = root.find("devices")
    if devices is None:
        raise ValueError("it has no <devices>")
    there = controllers(root)
    for port in wanted.ports:
        if port.index not in there:
            devices.append(_controller(port))
    for index in wanted.cold:
        _set_hotplug(controllers(root)[index], "off")
    for window in wanted.windows:
        _set_window(root, window, window.size)
    if wanted.hard_limit is not None:
        _set_limit(root, wanted.hard_limit)
    if wanted.wide:
        _set_width(root, "passthrough")
    ElementTree.indent(root)
    return text(root)


def as_before(xml: str, given: Preparation, before: Before) -> str:
    """Without any of it, whatever else has been changed since. ValueError where something needs it by now."""
    root = read(xml)
    users = set(buses_in_use(root))
    for port in given.ports:
        controller = controllers(root).get(port.index)
        if controller is None:
            continue
        if port.index in users:
            raise ValueError(f"a device has been put into port {port.index} meanwhile")
        root.find("devices").remove(controller)  # type: ignore[union-attr]
    for index in given.cold:
        if index in controllers(root):
            _set_hotplug(controllers(root)[index], "on" if index in before.hot else "")
    sizes = {(window.index, window.kept): window.size for window in before.windows}
    for window in given.windows:
        _set_window(root, window, sizes.get((window.index, window.kept)))
    if given.hard_limit is not None:
        _set_limit(root, before.hard_limit)
    if given.wide:
        _set_width(root, before.wide)
    ElementTree.indent(root)
    return text(root)


def state_of(xml: str, wanted: Preparation, shown: str = "") -> Before:
    """What is there of what the preparation is about."""
    root = read(xml)
    there, windows = controllers(root), overridden(root)
    return Before(
        text=shown,
        hot=tuple(index for index in wanted.cold if index in there and _hotplug(there[index]) == "on"),
        windows=tuple(
            replace(one, size=windows[one.index, one.kept])
            for one in wanted.windows
            if (one.index, one.kept) in windows
        ),
        hard_limit=_limit(root),
        wide=_width(root),
    )


def holds(xml: str, wanted: Preparation) -> bool:
    """Is all of it there?"""
    root = read(xml)
    there, windows = controllers(root), reserved(root)
    return (
        all(port.index in there for port in wanted.ports)
        and all(index in there and _hotplug(there[index]) == "off" for index in wanted.cold)
        and all(windows.get((window.index, window.kept)) == window.size for window in wanted.windows)
        and wanted.hard_limit in (None, _limit(root))
        and (not wanted.wide or _width(root) == "passthrough")
    )


def facts_in(xml: str) -> dict[str, Any]:
    """What a difference tells of it."""
    root = read(xml)
    there, windows = controllers(root), reserved(root)
    return {
        "ports": sorted(there),
        "hotplug-off": sorted(index for index, one in there.items() if _hotplug(one) == "off"),
        "windows": {f"{index} {kept}": size for (index, kept), size in sorted(windows.items())},
        "hard-limit": _limit(root),
        "maxphysaddr": _width(root) or None,
    }


def controllers(root: Element) -> dict[int, Element]:
    """The ports that something can be plugged into, by the bus that each makes."""
    found = root.iterfind("devices/controller[@type='pci']")
    return {number(one.get("index")): one for one in found if one.get("model") == _PORT}


def addresses(root: Element) -> dict[tuple[int, int, int, int], Element]:
    """Whatever has a place on a PCI bus of the guest, by that: domain, bus, slot, function."""
    found = ((device, device.find("address[@type='pci']")) for device in root.iterfind("devices/*"))
    return {_place(place): device for device, place in found if place is not None}


def buses_in_use(root: Element) -> Iterator[int]:
    return (bus for _, bus, _, _ in addresses(root))


def number(value: str | None) -> int:
    """0 for none: libvirt leaves zeros out."""
    try:
        return int(value or "0", 0)
    except ValueError:
        return 0


def _place(address: Element) -> tuple[int, int, int, int]:
    domain, bus, slot, function = (number(address.get(n)) for n in ("domain", "bus", "slot", "function"))
    return domain, bus, slot, function


def _controller(port: RootPort) -> Element:
    """With all that libvirt would choose by itself, so that it moves nothing else for it."""
    element = Element("controller", type="pci", index=str(port.index), model=_PORT)
    SubElement(element, "model", name=_PORT)
    where = (port.slot << 3) | port.function
    SubElement(element, "target", chassis=str(port.index), port=f"0x{where:x}", hotplug="on")
    place = SubElement(element, "address", type="pci", domain="0x0000", bus="0x00")
    place.set("slot", f"0x{port.slot:02x}")
    place.set("function", f"0x{port.function}")
    if port.first:
        place.set("multifunction", "on")
    return element


def _hotplug(controller: Element) -> str:
    target = controller.find("target")
    return "" if target is None else target.get("hotplug", "")


def _set_hotplug(controller: Element, value: str) -> None:
    target = controller.find("target")
    target = SubElement(controller, "target") if target is None else target
    if value:
        target.set("hotplug", value)
    else:
        target.attrib.pop("hotplug", None)


def _set_window(root: Element, window: Window, size: int | None) -> None:
    """None: none is asked for; elements that are left empty go, too."""
    alias = f"pci.{window.index}"
    override = _part(root, f"{{{QEMU}}}override")
    devices = override.findall(f"{{{QEMU}}}device")
    device = next((one for one in devices if one.get("alias") == alias), None)
    if device is None:
        device = SubElement(override, f"{{{QEMU}}}device", alias=alias)
    frontend = _part(device, f"{{{QEMU}}}frontend")
    asked = frontend.find(f"{{{QEMU}}}property[@name='{window.kept}']")
    if size is not None:
        asked = SubElement(frontend, f"{{{QEMU}}}property", name=window.kept) if asked is None else asked
        asked.set("type", "unsigned")
        asked.set("value", str(size))
    elif asked is not None:
        frontend.remove(asked)
    for outer, inner in ((device, frontend), (override, device), (root, override)):
        if not len(inner):
            outer.remove(inner)


def _limit(root: Element) -> int | None:
    """KiB; libvirt itself prints no other unit."""
    found = root.find("memtune/hard_limit")
    return number((found.text or "").strip()) if found is not None else None


def _set_limit(root: Element, size: int | None) -> None:
    tune = _part(root, "memtune")
    limit = tune.find("hard_limit")
    if size is not None:
        limit = SubElement(tune, "hard_limit") if limit is None else limit
        limit.set("unit", "KiB")
        limit.text = str(size)
    elif limit is not None:
        tune.remove(limit)
    if not len(tune):
        root.remove(tune)


def _width(root: Element) -> str:
    found = root.find("cpu/maxphysaddr")
    return found.get("mode", "") if found is not None else ""


def _set_width(root: Element, mode: str) -> None:
    cpu = _part(root, "cpu")
    found = cpu.find("maxphysaddr")
    if mode:
        found = SubElement(cpu, "maxphysaddr") if found is None else found
        found.set("mode", mode)
    elif found is not None:
        cpu.remove(found)


def _part(parent: Element, tag: str) -> Element:
    found = parent.find(tag)
    return SubElement(parent, tag) if found is None else found
