"""What is read of a host's ground, from files as they lie there."""

from pathlib import Path

import pytest

from gpupass.model.ground import ModuleOption
from gpupass.observe.ground.functions import read_functions
from gpupass.observe.ground.machine import read_cpu, read_firmware, read_kernel, read_memory
from gpupass.observe.ground.modules import read_modules
from gpupass.observe.ground.others import read_nvidia, read_others
from gpupass.observe.ground.services import read_services, read_virtualisation
from gpupass.observe.pci import read_devices
from gpupass.system import System
from tests.host_tree import GIB, MEM64_PREFETCH, Function, HostTree

GPU, PORT = "0000:01:00.0", "0000:00:01.0"
NVIDIA = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.163.01  Release Build\n"
QEMU_CONF = """
#namespaces = [ "mount" ]
namespaces = []
cgroup_device_acl = [
    "/dev/null", "/dev/kvm"
]
relaxed_acs_check = 1
"""


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path / "host")
    tree.kernel()
    tree.function(Function(address=PORT, ids="8086:1901", class_code=0x060400, driver="pcieport", acs=True))
    tree.function(
        Function(
            address=GPU,
            ids="10de:2331",
            class_code=0x030200,
            driver="nvidia",
            parent=PORT,
            sriov=(16, 0),
            bars=((16 << 20, MEM64_PREFETCH), (0, 0), (128 * GIB, MEM64_PREFETCH)),
        )
    )
    return tree


def system(tree: HostTree) -> System:
    found = System(tree.root.parent / "state")
    found.root = str(tree.root)
    return found


def test_processor_firmware_and_kernel(tree: HostTree) -> None:
    tree.file(
        "/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: svm hypervisor\n"
        "address sizes\t: 48 bits physical, 48 bits virtual\n\nprocessor\t: 1\n",
    )
    tree.file("/sys/firmware/acpi/tables/IVRS", "")
    tree.file("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", b"\x06\0\0\0\x01")
    tree.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    tree.file("/proc/sys/kernel/hung_task_panic", "1\n")
    tree.file("/proc/sys/kernel/softlockup_panic", "0\n")
    tree.file("/proc/77/wchan", "vfio_unregister_group_dev")
    tree.file("/proc/77/comm", "virsh\n")
    tree.file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n")
    for node in ("node0", "node1"):
        tree.file(f"/sys/devices/system/node/{node}/cpulist", "0\n")
    cpu, firmware, kernel, memory = (
        read(system(tree)) for read in (read_cpu, read_firmware, read_kernel, read_memory)
    )
    assert cpu is not None and (cpu.virtual, cpu.guest, cpu.physical_bits) == (True, True, 48)
    assert (firmware.tables, firmware.secure_boot, firmware.efi) == (("IVRS",), True, True)
    assert (kernel.lockdown, kernel.panics, kernel.stuck) == (
        "integrity",
        ("hung_task_panic",),
        ("virsh (pid 77)",),
    )
    assert (memory.transparent, memory.nodes) == ("never", 2)


def test_modules(tree: HostTree) -> None:
    lib = "/lib/modules/6.12.0"
    tree.file(
        f"{lib}/modules.dep", "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n"
    )
    tree.file(f"{lib}/modules.builtin", "kernel/drivers/iommu/iommufd/iommufd.ko\n")
    tree.file("/sys/module/kvm_intel/parameters/nested", "Y\n")
    tree.file(
        "/etc/modprobe.d/x.conf", "# options vfio x=1\noptions vfio-pci ids=10de:2331\nblacklist nouveau\n"
    )
    tree.file("/etc/modules-load.d/vfio.conf", "vfio\nvfio_virqfd\n")
    tree.file("/var/lib/dkms/vendor-reset/0.1.1/6.11.0/x86_64/module/x.ko", "")
    modules = read_modules(system(tree))
    assert modules.loadable == {"vfio", "vfio_pci"} and modules.builtin == {"iommufd"}
    assert modules.loaded == {"kvm_intel"} and modules.parameters == {"kvm_intel.nested": "Y"}
    assert modules.options == (
        ModuleOption(module="vfio_pci", words=("ids=10de:2331",), file="/etc/modprobe.d/x.conf"),
    )
    assert modules.blacklist == {"nouveau"} and modules.directory
    assert modules.at_boot[-1] == "/etc/modules-load.d/vfio.conf: vfio_virqfd"
    assert modules.kept == {"vendor-reset": ""}  # for an older kernel


