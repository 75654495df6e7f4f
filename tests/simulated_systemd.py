"""Services that hold device files while they run: systemd stops and starts them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError
from tests.memory_tree import Link

if TYPE_CHECKING:
    from tests.simulated import Machine


@dataclass
class Service:
    """`nodes`: what it opens when it starts, by the address of the device, where a host driver has that."""

    unit: str
    name: str
    nodes: dict[str, str]
    active: bool = True
    pids: list[int] = field(default_factory=list)
    lasts: float = 0.0  # seconds that its processes live on when it has been stopped
    breaks: str = ""  # "stop" or "start" fails
    there: bool = True
    socket: str = ""  # the unit that starts it again at once, as a client knocks all the time


class SimulatedSystemd:
    """Only what gpupass asks of it."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.services: dict[str, Service] = {}

    def add(self, unit: str, name: str, nodes: dict[str, str]) -> Service:
        service = self.services[unit] = Service(unit, name, nodes)
        self._open(service)
        return service

    def display_manager(self, unit: str, nodes: dict[str, str]) -> Service:
        self.machine.files.put(
            "/etc/systemd/system/display-manager.service", Link(f"/lib/systemd/system/{unit}")
        )
        return self.add(unit, "Xorg", nodes)

    def socket(self, unit: str, service: Service) -> Service:
        service.socket = unit
        return self.add(unit, "", {})

    def run(self, verb: str, unit: str) -> str:
        if unit not in self.services and self.machine.exists(f"/etc/systemd/system/{unit}"):
            self.services[unit] = Service(unit, unit, {}, active=False)
        service = self.services.get(unit)
        if verb == "show":
            loaded = service is not None and service.there
            active = service is not None and service.active
            return (
                f"LoadState={'loaded' if loaded else 'not-found'}\nActiveState={'active' if active else 'inactive'}\n"
                f"TriggeredBy={service.socket if service is not None else ''}\n"
            )
        assert service is not None, f"gpupass would {verb} {unit}"
        if service.breaks == verb:
            raise GpupassError(f"cannot run systemctl: Job for {unit} failed.", f"systemctl {verb} {unit}")
        if verb == "stop" and service.active:
            service.active = False
            self.machine.at(service.lasts, self.gone, unit)
            self.machine.advance(0.1)
            if service.socket and self.services[service.socket].active:
                self.run("start", unit)
        elif verb in ("start", "restart") and not service.active:
            started = [one for one in self.services.values() if one.socket == unit and one.active]
            assert not started, "systemd refuses a socket whose service runs already"
            service.active = True
            self._open(service)
        return ""

    def gone(self, unit: str) -> None:
        service = self.services[unit]
        for pid in service.pids:
            self.machine.files.remove(f"/proc/{pid}")
        service.pids = []

    def snapshot(self) -> dict[str, bool]:
        return {unit: service.active for unit, service in self.services.items()}

    def _open(self, service: Service) -> None:
        for address, node in service.nodes.items():
            if (self.machine.driver(address) or "vfio").startswith("vfio"):
                continue
            pid = self.machine.process(service.name, node)
            self.machine.put(f"/proc/{pid}/cgroup", f"0::/system.slice/{service.unit}\n")
            service.pids.append(pid)
