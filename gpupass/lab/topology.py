"""Topologies: which stand-in devices the lab machine has and where; read from small TOML files, pure."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gpupass.errors import GpupassError, Usage

FOLDER = Path(__file__).parent / "topologies"
# Their state cannot be saved (QEMU marks them unmigratable).
_UNSAVABLE = ("nvme",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    id: str
    model: str
    options: tuple[str, ...] = ()
    late: bool = False
    stateless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A PCIe root port; its devices share one slot, or sit each behind a port of a switch."""

    devices: tuple[Device, ...] = ()
    acs: bool = True
    switch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """A QEMU object that is no device of the machine, such as an NVMe subsystem."""

    model: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    name: str
    description: str
    ports: tuple[Port, ...]
    support: tuple[Support, ...] = ()
    root: str = "virtio"
    route: str | None = None
    boot_display: bool = False
    modules: tuple[str, ...] = ()
    blacklist: tuple[str, ...] = ()
    memory: str = "3G"
    digest: str = ""

    @property
    def late(self) -> tuple[tuple[int, Device], ...]:
        """Devices plugged in after boot or restore, each with the number of its port."""
        return tuple((n, d) for n, port in enumerate(self.ports) for d in port.devices if d.late)

    @property
    def stateless(self) -> tuple[tuple[int, Device], ...]:
        """Devices QEMU saves nothing of, each with the number of its port."""
        return tuple((n, d) for n, port in enumerate(self.ports) for d in port.devices if d.stateless)

    def why_no_snapshot(self, *, with_late: bool) -> str | None:
        """None when the machine can be saved, else the reason."""
        if self.root == "nvme":
            return f"topology {self.name} has its root disk on NVMe, and QEMU cannot save an NVMe controller"
        for port in self.ports:
            for device in port.devices:
                if device.model in _UNSAVABLE and (with_late or not device.late):
                    return f"QEMU cannot save {device.id} ({device.model})"
        return None


class _Reader:
    """Takes typed values out of one table and complains about what it does not know."""

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, dict):
            raise GpupassError(f"cannot read {where}: a table is expected")
        self._table = dict(table)
        self._where = where

    def text(self, key: str, default: str | None = None) -> str:
        value = self._table.pop(key, default)
        if not isinstance(value, str):
            raise GpupassError(f"cannot read {self._where}: {key!r} must be a text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._table.pop(key, default)
        if not isinstance(value, bool):
            raise GpupassError(f"cannot read {self._where}: {key!r} must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._table.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise GpupassError(f"cannot read {self._where}: {key!r} must be a list of texts")
        return tuple(values)

    def tables(self, key: str) -> tuple[_Reader, ...]:
        values = self._table.pop(key, [])
        if not isinstance(values, list):
            raise GpupassError(f"cannot read {self._where}: [[{key}]] is expected")
        return tuple(_Reader(value, f"{self._where}, {key} {n + 1}") for n, value in enumerate(values))

    def table(self, key: str) -> _Reader | None:
        value = self._table.pop(key, None)
        return None if value is None else _Reader(value, f"{self._where}, {key}")

    def end(self) -> None:
        if self._table:
            raise GpupassError(f"cannot read {self._where}: unknown key {sorted(self._table)[0]!r}")


def parse(text: str, name: str) -> Topology:
    where = f"topology {name}"
    try:
        reader = _Reader(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise GpupassError(f"cannot read {where}: {error}") from error
    route = reader.table("route")
    topology = Topology(
        name=name,
        description=reader.text("description"),
        ports=tuple(_port(port) for port in reader.tables("port")),
        support=tuple(_support(support) for support in reader.tables("support")),
        root=reader.text("root", "virtio"),
        route=None if route is None else route.text("model"),
        boot_display=reader.flag("boot_display", False),
        modules=reader.texts("modules"),
        blacklist=reader.texts("blacklist"),
        memory=reader.text("memory", "3G"),
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
    for table in (route, reader):
        if table is not None:
            table.end()
    _check(topology, where)
    return topology


def _port(reader: _Reader) -> Port:
    port = Port(
        devices=tuple(_device(device) for device in reader.tables("device")),
        acs=reader.flag("acs", True),
        switch=reader.flag("switch", False),
    )
    reader.end()
    return port


def _device(reader: _Reader) -> Device:
    device = Device(
        id=reader.text("id"),
        model=reader.text("model"),
        options=reader.texts("options"),
        late=reader.flag("late", False),
        stateless=reader.flag("stateless", False),
    )
    reader.end()
    return device


def _support(reader: _Reader) -> Support:
    support = Support(model=reader.text("model"), options=reader.texts("options"))
    reader.end()
    return support


def _check(topology: Topology, where: str) -> None:
    if topology.root not in ("virtio", "nvme"):
        raise GpupassError(f"cannot read {where}: root must be 'virtio' or 'nvme'")
    if not re.fullmatch(r"[1-9][0-9]*[MG]", topology.memory):
        raise GpupassError(f"cannot read {where}: memory must look like '3G' or '512M'")
    seen: set[str] = set()
    for port in topology.ports:
        special = any(device.late or device.stateless for device in port.devices)
        if special and (len(port.devices) > 1 or port.switch):
            raise GpupassError(f"cannot read {where}: a late or stateless device needs a port of its own")
        for device in port.devices:
            if not re.fullmatch(r"[a-z][a-z0-9-]*", device.id) or device.id in seen:
                raise GpupassError(f"cannot read {where}: {device.id!r} is no id of its own")
            seen.add(device.id)


def names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> Topology:
    if name not in names():
        raise Usage(
            f"cannot find topology {name!r}: known are {', '.join(names())}", "gpupass lab topologies"
        )
    return parse((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), name)
