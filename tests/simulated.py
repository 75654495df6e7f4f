"""A simulated machine in memory: reads see its files, writes behave as the kernel's do.

Nothing sleeps: time is `clock`, and every wait moves it on to the next thing that happens.
"""

import errno
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path

import msgspec

from gpupass.engine import journal
from gpupass.errors import GpupassError, NoLibvirt
from gpupass.model.boot import HostFile
from gpupass.store import store_of
from gpupass.store.marks import forget, read_marks
from gpupass.system import Reader, System
from gpupass.system.guarded import Hung
from gpupass.system.holders import CLASSES
from gpupass.system.holders import number_of as disk_number
from gpupass.system.kernel_log import KernelLog
from tests.host_tree import MEM32, MEM64_PREFETCH, MIB, Function
from tests.memory_tree import Link, MemoryTree
from tests.simulated_amd import SimulatedAmd, SimulatedGim
from tests.simulated_intel import SimulatedIntel
from tests.simulated_libvirt import SimulatedLibvirt
from tests.simulated_links import SimulatedLinks
from tests.simulated_sriov import SimulatedSriov
from tests.simulated_systemd import SimulatedSystemd
from tests.simulated_vgpu import MANAGE, SimulatedVgpu

GPU, GPU_AUDIO = "0000:01:00.0", "0000:01:00.1"  # a card of two functions, one group
LONE = "0000:02:00.0"  # a display by itself
ACCEL, USB, SPARE = "0000:03:00.0", "0000:03:01.0", "0000:03:02.0"  # one group, three slots
DISK = "0000:04:00.0"  # the root disk
PF, VF0, VF1 = "0000:05:00.0", "0000:05:10.0", "0000:05:10.2"
NIC = "0000:0a:00.0"  # a PF without VFs, whose can be made
CONSOLE = "0000:06:00.0"  # the boot display
BUS_GPU, BUS_AUDIO = "0000:07:00.0", "0000:07:00.1"  # no reset of their own: their slot's
STUBBORN = "0000:00:08.0"  # in the root complex, no reset at all
NVIDIA = "0000:09:00.0"  # run by the nvidia driver, persistence mode on
DOMAINS = ("vm1", "vm2")

IGB_VFS = (128, 2, "10ca")  # as tests/hosts/lab-sriov has them
_RESIZABLE = 0x7F00  # 256 MiB to 16 GiB
_CARD = ((16 * MIB, MEM32), (256 * MIB, MEM64_PREFETCH))


def _port(slot: int, group: int) -> Function:
    return Function(
        address=f"0000:00:{slot:02x}.0",
        ids="8086:1901",
        class_code=0x060400,
        driver="pcieport",
        group=group,
        reset=None,
    )


