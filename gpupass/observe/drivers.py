"""The driver that the kernel would bind by itself: modalias against modules.alias, as udev and kmod do it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from gpupass.model.address import Address
from gpupass.model.host import Device
from gpupass.system import Reader

DRIVERS = "/sys/bus/pci/drivers"
MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
_NEVER = ("vfio_pci", "pci_stub", "pciback", "xen_pciback")  # they take a device only on request


def host_drivers(
    system: Reader, devices: Iterable[Device], aliases: Mapping[Address, str], kernel: str
) -> dict[Address, str]:
    """A host driver that has a device is the answer; the tables are read for the others only.

    `aliases` are modaliases by address, `kernel` the release whose tables they are looked up in.
    """
    found: dict[Address, str] = {}
    open_questions = []
    for device in devices:
        if device.driver is not None and not device.on_vfio and device.driver.replace("-", "_") not in _NEVER:
            found[device.address] = device.driver
        else:
            open_questions.append(device)
    if open_questions:
        found.update(_by_alias(system, {one.address: aliases[one.address] for one in open_questions}, kernel))
    return found


def _by_alias(system: Reader, aliases: Mapping[Address, str], kernel: str) -> Iterator[tuple[Address, str]]:
    table = tuple(pci_aliases(system, aliases.values(), kernel))
    blacklist = read_blacklist(system)
    registered = _registered(system)
    for address, alias in aliases.items():
        modules = [module for pattern, module in table if fnmatchcase(alias, pattern)]
        allowed = [m for m in dict.fromkeys(modules) if m not in blacklist and m not in _NEVER]
        allowed.sort(key=lambda module: module not in registered)
        if allowed:
            yield address, registered.get(allowed[0], allowed[0])


def pci_aliases(system: Reader, aliases: Iterable[str], kernel: str) -> Iterator[tuple[str, str]]:
    """(pattern, module) of modules.alias and of what is built in, where vendor and device could fit.

    The tables have tens of thousands of lines: a plain search for the few beginnings that matter is fastest.
    """
    starts = {"pci:v*"}
    for alias in aliases:
        if alias:
            starts |= {alias[:22], f"{alias[:13]}d*"}
    directory = f"/lib/modules/{kernel}"
    loadable = system.read(f"{directory}/modules.alias") or ""
    builtin = system.read(f"{directory}/modules.builtin.modinfo") or ""
    for start in sorted(starts):
        for line in _found(loadable, f"alias {start}", "\n"):
            pattern, _, module = line.removeprefix("alias ").partition(" ")
            yield pattern, module
        for entry in _found(builtin, f".alias={start}", "\0"):
            module, _, pattern = entry.partition(".alias=")
            yield pattern, module


def _found(text: str, what: str, between: str) -> Iterator[str]:
    """The entries of `text`, which `between` parts, that hold `what`."""
    at = text.find(what)
    while at >= 0:
        start = text.rfind(between, 0, at) + 1
        end = text.find(between, at)
        yield text[start : end if end >= 0 else len(text)]
        at = text.find(what, at + 1)


def read_blacklist(system: Reader) -> frozenset[str]:
    found = set()
    for directory in MODPROBE:
        for name in system.names(directory):
            if name.endswith(".conf"):
                text = system.read(f"{directory}/{name}") or ""
                found.update(re.findall(r"^\s*blacklist\s+(\S+)", text, re.MULTILINE))
    words = re.findall(r"\b(?:modprobe|module)[._]blacklist=(\S+)", system.read("/proc/cmdline") or "")
    for word in words:
        found.update(word.split(","))
    return frozenset(name.replace("-", "_") for name in found)


def _registered(system: Reader) -> dict[str, str]:
    """Module → PCI driver, for drivers that are loaded: `i2c_nvidia_gpu` registers `nvidia-gpu`."""
    found: dict[str, str] = {}
    for driver in system.names(DRIVERS):
        module = system.link(f"{DRIVERS}/{driver}/module") or driver.replace("-", "_")
        found.setdefault(module, driver)
    return found
