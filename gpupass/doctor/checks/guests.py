"""The domains: can they take a device while they run, and give it back?"""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.doctor.check import VFIO, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.checks.devices import told
from gpupass.doctor.remedy import Type
from gpupass.lending.preflight import host_memory, memory_lock, port_findings, unplug_obstacles
from gpupass.model.domain import Domain
from gpupass.model.mark import Claim
from gpupass.plan import Finding

_HOTPLUG = frozenset({Purpose.HOTPLUG})
_NATIVE = (6, 1)  # before: PCIe's own hot-plug, five seconds of a button


def _running(sight: Sight) -> tuple[Domain, ...]:
    return tuple(domain for domain in sight.domains if domain.active)


def _ports(sight: Sight) -> Told:
    found = [(one.name, finding) for one in _running(sight) for finding in port_findings(one)]
    level = Level.FAIL if Purpose.HOTPLUG in sight.purposes else Level.WARN
    yield from (replace(one, level=level) for one in told(found))
    if _running(sight) and not found:
        yield fine("every running domain has a free port")


def _machine(sight: Sight) -> Told:
    old = [(one, why) for one in _running(sight) if (why := _old(one.machine))]
    for domain, why in old:
        words = f"virsh edit {domain.name}: machine=q35, then restart it"
        yield Said(about=domain.name, why=why, remedy=Type(words=words))
    if _running(sight) and not old:
        yield fine("every running domain takes devices by ACPI")


def _old(machine: str) -> str:
    version = re.search(r"q35-(\d+)\.(\d+)", machine)
    if version is not None and (int(version[1]), int(version[2])) < _NATIVE:
        return f"{machine} takes devices by PCIe's own hot-plug: each change takes five seconds or is refused"
    if "virt" in machine and "q35" not in machine:
        return f"{machine} takes devices by PCIe's own hot-plug: each change waits five seconds"
    return ""


def _locks(sight: Sight) -> Told:
    found = [(one.name, finding) for one in _running(sight) for finding in memory_lock(one, 1)]
    yield from told(found)
    if _running(sight) and not found:
        yield fine("every running domain may lock what VFIO needs")


def _memory(sight: Sight) -> Told:
    found = [(one.name, finding) for one in _running(sight) for finding in host_memory(sight.host, one)]
    yield from told(found)
    if _running(sight) and not found:
        yield fine("the host has the memory that each running domain would pin")


def _obstacles(sight: Sight) -> Told:
    having = [one for one in sight.domains if one.live]
    found: list[tuple[str, Finding]] = [
        (one.name, finding)
        for one in having
        for hostdev in one.live
        for finding in unplug_obstacles(hostdev, one)
    ]
    yield from told(found)
    if having and not found:
        yield fine("what domains have they can give back while they run")


def _autostart(sight: Sight) -> Told:
    """At the next boot it takes what another one has now."""
    wrong = list(_contested(sight))
    for domain, address, owner in wrong:
        why = f"it starts at boot and names {address}, which {owner} has"
        yield Said(about=domain.name, why=why, remedy=Type(words=f"virsh autostart --disable {domain.name}"))
    if sight.domains and not wrong:
        yield fine("no domain that starts at boot names what another one has")


def _contested(sight: Sight) -> Iterator[tuple[Domain, str, str]]:
    having = {str(hostdev.address): one.name for one in sight.host.domains for hostdev in one.live}
    lent = {str(mark.carrier): mark.domain for mark in sight.host.marks if isinstance(mark, Claim)}
    for domain in sight.domains:
        for hostdev in domain.config if domain.autostart else ():
            owner = having.get(str(hostdev.address)) or lent.get(str(hostdev.address))
            if hostdev.address is not None and owner and owner != domain.name:
                yield domain, hostdev.address, owner


def _huge(sight: Sight) -> Told:
    memory = sight.ground.memory
    if memory is None:
        yield hidden(sight, "how the host's memory is paged")
    elif memory.transparent == "never":
        why = "transparent huge pages are off: a guest's memory is pinned and mapped six times slower"
        words = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
        yield Said(why=why, remedy=Type(words=f"{words}; at every boot: transparent_hugepage=madvise"))
    elif memory.transparent:
        yield fine(f"transparent huge pages: {memory.transparent}")


GUEST_CHECKS = (
    Check(id="vm.ports", title="free ports", purposes=_HOTPLUG, worst=Level.FAIL, find=_ports),
    Check(id="vm.machine", title="machine types", purposes=_HOTPLUG, worst=Level.WARN, find=_machine),
    Check(id="vm.memtune", title="memory locks", purposes=VFIO, worst=Level.FAIL, find=_locks),
    Check(id="mem.free", title="free memory", purposes=VFIO, worst=Level.FAIL, find=_memory),
    Check(id="mem.thp", title="huge pages", purposes=VFIO, worst=Level.WARN, find=_huge),
    Check(id="vm.unplug", title="giving back", purposes=_HOTPLUG, worst=Level.WARN, find=_obstacles),
    Check(id="lv.autostart", title="starting at boot", purposes=VFIO, worst=Level.WARN, find=_autostart),
)
