"""QEMU's `query-pci` answer → the memory window of each of a domain's ports; pure."""

from typing import Any

from msgspec.structs import replace

from gpupass.model.domain import Domain, Port


def with_windows(domain: Domain, answer: Any) -> Domain:
    """The domain with what its guest's firmware left free behind each port (QEMU qapi/pci.json)."""
    windows = dict(_bridges(answer or ()))
    return replace(domain, ports=tuple(_with_window(port, windows) for port in domain.ports))


def _with_window(port: Port, windows: dict[str, tuple[int, int]]) -> Port:
    found = windows.get(f"pci.{port.index}")  # libvirt's alias of the controller
    if found is None:
        return port
    return replace(port, memory_window=found[0], prefetchable_window=found[1])


def _bridges(buses: Any) -> list[tuple[str, tuple[int, int]]]:
    found = []
    for bus in buses:
        for device in bus.get("devices", ()):
            bridge = device.get("pci_bridge")
            if bridge is None:
                continue
            inside = bridge.get("bus", {})
            window = (_length(inside.get("memory_range")), _length(inside.get("prefetchable_range")))
            found.append((str(device.get("qdev_id", "")), window))
            found.extend(_bridges([bridge]))
    return found


def _length(span: Any) -> int:
    """A closed window has its limit below its base."""
    return max(0, int(span["limit"]) - int(span["base"]) + 1) if span else 0
