"""amdgpu's partitions and GIM, simulated: what they take and refuse, and what a driver that goes does to a hive.

Sources: aqua_vanjaram.c, amdgpu_gfx.c, amdgpu_gmc.c, amdgpu_xgmi.c; MxGPU-Virtualization, gim_config.c, gim_monitor.c.
"""

import errno
import re
from typing import TYPE_CHECKING

from gpupass.errors import GpupassError
from tests.host_tree import Function

if TYPE_CHECKING:
    from tests.simulated import Machine

HIVE = tuple(f"0000:{bus}:00.0" for bus in ("21", "22", "23"))
GIMS = ("0000:31:00.0", "0000:32:00.0")
HIVE_FUNCTIONS = tuple(
    Function(address=a, ids="1002:74a1", class_code=0x120000, driver="amdgpu", group=80 + n, reset="bus")
    for n, a in enumerate(HIVE)
)
GIM_FUNCTIONS = tuple(
    Function(
        address=a,
        ids="1002:74a1",
        class_code=0x120000,
        driver="gim",
        group=90 + n,
        reset="bus",
        sriov=(8, 0),
        vf_layout=(16, 1, "74b5"),
    )
    for n, a in enumerate(GIMS)
)
COUNTS = {"SPX": 1, "DPX": 2, "QPX": 4, "CPX": 8}
VALID = {"NPS1": ("SPX", "DPX", "QPX", "CPX"), "NPS4": ("QPX", "CPX")}
_AUTO = {"NPS1": "SPX", "NPS4": "CPX"}


