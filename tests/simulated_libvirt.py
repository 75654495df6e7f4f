"""libvirt with domains whose guests let go at once, late or never: system.libvirt.Hypervisor simulated."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpupass.model.domain import DomainState
from gpupass.system.libvirt import (
    DEVICE_MISSING,
    NO_DOMAIN,
    OPERATION_INVALID,
    DomainText,
    LibvirtFailure,
)

if TYPE_CHECKING:
    from tests.simulated import Machine

ACKS, REFUSES = 0.2, float("inf")  # seconds until the guest lets go
INTERNAL_ERROR, OPERATION_FAILED = 1, 9  # virErrorNumber
GIB_IN_KIB = 1 << 20


@dataclass
class Plugged:
    """One hostdev of a running guest."""

    address: str
    alias: str
    bus: int | None = None  # None: unassigned
    asked: bool = False
    going: bool = False
    function: str = "0"
    multifunction: bool = False
    managed: bool = False  # libvirt itself gives it back to the host
    ours: bool = True  # … because it was libvirt that took it
    more: str = ""  # of its XML: <rom/> and the like


@dataclass
class Guest:
    """One domain; `lets_go` seconds after the request its guest has ejected the device."""

    name: str
    uuid: str
    pid: int
    state: DomainState = DomainState.RUNNING
    lets_go: float = ACKS
    closes: float = 0.0  # seconds from the ejection until QEMU has closed VFIO
    transient: bool = False
    metadata: str = ""  # of whoever else manages it
    autostart: bool = False
    job: str | None = None
    memory: int = 4 * GIB_IN_KIB
    resident: int | None = GIB_IN_KIB
    hard_limit: int | None = None
    numa: str | None = None
    machine: str = "pc-q35-9.2"
    ports: int = 4
    hotplug_off: tuple[int, ...] = ()
    window: tuple[int, int] | None = (64 << 20, 1 << 40)  # what its firmware left: memory, prefetchable
    live: dict[str, Plugged] = field(default_factory=dict)
    config: tuple[str, ...] = ()
    defined: str | None = None  # its persistent XML, where somebody has written it
    secret: str = ""  # of that XML, told to whoever asks for it
    asks: int = 0
    number: int = 1  # of this run, as libvirt counts them

    @property
    def has_qemu(self) -> bool:
        return self.state is not DomainState.SHUT_OFF

    @property
    def active(self) -> bool:
        return self.state in (DomainState.RUNNING, DomainState.PAUSED)

    @property
    def seen(self) -> list[str]:
        """What its guest sees."""
        return sorted(plugged.address for plugged in self.live.values() if plugged.bus is not None)

    @property
    def how(self) -> dict[str, str]:
        """What its XML says of them besides."""
        return {address: plugged.more for address, plugged in self.live.items() if plugged.more}


class SimulatedLibvirt:
    """`faults` by call name: each is popped once and called; it may raise or change what happens."""

    def __init__(self, machine: "Machine", names: tuple[str, ...]) -> None:
        self.machine = machine
        self.guests = {
            name: Guest(name=name, uuid=f"00000000-0000-0000-0000-00000000000{number}", pid=7000 + number)
            for number, name in enumerate(names, 1)
        }
        self.its_version = (11, 3, 0)
        self.faults: dict[str, list[object]] = {}
        self.answers_failure: LibvirtFailure | None = None
        self._count = 0
        self._runs = len(names)
        for number, guest in enumerate(self.guests.values(), 1):
            guest.number = number

    # what happens to the domains from outside

    def plug(
        self, name: str, address: str, *, alias: str | None = None, function: str = "0", managed: bool = False
    ) -> None:
        """As `virsh attach-device` or a cold plug would."""
        guest = self.guests[name]
        ours = managed and self.machine.driver(address) != "vfio-pci"
        if ours:
            self.machine.register_driver("vfio-pci")
            self.machine.set_driver(address, "vfio-pci")
        alias = alias or f"hostdev{len(guest.live)}"
        bus = self._free_port(guest)
        if function != "0":
            bus = max((p.bus for p in guest.live.values() if p.bus is not None), default=1)
        guest.live[address] = Plugged(
            address, alias, bus, function=function, multifunction=function != "0", managed=managed, ours=ours
        )
        self._open(guest, address)

    def stop(self, name: str) -> None:
        """Destroyed, shut down or crashed: QEMU is gone with all its files."""
        guest = self.guests[name]
        guest.state = DomainState.SHUT_OFF
        managed = [plugged for plugged in guest.live.values() if plugged.managed]
        guest.live.clear()
        if self.machine.exists(f"/proc/{guest.pid}/fd"):
            self.machine.lets_go(guest.pid)
        for plugged in managed:
            self._back_to_host(plugged)
        if guest.transient:
            del self.guests[name]
        self._count += 1

    def start(self, name: str) -> None:
        """A new QEMU, with what its definition says; a lifecycle event tells of it."""
        guest = self.guests[name]
        assert not guest.has_qemu, "virsh start would refuse it"
        self._runs += 1
        guest.number, guest.pid, guest.state = self._runs, guest.pid + 100, DomainState.RUNNING
        self._count += 1

    def undefine(self, name: str) -> None:
        """One that runs goes on, and is gone when it stops."""
        self.guests[name].transient = True
        if not self.guests[name].has_qemu:
            del self.guests[name]
        self._count += 1

    def restart_daemon(self) -> None:
        """Who was connected hears nothing of what happens meanwhile; guests run on."""
        self._count += 1

    def stop_all(self) -> None:
        for name in list(self.guests):
            self.stop(name)

    def reboot(self, name: str) -> None:
        """A guest's reset completes what its guest was asked for (QEMU pcihp.c)."""
        for plugged in list(self.guests[name].live.values()):
            if plugged.asked:
                self._eject(self.guests[name], plugged)

    def holders(self, address: str) -> list[str]:
        """The domains that have it."""
        return [guest.name for guest in self.guests.values() if address in guest.live]

    # the interface of Hypervisor

    def version(self) -> tuple[int, int, int]:
        return self.its_version

    def emulator_version(self) -> tuple[int, int, int]:
        return (10, 0, 2)

    def events(self) -> int:
        return self._count

    def require_answer(self) -> None:
        self._fault("require_answer")

    def wait_event(self, seen: int, seconds: float) -> None:
        assert seconds > 0, "a busy loop"
        self.machine.advance(seconds, until=lambda: self._count > seen)

    def domains(self, sized=None) -> tuple[DomainText, ...]:
        self._fault("domains")
        return tuple(
            DomainText(
                name=guest.name,
                uuid=guest.uuid,
                state=guest.state,
                autostart=guest.autostart,
                live=self._xml(guest, live=True) if guest.has_qemu else None,
                config=None if guest.transient else self._xml(guest, live=False),
                job=guest.job if guest.active else None,
                resident=guest.resident if guest.active else None,
            )
            for guest in sorted(self.guests.values(), key=lambda guest: guest.name)
        )

    def live_xml(self, uuid: str) -> str | None:
        self._fault("live_xml")
        guest = self._find(uuid)
        return self._xml(guest, live=True) if guest is not None and guest.has_qemu else None

    def query_pci(self, uuid: str) -> object:
        guest = self._find(uuid)
        if guest is None or guest.window is None:
            return None
        spans = [{"base": 1 << 32, "limit": (1 << 32) + size - 1} for size in guest.window]
        return [
            {
                "devices": [
                    {
                        "qdev_id": f"pci.{index}",
                        "pci_bridge": {"bus": {"memory_range": spans[0], "prefetchable_range": spans[1]}},
                    }
                    for index in range(1, guest.ports + 1)
                ]
            }
        ]

    def definition(self, uuid: str, secret: bool = False) -> str | None:
        self._fault("definition")
        guest = self._find(uuid)
        if guest is None or guest.transient:
            return None
        xml = self._xml(guest, live=False)
        return xml.replace("</devices>", f"{guest.secret}</devices>") if secret else xml

    def define(self, xml: str) -> None:
        """What is secret in it is kept, and told only to who asks for it."""
        root = ElementTree.fromstring(xml)
        guest = self.guests[root.findtext("name")]
        self.machine.log.append((f"define {guest.name}", ""))
        if self._fault("define") == "lies":
            return
        secrets = root.findall("devices/graphics")
        guest.secret = "".join(ElementTree.tostring(one, encoding="unicode") for one in secrets)
        for one in secrets:
            root.find("devices").remove(one)
        guest.defined = ElementTree.tostring(root, encoding="unicode")

    def attach(self, uuid: str, xml: str) -> None:
        guest = self._running(uuid)
        root = ElementTree.fromstring(xml)
        managed = root.get("managed") == "yes"
        source = root.find("source/address")
        address = source.get("uuid") or "{}:{}:{}.{}".format(
            *(source.get(n).removeprefix("0x") for n in ("domain", "bus", "slot", "function"))
        )
        alias = root.find("alias").get("name")
        self.machine.log.append((f"attach to {guest.name}", address))
        if self._fault("attach") == "lies":
            return
        ours = managed and self.machine.driver(address) != "vfio-pci"
        if ours:
            self.machine.set_driver(address, "vfio-pci")
        self._may_attach(guest, address, alias)
        unassigned = root.find("address[@type='unassigned']") is not None
        asked = root.find("address[@type='pci']")
        bus = None if unassigned else self._free_port(guest)
        if asked is not None:
            bus = int(asked.get("bus"), 16)
        if bus is None and not unassigned:
            raise LibvirtFailure("internal error: No more available PCI slots", INTERNAL_ERROR)
        more = "".join(
            ElementTree.tostring(child, encoding="unicode")
            for child in root
            if child.tag not in ("source", "alias", "address")
        )
        more = "" if self._fault("options") == "dropped" else more
        guest.live[address] = Plugged(address, alias, bus, managed=managed, ours=ours, more=more)
        if not unassigned:
            self._open(guest, address)
        self._count += 1
        self._fault("after attach")

    def detach(self, uuid: str, alias: str) -> None:
        guest = self._running(uuid)
        plugged = next((p for p in guest.live.values() if p.alias == alias), None)
        self.machine.log.append((f"detach from {guest.name}", plugged.address if plugged else alias))
        self._fault("detach")
        if plugged is None:
            raise LibvirtFailure(f"device not found: no device with alias {alias}", DEVICE_MISSING)
        guest.asks += 1
        if plugged.bus is None:
            self._eject(guest, plugged)
            return
        if plugged.function != "0" or plugged.multifunction:
            text = "cannot hot unplug multifunction PCI guest address"
            raise LibvirtFailure(f"operation failed: {text}", OPERATION_FAILED)
        if plugged.bus in guest.hotplug_off:
            raise LibvirtFailure("Hot-unplug failed: unsupported by the port device", INTERNAL_ERROR)
        if plugged.going:
            raise LibvirtFailure(
                "internal error: Device hostdev0 is already in the process of unplug", INTERNAL_ERROR
            )
        plugged.asked = True
        if guest.lets_go != REFUSES and guest.state is DomainState.RUNNING:
            plugged.going = True
            self.machine.at(guest.lets_go, self._eject, guest, plugged)

    def destroy(self, uuid: str) -> None:
        guest = self._running(uuid)
        self.machine.log.append((f"destroy {guest.name}", ""))
        if self._fault("destroy") != "lies":
            self.stop(guest.name)

    # inside

    def _find(self, uuid: str) -> Guest | None:
        return next((guest for guest in self.guests.values() if guest.uuid == uuid), None)

    def _running(self, uuid: str) -> Guest:
        guest = self._find(uuid)
        if guest is None:
            raise LibvirtFailure(f"Domain not found: no domain with matching uuid '{uuid}'", NO_DOMAIN)
        if not guest.active:
            raise LibvirtFailure("Requested operation is not valid: domain is not running", OPERATION_INVALID)
        return guest

    def _may_attach(self, guest: Guest, address: str, alias: str) -> None:
        machine = self.machine
        group = self._group(address)
        if any(plugged.alias == alias for plugged in guest.live.values()):
            raise LibvirtFailure("XML error: non unique alias detected: " + alias, INTERNAL_ERROR)
        for member in (f.address for f in machine.functions.values() if f.group == group):
            bound = machine.driver(member) in (None, "vfio-pci", "pcieport")
            if not bound and not machine.vgpu.is_vgpu(member):
                raise LibvirtFailure(f"group {group} is not viable: {member}", INTERNAL_ERROR)
            for other in self.guests.values():
                if other is not guest and member in other.live:
                    raise LibvirtFailure(
                        f"PCI device {member} is in use by driver QEMU, domain {other.name}",
                        OPERATION_INVALID,
                    )

    def _group(self, address: str) -> int:
        """Of a function, or of a mediated device by its UUID."""
        group = self.machine.groups.get(address)
        return self.machine.vgpu.group(address) if group is None else group

    def _free_port(self, guest: Guest) -> int | None:
        used = {plugged.bus for plugged in guest.live.values()}
        ports = (i for i in range(1, guest.ports + 1) if i not in used and i not in guest.hotplug_off)
        return next(ports, None)

    def _open(self, guest: Guest, address: str) -> None:
        node = f"/dev/vfio/{self._group(address)}"
        if guest.pid not in self.machine.open_by(node):
            self.machine.process("qemu-system-x86", node, guest.pid)

    def _eject(self, guest: Guest, plugged: Plugged) -> None:
        if guest.live.get(plugged.address) is not plugged:
            return
        del guest.live[plugged.address]
        self._count += 1
        group = self._group(plugged.address)
        if not any(
            self._group(p.address) == group and p.bus is not None for p in guest.live.values()
        ) and self.machine.exists(f"/proc/{guest.pid}/fd"):
            node = f"/dev/vfio/{group}"
            if guest.closes:
                self.machine.at(guest.closes, self.machine.lets_go, guest.pid, node)
            else:
                self.machine.lets_go(guest.pid, node)
        if plugged.managed:
            self._back_to_host(plugged)

    def _back_to_host(self, plugged: Plugged) -> None:
        """virHostdevReAttachPCIDevices: what was on vfio-pci before stays there."""
        if plugged.ours:
            path = self.machine.tree.path(plugged.address)
            self.machine.put(f"{path}/driver_override", "(null)\n")
            self.machine.set_driver(plugged.address, self.machine.functions[plugged.address].driver)
            self._fault("given back")

    def _fault(self, call: str) -> object:
        waiting = self.faults.get(call)
        if not waiting:
            return None
        fault = waiting.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return fault() if callable(fault) else fault

    def _xml(self, guest: Guest, live: bool) -> str:
        if not live and guest.defined is not None:
            return guest.defined
        ports = "".join(
            f"<controller type='pci' index='{i}' model='pcie-root-port'>"
            f"<target hotplug='{'off' if i in guest.hotplug_off else 'on'}'/></controller>"
            for i in range(1, guest.ports + 1)
        )
        devices = "".join(_hostdev(p) for p in guest.live.values()) if live else ""
        if not live:
            devices = "".join(_hostdev(Plugged(address, "", None), live=False) for address in guest.config)
        number = f" id='{guest.number}'" if live else ""
        limit = f"<memtune><hard_limit unit='KiB'>{guest.hard_limit}</hard_limit></memtune>"
        numa = f"<numatune><memory mode='strict' nodeset='{guest.numa}'/></numatune>"
        return (
            f"<domain type='kvm'{number}><name>{guest.name}</name><uuid>{guest.uuid}</uuid>"
            f"<metadata>{guest.metadata}</metadata>"
            f"<memory unit='KiB'>{guest.memory}</memory>{limit if guest.hard_limit else ''}"
            f"{numa if guest.numa else ''}"
            f"<os><type arch='x86_64' machine='{guest.machine}'>hvm</type></os>"
            f"<devices><controller type='pci' index='0' model='pcie-root'/>{ports}{devices}</devices>"
            "</domain>"
        )


def _source(address: str, managed: bool) -> str:
    if address.count("-") == 4:
        return f"type='mdev' model='vfio-pci'><source><address uuid='{address}'/></source>"
    domain, bus, rest = address.split(":")
    slot, _, function = rest.partition(".")
    where = f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'"
    told = "yes" if managed else "no"
    return f"type='pci' managed='{told}'><source><address {where}/></source>"


def _hostdev(plugged: Plugged, live: bool = True) -> str:
    if plugged.bus is None:
        guest = "<address type='unassigned'/>"
    else:
        multi = " multifunction='on'" if plugged.multifunction else ""
        guest = (
            f"<address type='pci' domain='0x0000' bus='0x{plugged.bus:02x}' slot='0x00' "
            f"function='0x{plugged.function}'{multi}/>"
        )
    return (
        f"<hostdev mode='subsystem' {_source(plugged.address, plugged.managed)}"
        + (f"{plugged.more}<alias name='{plugged.alias}'/>{guest}" if live else "")
        + "</hostdev>"
    )
