"""Builds the sysfs tree of an invented machine, as far as gpupass and lspci read it."""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

MEM32, MEM64_PREFETCH, IO = 0x40200, 0x14220C, 0x40101
MIB, GIB = 1 << 20, 1 << 30


@dataclass(frozen=True, kw_only=True)
class Function:
    """One PCI function; `acs` None: no such capability, else whether it is switched on."""

    address: str
    ids: str  # "10de:2204"
    class_code: int
    driver: str | None = None
    group: int | None = None
    parent: str | None = None
    subsystem: str = "1043:87af"
    revision: int = 0xA1
    numa: int = -1
    boot_vga: bool | None = None
    bars: tuple[tuple[int, int], ...] = ()  # (size, flags)
    resize: dict[int, int] | None = None
    reset: str | None = "bus"
    link: tuple[str, int, str, int] | None = None
    sriov: tuple[int, int] | None = None  # total, on
    vf_layout: tuple[int, int, str] | None = None  # offset, stride, device id of its VFs
    physfn: str | None = None
    acs: bool | None = None
    serial: str | None = None
    override: str | None = None
    config_size: int = 4096


class HostTree:
    """A directory that grows into a root for System."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: dict[str, str] = {}
        self.domains: list[dict[str, object]] = []

    def file(self, path: str, text: str | bytes) -> None:
        where = self.root / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(text.encode() if isinstance(text, str) else text)

    def link(self, path: str, target: str) -> None:
        """`target` from the root; written as sysfs does: relative, to the real path, its name at the end."""
        where = self.root / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        root = os.path.realpath(self.root)
        parent, _, name = os.path.realpath(f"{root}{target}").rpartition("/")
        where.symlink_to(f"{os.path.relpath(parent, os.path.realpath(where.parent))}/{name}")

    def path(self, address: str) -> str:
        return self._paths[address]

    def function(self, function: Function) -> str:
        """Its path below the root."""
        domain_bus = function.address.rpartition(":")[0]
        above = self._paths[function.parent] if function.parent else f"/sys/devices/pci{domain_bus}"
        path = self._paths[function.address] = f"{above}/{function.address}"
        vendor, device = function.ids.split(":")
        subvendor, subdevice = function.subsystem.split(":")
        self._uevent(path, function)
        texts = {
            "vendor": f"0x{vendor}",
            "device": f"0x{device}",
            "class": f"0x{function.class_code:06x}",
            "revision": f"0x{function.revision:02x}",
            "subsystem_vendor": f"0x{subvendor}",
            "subsystem_device": f"0x{subdevice}",
            "irq": "0",
            "numa_node": str(function.numa),
            "driver_override": function.override or "(null)",
            "resource": _resource(function),
            "power_state": "D0",
            "power/runtime_status": "active",
            "boot_vga": None if function.boot_vga is None else str(int(function.boot_vga)),
            "reset_method": function.reset,
        }
        if function.link:
            names = ("current_link_speed", "current_link_width", "max_link_speed", "max_link_width")
            texts |= {name: str(value) for name, value in zip(names, function.link, strict=True)}
        if function.sriov:
            total, enabled = function.sriov
            texts |= {
                "sriov_totalvfs": str(total),
                "sriov_numvfs": str(enabled),
                "sriov_drivers_autoprobe": "1",
            }
        if function.vf_layout:
            names = ("sriov_offset", "sriov_stride", "sriov_vf_device")
            texts |= {name: str(value) for name, value in zip(names, function.vf_layout, strict=True)}
        for index, bits in (function.resize or {}).items():
            texts[f"resource{index}_resize"] = f"{bits:016x}"
        for name, text in texts.items():
            if text is not None:
                self.file(f"{path}/{name}", f"{text}\n")
        self.file(f"{path}/config", _config(function))
        self._links(path, function)
        return path

    def _uevent(self, path: str, function: Function) -> None:
        vendor, device = function.ids.upper().split(":")
        subvendor, subdevice = function.subsystem.upper().split(":")
        code = f"{function.class_code:06X}"
        alias = (
            f"pci:v0000{vendor}d0000{device}sv0000{subvendor}sd0000{subdevice}"
            f"bc{code[:2]}sc{code[2:4]}i{code[4:]}"
        )
        lines = [f"DRIVER={function.driver}"] if function.driver else []
        lines += [
            f"PCI_CLASS={function.class_code:X}",
            f"PCI_ID={vendor}:{device}",
            f"PCI_SUBSYS_ID={subvendor}:{subdevice}",
            f"PCI_SLOT_NAME={function.address}",
            f"MODALIAS={alias}",
        ]
        self.file(f"{path}/uevent", "".join(f"{line}\n" for line in lines))
        self.file(f"{path}/modalias", f"{alias}\n")

    def _links(self, path: str, function: Function) -> None:
        self.link(f"/sys/bus/pci/devices/{function.address}", path)
        if function.driver:
            self.link(f"{path}/driver", f"/sys/bus/pci/drivers/{function.driver}")
            self.file(f"/sys/bus/pci/drivers/{function.driver}/bind", "")
        if function.group is not None:
            group = f"/sys/kernel/iommu_groups/{function.group}"
            self.link(f"{path}/iommu_group", group)
            self.link(f"{group}/devices/{function.address}", path)
        if function.physfn:
            above = self._paths[function.physfn]
            self.link(f"{path}/physfn", above)
            number = sum(1 for name in (self.root / above[1:]).iterdir() if name.name.startswith("virtfn"))
            self.link(f"{above}/virtfn{number}", path)

    def iommu(self, unit: str = "dmar0", remapping: bool = True) -> None:
        self.file(f"/sys/devices/virtual/iommu/{unit}/uevent", "")
        self.link(f"/sys/class/iommu/{unit}", f"/sys/devices/virtual/iommu/{unit}")
        self.file("/proc/interrupts", "IR-PCI-MSI\n" if remapping else "PCI-MSI\n")

    def slot(self, name: str, address: str) -> None:
        self.file(f"/sys/bus/pci/slots/{name}/address", f"{address.rpartition('.')[0]}\n")

    def disk(self, name: str, below: str, number: str, partitions: tuple[str, ...] = ()) -> None:
        """A block device of the function, with partitions numbered on."""
        path = f"{below}/block/{name}"
        major, _, minor = number.partition(":")
        for offset, block in enumerate((name, *partitions)):
            where = path if block == name else f"{path}/{block}"
            dev = f"{major}:{int(minor) + offset}"
            self.file(f"{where}/dev", f"{dev}\n")
            if block != name:
                self.file(f"{where}/partition", f"{offset}\n")
            self.link(f"/sys/class/block/{block}", where)
            self.link(f"/sys/dev/block/{dev}", where)

    def mapper(self, name: str, label: str, number: str, slaves: tuple[str, ...], kind: str = "") -> None:
        """`kind` begins its uuid: LVM, CRYPT, mpath."""
        path = f"/sys/devices/virtual/block/{name}"
        self.file(f"{path}/dev", f"{number}\n")
        if label:
            self.file(f"{path}/dm/name", f"{label}\n")
        if kind:
            self.file(f"{path}/dm/uuid", f"{kind}-0123456789abcdef\n")
        for slave in slaves:
            self.link(f"{path}/slaves/{slave}", f"/sys/class/block/{slave}")
            self.link(f"/sys/class/block/{slave}/holders/{name}", path)
        self.link(f"/sys/class/block/{name}", path)
        self.link(f"/sys/dev/block/{number}", path)

    def interface(
        self,
        name: str,
        below: str | None,
        lower: tuple[str, ...] = (),
        *,
        kind: str = "",
        master: bool = False,
        switch: str = "",
    ) -> None:
        """`kind` is its DEVTYPE; with `master` those below are its members, otherwise it stands on them."""
        path = f"{below}/net/{name}" if below else f"/sys/devices/virtual/net/{name}"
        self.file(f"{path}/operstate", "up\n")
        self.file(f"{path}/uevent", "".join((f"DEVTYPE={kind}\n" if kind else "", f"INTERFACE={name}\n")))
        if switch:
            self.file(f"{path}/phys_switch_id", f"{switch}\n")
        self.link(f"/sys/class/net/{name}", path)
        if below:
            self.link(f"{path}/device", below)
        for each in lower:
            self.link(f"{path}/lower_{each}", f"/sys/class/net/{each}")
            self.link(f"/sys/class/net/{each}/upper_{name}", f"/sys/class/net/{name}")
            if master:
                self.link(f"/sys/class/net/{each}/master", f"/sys/class/net/{name}")
            if kind == "bridge":
                self.link(f"/sys/class/net/{each}/brport/bridge", f"/sys/class/net/{name}")

    def mounts(self, lines: tuple[tuple[str, str, str, str], ...], swaps: tuple[str, ...] = ()) -> None:
        """(number, where, type, source)."""
        rows = [
            f"{20 + index} 1 {number} / {where} rw - {kind} {source} rw\n"
            for index, (number, where, kind, source) in enumerate(lines)
        ]
        self.file("/proc/self/mountinfo", "".join(rows))
        head = "Filename Type Size Used Priority\n"
        self.file("/proc/swaps", head + "".join(f"{swap} partition 8388604 0 -2\n" for swap in swaps))

    def default_route(self, interface: str) -> None:
        head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        self.file("/proc/net/route", f"{head}{interface} 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n")

    def domain(self, name: str, live: str = "", config: str = "", state: str = "running") -> None:
        """A domain with these elements below <devices>; what starts with `^` stands beside them."""
        number = len(self.domains) + 1
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        facts = {"uuid": uuid, "state": state, "autostart": False, "job": None, "resident": None}
        self.domains.append({"name": name, **facts})
        for side, devices in (
            ("live", live if state in ("running", "paused") else ""),
            ("config", config or live),
        ):
            if devices:
                self.file(f"/gpupass/domains/{uuid}.{side}.xml", domain_text(name, uuid, devices))
        self.answers("domains", {"domains": self.domains, "unseen": []})

    def answers(self, name: str, data: object) -> None:
        """What is no file of the kernel: gpupass/<name>.json."""
        self.file(f"/gpupass/{name}.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def kernel(self, release: str = "6.12.0") -> None:
        self.file("/proc/sys/kernel/osrelease", f"{release}\n")
        self.file("/proc/sys/kernel/random/boot_id", "0d1e2f30-0000-4000-8000-000000000001\n")
        self.file("/proc/meminfo", "MemTotal: 65830220 kB\nMemAvailable: 60000000 kB\n")


def _resource(function: Function) -> str:
    lines, base = [], 0x4000000000
    for size, flags in function.bars:
        base = (base + size - 1) // size * size if size else base
        lines.append(f"0x{base:016x} 0x{base + size - 1:016x} 0x{flags:016x}" if size else _NO_BAR)
        base += size
    return "\n".join(lines + [_NO_BAR] * (7 - len(lines)))


_NO_BAR = "0x0000000000000000 0x0000000000000000 0x0000000000000000"


def _config(function: Function) -> bytes:
    vendor, device = (int(part, 16) for part in function.ids.split(":"))
    subvendor, subdevice = (int(part, 16) for part in function.subsystem.split(":"))
    data = bytearray(function.config_size)
    bridge = function.class_code >> 8 == 0x0604
    struct.pack_into("<HHHH", data, 0, vendor, device, 0x0007, 0x0010)
    struct.pack_into("<I", data, 8, function.class_code << 8 | function.revision)
    data[14] = int(bridge)
    if not bridge:
        struct.pack_into("<HH", data, 0x2C, subvendor, subdevice)
    capabilities = []
    if function.acs is not None:
        capabilities.append((0x000D, struct.pack("<HH", 0x1F, 0x1D if function.acs else 0)))
    if function.serial:
        capabilities.append((0x0003, bytes.fromhex(function.serial.replace("-", ""))[::-1]))
    offset = 0x100
    for index, (identity, body) in enumerate(capabilities):
        following = offset + 0x20 if index + 1 < len(capabilities) else 0
        struct.pack_into("<I", data, offset, identity | 1 << 16 | following << 20)
        data[offset + 4 : offset + 4 + len(body)] = body
        offset += 0x20
    return bytes(data[: max(256, offset)] if function.config_size == 4096 else data)


def domain_text(name: str, uuid: str, devices: str) -> str:
    devices, _, beside = devices.partition("^")
    schema = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'" if "qemu:" in beside else ""
    return (
        f"<domain type='kvm'{schema}><name>{name}</name><uuid>{uuid}</uuid><memory unit='KiB'>4194304</memory>"
        "<os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os><devices>"
        "<controller type='pci' index='0' model='pcie-root'/>"
        "<controller type='pci' index='1' model='pcie-root-port'/>"
        f"{devices}</devices>{beside}</domain>"
    )