PCIE = ("2.5 GT/s PCIe", 1, "2.5 GT/s PCIe", 1)
FUNCTIONS = (
    _port(1, 10),
    Function(
        address=GPU,
        ids="10de:2204",
        class_code=0x030000,
        driver="nouveau",
        group=11,
        parent="0000:00:01.0",
        numa=0,
        bars=_CARD,
        reset="flr bus",
        serial="00-01-02-03-04-05-06-07",
    ),
    Function(
        address=GPU_AUDIO,
        ids="10de:1aef",
        class_code=0x040300,
        driver="snd_hda_intel",
        group=11,
        parent="0000:00:01.0",
        bars=((16 * 1024, MEM32),),
        reset="flr",
    ),
    _port(2, 12),
    Function(
        address=LONE,
        ids="1234:1111",
        class_code=0x038000,
        driver="bochs-drm",
        group=13,
        parent="0000:00:02.0",
        bars=((16 * MIB, MEM64_PREFETCH),),
        reset="pm",
    ),
    _port(3, 14),
    Function(
        address=ACCEL, ids="1da3:1020", class_code=0x120000, driver=None, group=14, parent="0000:00:03.0"
    ),
    Function(
        address=USB,
        ids="1b36:000d",
        class_code=0x0C0330,
        driver="xhci_hcd",
        group=14,
        parent="0000:00:03.0",
    ),
    Function(
        address=SPARE, ids="1b36:0005", class_code=0xFF0000, driver=None, group=14, parent="0000:00:03.0"
    ),
    _port(4, 15),
    Function(
        address=DISK, ids="144d:a808", class_code=0x010802, driver="nvme", group=16, parent="0000:00:04.0"
    ),
    _port(5, 17),
    Function(
        address=PF,
        ids="8086:10c9",
        class_code=0x020000,
        driver="igb",
        group=18,
        parent="0000:00:05.0",
        sriov=(7, 2),
        vf_layout=IGB_VFS,
    ),
    Function(
        address=VF0,
        ids="8086:10ca",
        class_code=0x020000,
        driver="igbvf",
        group=19,
        parent="0000:00:05.0",
        physfn=PF,
        reset="flr",
    ),
    Function(
        address=VF1,
        ids="8086:10ca",
        class_code=0x020000,
        driver="igbvf",
        group=20,
        parent="0000:00:05.0",
        physfn=PF,
        reset="flr",
    ),
    _port(6, 21),
    Function(
        address=CONSOLE,
        ids="1a03:2000",
        class_code=0x030000,
        driver="ast",
        group=22,
        parent="0000:00:06.0",
        boot_vga=True,
    ),
    _port(7, 23),
    Function(
        address=BUS_GPU,
        ids="1002:687f",
        class_code=0x030000,
        driver="amdgpu",
        group=24,
        parent="0000:00:07.0",
        bars=_CARD,
        reset="",
    ),
    Function(
        address=BUS_AUDIO,
        ids="1002:aaf8",
        class_code=0x040300,
        driver="snd_hda_intel",
        group=24,
        parent="0000:00:07.0",
        reset="",
    ),
    Function(address=STUBBORN, ids="1234:11e8", class_code=0x120000, driver=None, group=25, reset=""),
    _port(9, 26),
    Function(
        address=NVIDIA,
        ids="10de:20b5",
        class_code=0x030200,
        driver="nvidia",
        group=27,
        parent="0000:00:09.0",
        bars=_CARD,
        reset="flr",
    ),
    _port(10, 28),
    Function(
        address=NIC,
        ids="8086:10c9",
        class_code=0x020000,
        driver="igb",
        group=29,
        parent="0000:00:0a.0",
        sriov=(7, 0),
        vf_layout=IGB_VFS,
    ),
)


def number_of(node: str) -> tuple[int, int]:
    """Major and minor: a number of the driver's, and of the name."""
    directory, _, name = node.rpartition("/")
    digits = "".join(filter(str.isdigit, name))
    if name.startswith("nvidia"):
        return 195, int(digits or 255)
    return 500 + sorted(CLASSES.values()).index(directory) if directory in CLASSES.values() else 1, int(
        digits or 0
    )


def linked(function: Function) -> Function:
    return replace(function, link=function.link or PCIE)


@cache
def _tree(functions: tuple[Function, ...]) -> MemoryTree:
    tree = MemoryTree()
    tree.kernel()
    tree.iommu()
    for function in functions:
        tree.function(linked(function))
        if function.address == GPU:
            tree.file(f"{tree.path(GPU)}/resource1_resize", f"{_RESIZABLE:016x}\n")
    aliases = {f.ids: f.driver for f in functions if f.driver and f.driver != "pcieport"}
    lines = "".join(
        f"alias pci:v0000{ids[:4].upper()}d0000{ids[5:].upper()}sv*sd*bc*sc*i* {driver.replace('-', '_')}\n"
        for ids, driver in aliases.items()
    )
    tree.file("/lib/modules/6.12.0/modules.alias", lines)
    tree.disk("nvme0n1", tree.path(DISK), "259:0", ("nvme0n1p1",))
    tree.mounts((("259:1", "/", "ext4", "/dev/nvme0n1p1"),))
    tree.file(
        f"/proc/driver/nvidia/gpus/{NVIDIA}/information",
        "GPU UUID: \t GPU-11111111-2222-3333-4444-555555555555\nDevice Minor: \t 0\n",
    )
    tree.link("/proc/1/exe", "/usr/lib/systemd/systemd")
    for path in ("/proc/1/fd/0", "/run/libvirt/libvirt-sock", "/dev/vfio/vfio"):
        tree.file(path, "")
    return tree


