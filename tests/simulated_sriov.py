"""The kernel's side of sriov_numvfs and sriov_drivers_autoprobe, simulated (drivers/pci/pci-sysfs.c, iov.c)."""

import errno
from typing import TYPE_CHECKING

from gpupass.system.guarded import Hung
from tests.host_tree import Function

if TYPE_CHECKING:
    from tests.simulated import Machine

VF_DRIVERS = {"igb": "igbvf", "mlx5_core": "mlx5_core", "xe": "xe", "i915": "i915", "nvidia": "nvidia"}


class SimulatedSriov:
    """`fewer`: how many VFs the PF's driver makes at most, by address; once."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.fewer: dict[str, int] = {}

    def no_room(self, pf: str) -> None:
        """As a fault of `sriov_numvfs`: the firmware has left no memory space for the VFs' BARs."""
        self.machine.kernel_says(f"igb {pf}: not enough MMIO resources for SR-IOV")
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def has(self, address: str) -> bool:
        return self.machine.functions[address].sriov is not None

    def set_autoprobe(self, pf: str, value: str) -> None:
        self.machine.put(self._path(pf, "sriov_drivers_autoprobe"), f"{value}\n")

    def set_number(self, pf: str, value: str) -> None:
        """sriov_numvfs_store."""
        count, now = int(value), self.number(pf)
        total, _ = self.machine.functions[pf].sriov
        if not 0 <= count <= total:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if count == now:
            return
        self.machine.vgpu.require_changeable(pf)
        if self.machine.driver(pf) not in VF_DRIVERS:
            self.machine.kernel_says(f"pci {pf}: no driver bound to device; cannot configure SR-IOV")
            raise OSError(errno.ENOENT, "No such file or directory")
        if not count:
            self.remove(pf)
        elif now:
            self.machine.kernel_says(
                f"igb {pf}: {now} VFs already enabled. Disable before enabling {count} VFs"
            )
            raise OSError(errno.EBUSY, "Device or resource busy")
        else:
            self.enable(pf, min(count, self.fewer.pop(pf, count)), VF_DRIVERS[self.machine.driver(pf)])
            self.machine.intel.enabled(pf, count)

    def number(self, pf: str) -> int:
        return int(self.machine.read(self._path(pf, "sriov_numvfs")))

    def vfs(self, pf: str) -> list[str]:
        names = (name for name in self.machine.names(self._path(pf)) if name.startswith("virtfn"))
        ordered = sorted(names, key=lambda name: int(name.removeprefix("virtfn")))
        return [self.machine.link(self._path(pf, name)) for name in ordered]

    def snapshot(self) -> dict[str, tuple[int, bool]]:
        pfs = (address for address, function in self.machine.functions.items() if function.sriov)
        return {
            pf: (self.number(pf), self.machine.read(self._path(pf, "sriov_drivers_autoprobe")) == "1")
            for pf in pfs
        }

    def address(self, pf: str, number: int) -> str:
        offset, stride, _ = self.machine.functions[pf].vf_layout
        bus, rest = int(pf[5:7], 16), pf[8:]
        slot, _, function = rest.partition(".")
        routing_id = (bus << 8 | int(slot, 16) << 3 | int(function)) + offset + number * stride
        return f"{pf[:4]}:{routing_id >> 8:02x}:{routing_id >> 3 & 31:02x}.{routing_id & 7}"

    def reboot(self) -> None:
        """All VFs are gone; a boot script of somebody else's makes those of the beginning again."""
        for pf in [address for address, function in self.machine.functions.items() if function.sriov]:
            self.remove(pf)
            self.set_autoprobe(pf, "1")
            self.machine.set_driver(pf, self.machine.functions[pf].driver)
            self.set_number(pf, str(self.machine.functions[pf].sriov[1]))

    def remove(self, pf: str) -> None:
        """Last first; a VF that VFIO has open is waited for, for ever (vfio_unregister_group_dev)."""
        machine = self.machine
        for vf in reversed(self.vfs(pf)):
            group = machine.functions[vf].group
            lent = machine.driver(vf) == "vfio-pci" or machine.vgpu.is_vgpu(vf)
            if lent and machine.open_by(f"/dev/vfio/{group}"):
                raise Hung(4242, "vfio_unregister_group_dev")
            machine.unplug(vf)
        for name in machine.names(self._path(pf)):
            if name.startswith("virtfn"):
                machine.files.remove(self._path(pf, name))
        machine.put(self._path(pf, "sriov_numvfs"), "0\n")
        machine.intel.removed(pf)

    def enable(self, pf: str, count: int, driver: str | None) -> None:
        """pci_enable_sriov; `driver` is what the kernel would bind them to."""
        machine = self.machine
        function = machine.functions[pf]
        _, _, device = function.vf_layout
        probes = machine.read(self._path(pf, "sriov_drivers_autoprobe")) == "1"
        for number in range(count):
            vf = Function(
                address=self.address(pf, number),
                ids=f"{function.ids.partition(':')[0]}:{device}",
                class_code=function.class_code,
                driver=driver,
                group=machine.free_group(),
                parent=function.parent,
                physfn=pf,
                reset="flr",
                link=function.link,
            )
            machine.plug(vf)
            if probes and driver and machine.exists(f"/sys/bus/pci/drivers/{driver}"):
                machine.set_driver(vf.address, driver)
        machine.put(self._path(pf, "sriov_numvfs"), f"{count}\n")

    def _path(self, pf: str, name: str = "") -> str:
        return f"{self.machine.tree.path(pf)}/{name}".rstrip("/")
