"""The shares of an Intel GPU's functions, simulated: what xe and i915 take, round, refuse and take back.

Sources: Documentation/ABI/testing/sysfs-driver-intel-xe-sriov, xe_gt_sriov_pf_config.c; that memory does not
change under a VF is i915's rule, and the one that holds everywhere.
"""

import errno
import re
from typing import TYPE_CHECKING

from tests.host_tree import Function

if TYPE_CHECKING:
    from tests.simulated import Machine

CARD = "0000:0b:00.0"
VFS = tuple(f"0000:0b:00.{number}" for number in range(1, 5))
GIB, GRAIN = 1 << 30, 2 << 20
MEMORY = 24 * GIB
QUOTAS = ("vram_quota", "lmem_quota")
FUNCTIONS = (
    Function(
        address="0000:00:0b.0", ids="8086:a70d", class_code=0x060400, driver="pcieport", group=70, reset=None
    ),
    Function(
        address=CARD,
        ids="8086:e211",
        class_code=0x030000,
        driver="xe",
        group=71,
        parent="0000:00:0b.0",
        reset="flr bus",
        sriov=(4, 0),
        vf_layout=(1, 1, "e211"),
    ),
)


class SimulatedIntel:
    """`interface`: sysfs, debugfs or prelim_iov. `locked`: the firmware takes no change (EPERM)."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.interface = ""
        self.locked = False

    def install(self, interface: str) -> None:
        self.interface = interface
        for function in ("pf", *(f"vf{number}" for number in range(1, 5))):
            for directory in self._directories(function):
                self._put(directory, "exec_quantum_ms", 0)
                self._put(directory, "preempt_timeout_us", 0)
            if function != "pf":
                self._put(self._directories(function)[0], self._quota(), 0)
        if self._auto():
            self.machine.put(self._auto(), "1\n")

    def owns(self, path: str) -> bool:
        return re.search(r"/(sriov_admin|gt\d*|auto_provisioning)(/|$)", path) is not None

    def store(self, path: str, text: str) -> None:
        name = path.rpartition("/")[2]
        if self.machine.read(path) is None:
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if not text.isdecimal():
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if self.locked:
            raise OSError(errno.EPERM, "Operation not permitted", path)
        value = int(text)
        if name == "auto_provisioning":
            if value and any(self.quotas()):
                raise OSError(errno.EBUSY, "Device or resource busy", path)
        elif name in QUOTAS:
            value = -(-value // GRAIN) * GRAIN
            self._check_quota(path, value)
            if value and self._auto():
                self.machine.put(self._auto(), "0\n")
        self.machine.put(path, f"{value}\n")

    def _check_quota(self, path: str, value: int) -> None:
        if self.machine.sriov.number(CARD):
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        others = sum(self.quotas()) - int(self.machine.read(path))
        if others + value > MEMORY:
            self.machine.kernel_says(f"xe {CARD}: GT0: PF: Failed to provision VF with {value} bytes of LMEM")
            raise OSError(errno.EIO, "Input/output error", path)

    def enabled(self, pf: str, count: int) -> None:
        """VFs that nobody has set memory aside for share it evenly."""
        if not self.has(pf):
            return
        if not any(self.quotas()) and (not self._auto() or self.machine.read(self._auto()) == "1"):
            for number in range(1, count + 1):
                self._put(
                    self._directories(f"vf{number}")[0], self._quota(), MEMORY // count // GRAIN * GRAIN
                )

    def removed(self, pf: str) -> None:
        """xe forgets all; i915 the memory that it had shared by itself."""
        if not self.has(pf):
            return
        for number in range(1, 5):
            directories = self._directories(f"vf{number}")
            if not self._auto() or self.machine.read(self._auto()) == "1":
                self._put(directories[0], self._quota(), 0)
            for directory in directories if not self._auto() else ():
                self._put(directory, "exec_quantum_ms", 0)
                self._put(directory, "preempt_timeout_us", 0)

    def has(self, pf: str) -> bool:
        return bool(self.interface) and pf == CARD

    def quotas(self) -> list[int]:
        return [
            int(self.machine.read(f"{self._directories(f'vf{number}')[0]}/{self._quota()}"))
            for number in range(1, 5)
        ]

    def shares(self, vf: int) -> tuple[int, int, int]:
        """Of virtual function `vf`, as PCI counts them."""
        directory = self._directories(f"vf{vf + 1}")[-1]
        quantum, timeout = (
            int(self.machine.read(f"{directory}/{name}"))
            for name in ("exec_quantum_ms", "preempt_timeout_us")
        )
        return quantum, timeout, self.quotas()[vf]

    def snapshot(self) -> dict[str, str]:
        if not self.interface:
            return {}
        found = {}
        for function in ("pf", "vf1", "vf2", "vf3", "vf4"):
            for directory in self._directories(function):
                for name in self.machine.names(directory):
                    found[f"{directory}/{name}"] = self.machine.read(f"{directory}/{name}")
        return found | ({self._auto(): self.machine.read(self._auto())} if self._auto() else {})

    def _directories(self, function: str) -> tuple[str, ...]:
        device = self.machine.tree.path(CARD)
        return {
            "sysfs": (f"{device}/sriov_admin/{function}/profile",),
            "debugfs": tuple(f"/sys/kernel/debug/dri/{CARD}/{gt}/{function}" for gt in ("gt0", "gt1")),
            "prelim_iov": (f"{device}/drm/card1/prelim_iov/{function}/gt",),
        }[self.interface]

    def _quota(self) -> str:
        return "vram_quota" if self.interface == "sysfs" else "lmem_quota"

    def _auto(self) -> str:
        iov = f"{self.machine.tree.path(CARD)}/drm/card1/prelim_iov"
        return f"{iov}/pf/auto_provisioning" if self.interface == "prelim_iov" else ""

    def _put(self, directory: str, name: str, value: int) -> None:
        self.machine.put(f"{directory}/{name}", f"{value}\n")