_PLATFORM = "/sys/bus/platform/drivers"
_TOLD = {
    "stopped": ("part", "step"),
    "origin": ("driver", "override", "domain"),
    "claim": ("driver", "override", "domain"),
    "quarantine": ("driver", "override", "domain"),
    "vfs": ("autoprobe",),
    "setting": ("part", "before"),
    "vgpu": ("part", "type"),
    "mdev": ("part", "type"),
    "mig": ("instances", "mode"),
}


_NOT_TOLD = {"carrier", "part", "boot_id", "since", "identity", "atoms"}


class SimulatedKernelLog(KernelLog):
    """What the kernel has said since this was opened."""

    def __init__(self, said: list[str]) -> None:
        self._fd = -1
        self._said = said
        self._start = len(said)

    def past(self) -> tuple[str, ...]:
        return tuple(self._said)

    def since(self, address: str, *words: str) -> str:
        lines = [line for line in self._said[self._start :] if any(one in line for one in (address, *words))]
        return lines[-1] if lines else ""


class Machine(System):
    """`log` holds every write and command; `faults` what goes wrong, by (file name, address).

    Only gpupass's own state lies on a disk, in `state`.
    """

    def __init__(self, state: Path, functions: tuple[Function, ...] = FUNCTIONS) -> None:
        super().__init__(state)
        self.root = "/nonexistent"
        self.functions = {function.address: function for function in functions}
        self.seen = set(self.functions)  # whatever was there once
        self.groups = {function.address: function.group for function in functions}  # … and in which group
        self.tree = deepcopy(_tree(functions))
        self.files = self.tree.files
        self.log: list[tuple[str, str]] = []
        self.faults: dict[tuple[str, str], object] = {}
        self.resets: list[str] = []
        self.clock = 1000.0
        self.persistence = True
        self.libvirt_runs = True
        self.modes: dict[str, int] = {}  # of the files below /etc
        self.known: dict[str, object] = {}  # what systemd, udev and the initramfs know of them
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._number = 0
        self._processes = 4000
        self._said: list[str] = []
        self.libvirt = SimulatedLibvirt(self, DOMAINS)
        self.sriov = SimulatedSriov(self)
        self.intel = SimulatedIntel(self)
        self.amd = SimulatedAmd(self)
        self.gim = SimulatedGim(self)
        self.vgpu = SimulatedVgpu(self)
        self.programs: dict[str, Callable[..., None]] = {}  # hooks
        self.systemd = SimulatedSystemd(self)
        self.links = SimulatedLinks(self)

    # what happens to the machine from outside

    def clone(self, state: Path) -> "Machine":
        """The same machine at the same moment, with a life of its own from here on."""
        shared = {id(function): function for function in self.functions.values()}
        twin = deepcopy(self, shared)
        if self.state.exists():
            shutil.copytree(self.state, state)
        twin.state = state
        return twin

    def put(self, path: str, text: str | bytes) -> None:
        self.files.put(path, text.encode() if isinstance(text, str) else text)

    def register_driver(self, driver: str) -> None:
        self.put(f"/sys/bus/pci/drivers/{driver}/bind", "")

    def plug(self, function: Function) -> None:
        """The kernel finds another function, which has no driver yet."""
        self.functions[function.address] = function
        self.seen.add(function.address)
        self.groups[function.address] = function.group
        self.tree.function(replace(linked(function), driver=None))

    def unplug(self, address: str) -> None:
        """It is gone."""
        self.vgpu.gone(address)
        function = self.functions.pop(address)
        group = f"/sys/kernel/iommu_groups/{function.group}"
        self.files.remove(f"/sys/bus/pci/devices/{address}")
        self.files.remove(f"{group}/devices/{address}")
        if not self.names(f"{group}/devices"):
            self.files.remove(group)
            self.files.remove(f"/dev/vfio/{function.group}")
        self.files.remove(self.tree.path(address))

    def replug(self, address: str, **other: object) -> None:
        """Another card is there now: in a slot that was emptied, or by a new count of the buses."""
        function = replace(
            self.functions[address], override=None, **{"serial": None, "driver": None, **other}
        )
        self.unplug(address)
        self.plug(function)
        if function.driver is not None:
            self.register_driver(function.driver)
            self.set_driver(address, function.driver)

    def free_group(self) -> int:
        taken = {function.group for function in self.functions.values()}
        return next(number for number in count() if number not in taken)

    def kernel_says(self, line: str) -> None:
        self._said.append(line)

    def debian(self) -> None:
        """What a Debian host with systemd and initramfs-tools has in the places gpupass writes to."""
        self.put("/etc/os-release", 'ID=debian\nVERSION_ID="13"\n')
        self.put("/run/systemd/system/default.target", "")
        self.put("/usr/share/initramfs-tools/hook-functions", "")
        for directory in (
            "systemd/system/multi-user.target.wants",
            "udev/rules.d",
            "modprobe.d",
            "initramfs-tools/hooks",
        ):
            self.files.put(f"/etc/{directory}", set())
        for reader in (("systemctl", "daemon-reload"), ("udevadm", "control", "--reload")):
            self._reads_settings(reader)
        self._reads_settings(("update-initramfs", "-u", "-k", "all"))

    def process(self, name: str, node: str, pid: int | None = None) -> int:
        """A process that has `node` open."""
        if pid is None:
            self._processes += 1
            pid = self._processes
        self._number += 1
        self.put(f"/proc/{pid}/comm", f"{name}\n")
        self.put(node, "")
        self._tell_number(node)
        self.files.put(f"/proc/{pid}/fd/{self._number}", Link(node))
        return pid

    def _tell_number(self, node: str) -> None:
        """Where the kernel tells of its major and minor."""
        directory, _, name = node.rpartition("/")
        kind = {node: kind for kind, node in CLASSES.items()}.get(directory)
        if kind is not None:
            self.put(f"/sys/class/{kind}/{name}/dev", "{}:{}\n".format(*number_of(node)))
        elif name.startswith("nvidia"):
            self.put("/proc/devices", "Character devices:\n195 nvidia\n\nBlock devices:\n")

    def lets_go(self, pid: int, node: str | None = None) -> None:
        for fd in self.names(f"/proc/{pid}/fd"):
            if node in (None, self.target(f"/proc/{pid}/fd/{fd}")):
                self.files.remove(f"/proc/{pid}/fd/{fd}")

    def open_by(self, node: str) -> list[int]:
        """Who has it open."""
        return [
            int(pid)
            for pid in self.names("/proc")
            if pid.isdecimal()
            and any(self.target(f"/proc/{pid}/fd/{fd}") == node for fd in self.names(f"/proc/{pid}/fd"))
        ]

    def break_config(self, address: str) -> None:
        self.put(f"{self.tree.path(address)}/config", b"\xff" * 256)

    def reboot(self) -> None:
        """Everything that lives in memory only is gone."""
        self.libvirt.stop_all()
        self.put("/proc/sys/kernel/random/boot_id", "0d1e2f30-0000-4000-8000-000000000002\n")
        self.vgpu.reboot()
        self.sriov.reboot()
        for address, function in self.functions.items():
            self.put(f"{self.tree.path(address)}/driver_override", "(null)\n")
            self.set_driver(address, function.driver)

    def at(self, seconds: float, event: Callable[..., None], *arguments: object) -> None:
        """Let something happen `seconds` from now; a bound method, so that a clone gets its own."""
        self._number += 1
        self._events.append((self.clock + seconds, self._number, event, arguments))

    def driver(self, address: str) -> str | None:
        return self.link(f"/sys/bus/pci/devices/{address}/driver")

    def override(self, address: str) -> str | None:
        text = self.read(f"/sys/bus/pci/devices/{address}/driver_override")
        return None if text == "(null)" else text

    def snapshot(self, memory: "Machine | None" = None) -> dict[str, object]:
        """All that gpupass may change, to compare hosts with; what it remembers may be a clone's."""
        return {
            "drivers": {address: self.driver(address) for address in self.functions},
            "overrides": {a: o for a in self.functions if (o := self.override(a)) is not None},
            "vfs": self.sriov.snapshot(),
            "live": {guest.name: sorted(guest.live) for guest in self.libvirt.guests.values()},
            "seen": {guest.name: guest.seen for guest in self.libvirt.guests.values()},
            "links": self.links.snapshot(),
            "settings": {address: self.settings(address) for address in self.functions},
            "how": {guest.name: guest.how for guest in self.libvirt.guests.values()},
            "records": (memory or self).records(),
            "services": self.systemd.snapshot(),
            "screen": self.screen(),
            "etc": self.etc(),
            "known": dict(self.known),
            "parts": self.intel.snapshot() | self.amd.snapshot() | self.gim.snapshot() | self.vgpu.snapshot(),
        }

    def settings(self, address: str) -> tuple[object, ...]:
        path = self.tree.path(address)
        awake = self.driver(address) == "vfio-pci" and self.read(f"{path}/power/control") == "on"
        return self.read(f"{path}/reset_method"), awake, self.read(f"{path}/resource")

    def node_of(self, address: str, kind: str, name: str, number: str = "226:0") -> None:
        """A driver of the host's has made this device file of it."""
        path = f"{self.tree.path(address)}/{kind}/{name}"
        self.put(f"{path}/dev", f"{number}\n")
        self.files.put(f"{path}/device", Link(self.tree.path(address)))
        self.files.put(f"/sys/class/{kind}/{name}", Link(path))

    def draw(self, address: str, console: str = "vtcon1", firmware: str = "") -> None:
        """The kernel's console is on it; `firmware`: the driver of the framebuffer that its firmware left."""
        framebuffer = f"{self.tree.path(address)}/graphics/fb0"
        self.put(f"{framebuffer}/name", "simpledrmdrmfb\n" if firmware else "boot\n")
        self.files.put("/sys/class/graphics/fb0", Link(framebuffer))
        self.put(f"/sys/class/vtconsole/{console}/name", "(M) frame buffer device\n")
        self.put(f"/sys/class/vtconsole/{console}/bind", "1\n")
        if firmware:
            self.put("/proc/iomem", f"e0000000-efffffff : {address}\n  e0000000-e07fffff : BOOTFB\n")
            self.put(f"{_PLATFORM}/{firmware}/{firmware}.0/uevent", "")

    def screen(self) -> dict[str, object]:
        """What the kernel itself draws with."""
        consoles = self.names("/sys/class/vtconsole")
        drivers = self.names(_PLATFORM)
        return {name: self.read(f"/sys/class/vtconsole/{name}/bind") for name in consoles} | {
            driver: [name for name in self.names(f"{_PLATFORM}/{driver}") if "." in name]
            for driver in drivers
        }

    def etc(self, path: str = "/etc") -> dict[str, object]:
        """Every file, link and directory of the host's settings."""
        found: dict[str, object] = {}
        for name in self.names(path):
            here = f"{path}/{name}"
            node = self.files.get(here)
            if self.target(here) is not None:
                found[here] = self.target(here)
            elif isinstance(node, set):
                found |= {here: "directory"} | self.etc(here)
            else:
                found[here] = (self.read(here), self.modes.get(here, 0o644))
        return found

    def records(self) -> dict[str, dict[str, object]]:
        """What gpupass remembers: by tag and carrier, +part; without times, boots, atoms and whose it is."""
        found = {}
        for mark in read_marks(store_of(self)):
            tag, carrier, part = mark.key
            told = msgspec.structs.asdict(mark)
            name = f"{tag} {carrier}{f'+{part}' if part else ''}"
            found[name] = {key: told[key] for key in told.keys() - _NOT_TOLD}
        return found

    def open_journals(self) -> list[str]:
        return [operation.id for operation in journal.open_operations(store_of(self))]

    def forgets(self, kind: str, address: str) -> None:
        """What gpupass remembers of it is lost."""
        forget(store_of(self), (kind, address, ""))

    def touched(self) -> set[str]:
        """The PCI functions that any write was about."""
        return {a for path, value in self.log for a in self.seen if a in path or a in value}

    # the door, as the code under test sees it

    def read_bytes(self, path: str, limit: int = 1 << 24) -> bytes | None:
        node = self.files.get(path)
        return node[:limit] if isinstance(node, bytes) else None

    def opened(self, processes: list[int]) -> list[frozenset[tuple[int, int]]]:
        return [
            frozenset(
                self._number_of(target)
                for fd in self.names(f"/proc/{pid}/fd")
                if (target := self.target(f"/proc/{pid}/fd/{fd}")) is not None
            )
            for pid in processes
        ]

    def _number_of(self, node: str) -> tuple[int, int]:
        """A disk has its own."""
        told = self.read(f"/sys/class/block/{node.rpartition('/')[2]}/dev")
        return disk_number(told, "block") or number_of(node)

    read_many, answers, looking = Reader.read_many, Reader.answers, Reader.looking

    def names(self, path: str) -> tuple[str, ...]:
        node = self.files.get(path)
        return tuple(sorted(node)) if isinstance(node, set) else ()

    def exists(self, path: str) -> bool:
        return self.files.get(path) is not None

    def read_order(self, path: str) -> bytes | None:
        return self.read_bytes(path)

    def why_no_rom(self, path: str) -> str:
        data = self.read_bytes(path)
        return "No such file or directory" if data is None else "" if data[:2] == b"\x55\xaa" else "not 55 AA"

    def target(self, path: str) -> str | None:
        return self.files.target(path)

    def link(self, path: str) -> str | None:
        target = self.target(path)
        return None if target is None else target.rpartition("/")[2]

    def resolve(self, path: str) -> str | None:
        real = self.files.real(path)
        return real if self.files.get(real) is not None else None

    def monotonic(self) -> float:
        return self.clock

    def now(self) -> str:
        start = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=960)
        return (start + timedelta(seconds=int(self.clock))).isoformat(timespec="seconds")

    def user(self) -> str:
        return "root"

    def kernel_log(self) -> KernelLog:
        return SimulatedKernelLog(self._said)

    def watch(self, uri: str | None) -> Callable[[float], None]:
        return lambda seconds: self.advance(min(seconds, 5.0))

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; stop early once `until` holds."""
        end = self.clock + seconds
        while not until():
            due = min((event for event in self._events if event[0] <= end), default=None)
            if due is None:
                self.clock = end
                return
            self._events.remove(due)
            self.clock = max(self.clock, due[0])
            due[2](*due[3])

    def hooks(self) -> tuple[str, ...]:
        return tuple(sorted(self.programs))

    def run_hook(self, path: str, *arguments: str, given: bytes) -> None:
        self.programs[path](*arguments, given)

    def hypervisor(self, uri: str) -> SimulatedLibvirt:
        if not self.libvirt_runs:
            raise NoLibvirt(f"cannot connect to libvirt at {uri}: no such file", "systemctl start libvirtd")
        return self.libvirt

    def _run(self, argv: tuple[str, ...], seconds: float = 60.0) -> str:
        self.log.append((" ".join(argv), ""))
        if argv[0] == "ip":
            return self.links.run(argv)
        if argv[0] == "modprobe" and "gim" in argv and self.gim.gpus:
            self._fault("modprobe", "gim")
            self.gim.modprobe(*argv[1:])
            return ""
        if argv[0] == "modprobe":
            if "vfio" not in argv[-1]:
                raise GpupassError(f"cannot run modprobe: FATAL: Module {argv[-1]} not found")
            self.register_driver(argv[-1])
            self.put(f"/sys/module/{argv[-1].replace('-', '_')}/refcnt", "0\n")
            return ""
        if argv[0] == MANAGE:
            self._fault("sriov-manage", argv[-1])
            self.vgpu.manage(*argv[1:])
            self._fault("after sriov-manage", argv[-1])
            return ""
        if argv[0] == "nvidia-smi" and "--gpu-reset" in argv:
            self._fault("gpu-reset", argv[-1])
            self.vgpu.reset()
            return ""
        if argv[0] == "nvidia-smi":
            if "-pm" in argv:
                self.persistence = argv[-1] == "1"
                return ""
            return "Enabled\n" if self.persistence else "Disabled\n"
        if argv[0] == "systemctl" and argv[1] in ("show", "stop", "start", "restart"):
            self._fault(f"systemctl {argv[1]}", argv[-1])
            return self.systemd.run(argv[1], argv[-1])
        if argv == ("update-grub",):
            self._fault("update-grub", "")
            return ""
        if argv[0] in ("systemctl", "udevadm", "update-initramfs", "dracut"):
            self._fault(argv[0], argv[-1])
            self._reads_settings(argv)
            return ""
        raise GpupassError(f"cannot run {argv[0]}: it is not installed")

    def _reads_settings(self, argv: tuple[str, ...]) -> None:
        match argv:
            case ("systemctl", "enable" | "disable" as verb, unit):
                link = f"/etc/systemd/system/multi-user.target.wants/{unit}"
                self.files.remove(link)
                if verb == "enable":
                    assert "WantedBy=multi-user.target" in (self.read(f"/etc/systemd/system/{unit}") or "")
                    self.files.put(link, Link(f"/etc/systemd/system/{unit}"))
            case ("systemctl", "daemon-reload"):
                self.known["systemd"] = self._settings("/etc/systemd/system/gpupass")
            case ("udevadm", "control", "--reload"):
                self.known["udev"] = self._settings("/etc/udev/")
            case ("update-initramfs", "-u", "-k", "all") | ("dracut", "--force", "--regenerate-all"):
                self.known["initramfs"] = self._settings(
                    "/etc/udev/", "/etc/modprobe.d/", "/etc/initramfs-tools/"
                )
            case _:
                raise AssertionError(f"gpupass ran {argv}")

    def _settings(self, *starts: str) -> dict[str, object]:
        return {
            path: what for path, what in self.etc().items() if path.startswith(starts) and what != "directory"
        }

    def read_file(self, path: str) -> HostFile | None:
        data = self.read_bytes(path)
        if data is None:
            return None
        text = data.decode(errors="surrogateescape")
        return HostFile(path=path, text=text, mode=self.modes.get(path, 0o644))

    def write_file(self, file: HostFile) -> None:
        self._fault("write_file", file.path)
        self.log.append((file.path, file.text))
        self.put(file.path, file.text.encode(errors="surrogateescape"))
        self.modes[file.path] = file.mode

    def remove_file(self, path: str) -> None:
        self._fault("remove_file", path)
        self.log.append((path, "removed"))
        self.files.remove(path)

    def remove_directory(self, path: str) -> None:
        if self.files.get(path) == set():
            self.files.remove(path)

    def vfio_group_is_closed(self, group: int) -> bool | None:
        return not self.open_by(f"/dev/vfio/{group}")

    def _hot_reset(self, group: int, address: str) -> None:
        self.log.append((f"hot reset of group {group}", address))
        self._fault("hot_reset", address)
        members = [f.address for f in self.functions.values() if f.group == group]
        if self.open_by(f"/dev/vfio/{group}") or any(self.driver(m) != "vfio-pci" for m in members):
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.resets += members

    def _write(self, path: str, value: str, seconds: float = 10.0) -> None:
        self.log.append((path, value))
        where, _, name = path.rpartition("/")
        if path.startswith(("/sys/class/vtconsole/", _PLATFORM)):
            self._fault(name, where.rpartition("/")[2])
            if where.startswith(_PLATFORM) and name == "unbind":
                self.files.remove(f"{where}/{value}")
            else:
                self.put(f"{where}/{value}/uevent" if where.startswith(_PLATFORM) else path, f"{value}\n")
            return
        for parts in (self.intel, self.amd, self.gim, self.vgpu):
            if parts.owns(path):
                device = next((a for a in self.functions if f"/{a}/" in path), where.rpartition("/")[2])
                self._fault(name, device)
                parts.store(path, value)
                self._fault(f"after {name}", device)
                return
        address = (
            value if name in ("unbind", "drivers_probe") else where.removesuffix("/power").rpartition("/")[2]
        )
        self._fault(name, address)
        if address not in self.functions:
            raise OSError(errno.ENODEV, "No such device", path)
        match name:
            case "driver_override":
                self.put(path, f"{value.strip() or '(null)'}\n")
            case "unbind":
                self._unbind(address, path)
            case "drivers_probe":
                self._probe(address)
            case "reset":
                if not self.functions[address].reset:
                    raise OSError(errno.ENOTTY, "Inappropriate ioctl for device", path)
                self.resets.append(address)
            case "reset_method":
                offered = (self.functions[address].reset or "").split()
                offered += ["device_specific"] if self.exists("/sys/module/vendor_reset") else []
                if not set(value.split()) <= set(offered):
                    raise OSError(errno.EINVAL, "Invalid argument", path)
                self.put(path, f"{' '.join(value.split())}\n")
            case "control":
                self.put(path, value)
            case "resource1_resize":
                self._resize(address, 1, 1 << 20 + int(value))
            case "sriov_numvfs" if self.sriov.has(address):
                self.sriov.set_number(address, value)
            case "sriov_drivers_autoprobe" if self.sriov.has(address):
                self.sriov.set_autoprobe(address, value)
            case "unbindLock":
                self.put(path, "0\n" if self.open_by("/dev/nvidia0") else "1\n")
            case _:
                raise AssertionError(f"gpupass wrote {value!r} to {path}")
        self._fault(f"after {name}", address)

    def _resize(self, address: str, bar: int, size: int) -> None:
        if self.driver(address) is not None:
            raise OSError(errno.EBUSY, "Device or resource busy")
        path = f"{self.tree.path(address)}/resource"
        lines = (self.read(path) or "").splitlines()
        start, _, flags = lines[bar].split()
        lines[bar] = f"{start} 0x{int(start, 16) + size - 1:016x} {flags}"
        self.put(path, "\n".join(lines) + "\n")

    def _fault(self, name: str, address: str) -> None:
        """An errno, "hang", or something to call; each strikes once, or every time under "always …"."""
        fault = self.faults.pop((name, address), None) or self.faults.get((f"always {name}", address))
        if fault == "hang":
            raise Hung(4242, "vfio_unregister_group_dev")
        if isinstance(fault, int):
            raise OSError(fault, f"errno {fault}", name)
        if callable(fault):
            fault()

    def _unbind(self, address: str, path: str) -> None:
        if self.driver(address) is None or path.split("/")[-3] not in (address, "drivers"):
            raise OSError(errno.ENODEV, "No such device", path)
        group = self.functions[address].group
        users = self.open_by(f"/dev/vfio/{group}") if self.driver(address) == "vfio-pci" else []
        if self.sriov.has(address):
            self.sriov.remove(address)  # igb_remove: igb_disable_sriov
        self.set_driver(address, None)  # the link goes first (__device_release_driver), then .remove runs
        if users:
            raise Hung(4242, "vfio_unregister_group_dev")

    def _probe(self, address: str) -> None:
        if self.driver(address) is not None:
            return
        wanted = self.override(address) or self.functions[address].driver
        group = self.functions[address].group
        owned = self.open_by(f"/dev/vfio/{group}") and wanted != "vfio-pci"
        if wanted and not owned and self.exists(f"/sys/bus/pci/drivers/{wanted}"):
            self.set_driver(address, wanted)

    def set_driver(self, address: str, driver: str | None) -> None:
        path = self.tree.path(address)
        self.files.remove(f"{path}/driver")
        lines = [line for line in (self.read(f"{path}/uevent") or "").splitlines() if "DRIVER=" not in line]
        if driver is not None:
            self.files.put(f"{path}/driver", Link(f"/sys/bus/pci/drivers/{driver}"))
            lines.insert(0, f"DRIVER={driver}")
        self.put(f"{path}/uevent", "\n".join(lines) + "\n")
        self.amd.driver_changed(address, driver)
        self.vgpu.driver_changed(address, driver)
        if driver == "vfio-pci":
            self.put(f"{path}/power/control", "auto\n")  # vfio_pci_core_register_device
            self.put(f"/dev/vfio/{self.functions[address].group}", "")