class SimulatedAmd:
    """A hive of MI300X. `in_reset`: EPERM; `stubborn`: the firmware keeps the memory mode it has."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.gpus: tuple[str, ...] = ()
        self.memory: dict[str, str] = {}
        self.compute: dict[str, str] = {}
        self.asked: str | None = None  # recorded by the driver, while it has any of the hive
        self.pending: str | None = None  # told to the firmware
        self.in_reset = False
        self.stubborn = False

    def install(self, gpus: tuple[str, ...] = HIVE) -> None:
        self.gpus = gpus
        for gpu in gpus:
            self.memory[gpu], self.compute[gpu] = "NPS1", "SPX"
            self._show(gpu)

    def owns(self, path: str) -> bool:
        return path.endswith(("/current_compute_partition", "/current_memory_partition"))

    def store(self, path: str, text: str) -> None:
        gpu, _, name = path.removeprefix("/sys/bus/pci/devices/").partition("/")
        if self.machine.read(path) is None:
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if name == "current_memory_partition":
            if text not in VALID:
                raise OSError(errno.EINVAL, "Invalid argument", path)
            if text != self.memory[gpu]:
                self.asked = text
            return
        if text not in COUNTS:
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if self.in_reset:
            raise OSError(errno.EPERM, "Operation not permitted", path)
        if text not in VALID[self.memory[gpu]]:
            self.machine.kernel_says(
                f"amdgpu {gpu}: amdgpu: Invalid compute partition mode requested, requested: {text}"
            )
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if self.machine.open_by("/dev/kfd"):
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        self.compute[gpu] = text
        self._show(gpu)

    def driver_changed(self, gpu: str, driver: str | None) -> None:
        if gpu not in self.gpus:
            return
        if driver != "amdgpu":
            if self.asked is not None and self.asked != self.memory[gpu]:
                self.pending = None if self.stubborn else self.asked
            self.asked = None
            self._hide(gpu)
            return
        self._show(gpu)
        if self.pending and all(self.machine.driver(one) == "amdgpu" for one in self.gpus):
            for one in self.gpus:
                self.memory[one], self.compute[one] = self.pending, _AUTO[self.pending]
                self._show(one)
            self.pending = None

    def snapshot(self) -> dict[str, object]:
        return {gpu: (self.memory[gpu], self.compute[gpu]) for gpu in self.gpus} | (
            {"asked": self.asked} if self.asked is not None else {}
        )

    def _show(self, gpu: str) -> None:
        for name, text in {
            "current_compute_partition": self.compute[gpu],
            "available_compute_partition": ", ".join(VALID[self.memory[gpu]]),
            "current_memory_partition": self.memory[gpu],
            "available_memory_partition": ", ".join(VALID),
            "xgmi_hive_info/xgmi_hive_id": "77",
        }.items():
            self.machine.put(f"{self.machine.tree.path(gpu)}/{name}", f"{text}\n")
        place = self.gpus.index(gpu) * 8
        for part in range(8):
            path = f"/sys/class/kfd/kfd/topology/nodes/{place + part}"
            if part < COUNTS[self.compute[gpu]]:
                location = part << 28 | int(gpu[5:7], 16) << 8
                self.machine.put(
                    f"{path}/properties",
                    f"simd_count 304\nlocation_id {location}\ndomain 0\ndrm_render_minor {128 + place + part}\n",
                )
            elif self.machine.exists(path):
                self.machine.files.remove(path)

    def _hide(self, gpu: str) -> None:
        path = self.machine.tree.path(gpu)
        for name in self.machine.names(path):
            if name.endswith("_partition") or name == "xgmi_hive_info":
                self.machine.files.remove(f"{path}/{name}")


class SimulatedGim:
    """`deaf`: a write is taken and does nothing, as GIM's store functions do when the firmware says no."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.gpus: tuple[str, ...] = ()
        self.deaf = False

    def install(self, gpus: tuple[str, ...] = GIMS) -> None:
        self.gpus = gpus
        self._load("")

    def owns(self, path: str) -> bool:
        return path.endswith("/memory_partition_mode")

    def store(self, path: str, text: str) -> None:
        if text not in ("NPS1", "NPS2", "NPS4", "NPS8"):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if not self.deaf:
            self.machine.put(path, f"memory_partition_mode: {text}\nnuma_count: {text[3:]}\n")

    def modprobe(self, *argv: str) -> None:
        """`-r -- gim`, or `-- gim vf_num=8,1`; the options of /etc/modprobe.d come first."""
        if "-r" in argv:
            for gpu in self.gpus:
                for vf in self.machine.sriov.vfs(gpu):
                    if self.machine.open_by(f"/dev/vfio/{self.machine.functions[vf].group}"):
                        raise GpupassError("cannot run modprobe: it does not end")
                self.machine.sriov.remove(gpu)
                self.machine.set_driver(gpu, None)
                for name in ("memory_partition_mode", "spatial_partition_mode"):
                    self.machine.files.remove(f"{self.machine.tree.path(gpu)}/{name}")
            self.machine.files.remove("/sys/module/gim")
            return
        files = (
            self.machine.read(f"/etc/modprobe.d/{name}") or ""
            for name in self.machine.names("/etc/modprobe.d")
        )
        words = [*"\n".join(files).split(), *argv]
        given = [word.partition("=")[2] for word in words if word.startswith("vf_num=")]
        self._load(given[-1] if given else "")

    def _load(self, counts: str) -> None:
        self.machine.put("/sys/module/gim/parameters/vf_num", f"{counts}\n")
        self.machine.register_driver("gim")
        numbers = [int(number) for number in re.findall(r"\d+", counts)] or [1]
        for place, gpu in enumerate(self.gpus):
            count = numbers[min(place, len(numbers) - 1)]
            self.machine.set_driver(gpu, "gim")
            self.machine.sriov.enable(gpu, count, None)
            path = self.machine.tree.path(gpu)
            self.machine.put(
                f"{path}/spatial_partition_mode", {1: "SPX\n", 8: "CPX\n"}.get(count, "UNKNOWN\n")
            )
            self.machine.put(f"{path}/memory_partition_mode", "memory_partition_mode: NPS1\nnuma_count: 1\n")

    def snapshot(self) -> dict[str, object]:
        return {
            gpu: (
                self.machine.sriov.number(gpu),
                self.machine.read(f"{self.machine.tree.path(gpu)}/memory_partition_mode"),
            )
            for gpu in self.gpus
        }