@pytest.mark.parametrize("top", ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"])
def test_services_and_libvirt(top: str, tree: HostTree) -> None:
    tree.file(f"{top}/system.slice/nvidia-dcgm.service/cgroup.procs", "7\n")
    tree.file("/run/libvirt/libvirt-sock", "")
    tree.file("/etc/libvirt/qemu.conf", QEMU_CONF)
    tree.file("/etc/libvirt/hooks/qemu", "#!/bin/sh\nvirsh nodedev-detach pci_0000_01_00_0\n")
    tree.file("/etc/libvirt/hooks/qemu.d/10-log", "#!/bin/sh\nlogger $1\n")
    tree.file("/etc/default/libvirt-guests", "#ON_SHUTDOWN=shutdown\nON_SHUTDOWN='suspend'\n")
    services, virtual = read_services(system(tree)), read_virtualisation(system(tree), None)
    assert services.active == {"nvidia-dcgm.service"} and services.sockets == {"libvirtd"}
    assert virtual.settings == {
        "namespaces": "[]",
        "cgroup_device_acl": '[ "/dev/null", "/dev/kvm" ]',
        "relaxed_acs_check": "1",
    }
    assert virtual.hooks == ("/etc/libvirt/hooks/qemu",) and virtual.at_shutdown == "suspend"
    assert virtual.kvm is False and virtual.libvirt is None


def test_functions(tree: HostTree) -> None:
    path = f"/sys/bus/pci/devices/{GPU}"
    rows = ["0x0 0x3ffffff 0x14220c", *["0x0 0x0 0x0"] * 6, "0x0 0xffffff 0x14220c"]
    tree.file(f"{path}/resource", "\n".join(rows) + "\n")
    tree.file(f"{path}/aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 3\n")
    tree.file(f"{path}/drm/renderD128/dev", "226:128\n")
    tree.file(f"/proc/driver/nvidia/gpus/{GPU}/unbindLock", "0\n")
    tree.file(
        "/lib/modules/6.12.0/modules.alias",
        "alias vfio_pci:v000010DEd00002331sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci\nalias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n",
    )
    found = {one.address: one for one in read_functions(system(tree), read_devices(system(tree)))}[GPU]
    assert found.unassigned == (64 << 20,) and found.vf_unassigned == (16 << 20,)
    assert found.errors == {"nonfatal": 3} and found.render and found.unbind_lock
    assert found.variants == ("nvgrace_gpu_vfio_pci",)


def test_nvidia_and_others(tree: HostTree) -> None:
    tree.file("/proc/driver/nvidia/version", NVIDIA)
    tree.file("/proc/driver/nvidia/params", "EnableGpuFirmware: 18\n")
    tree.file("/usr/share/nvidia/nvswitch/fabricmanager.cfg", "# FABRIC_MODE=1\nFABRIC_MODE=0\n")
    tree.file("/dev/nvidia-nvswitch0", "")
    nvidia = read_nvidia(system(tree))
    assert nvidia is not None and (nvidia.version, nvidia.open, nvidia.gsp) == ("550.163.01", True, True)
    assert (nvidia.switches, nvidia.fabric_mode) == (True, "0")
    tree.file(f"/etc/driverctl.d/pci-{GPU}", "vfio-pci\n")
    tree.file("/etc/udev/rules.d/99-mine.rules", 'ATTR{driver_override}="vfio-pci"\n')
    tree.file("/etc/mdevctl.d/0000:00:02.0/u1", '{"mdev_type": "i915-GVTg_V5_4", "start": "auto"}\n')
    others = read_others(system(tree))
    assert others.driverctl == (GPU,) and others.rules == ("/etc/udev/rules.d/99-mine.rules",)
    assert others.missing_mdevs == ("u1 (i915-GVTg_V5_4 on 0000:00:02.0)",)
