"""More of the cases: kernel, devices, displays, drivers, libvirt, guests, other owners."""

from msgspec.structs import replace

from gpupass.model.domain import DomainState, Hostdev
from gpupass.model.ground import Nvidia
from gpupass.model.host import Nvidia as Nvml
from gpupass.model.mark import Quarantine
from gpupass.model.user import Holder, User, UserKind
from tests.doctor_sights import CARD, DEVICES, DOMAIN, GPU, IGD, PF
from tests.unit.doctor.case import Case

AMD = {"gpu.vendor": 0x1002, "gpu.device": 0x73BF, "gpu.driver": "amdgpu"}
NAVI = {**AMD, "gpu.device": 0x731F}
INTEL = {"gpu.vendor": 0x8086, "gpu.device": 0x46A8, "gpu.driver": "i915"}
SRIOV, MDEV, REMOTING = ({"purposes": word} for word in ("sriov", "mdev", "remoting"))
FRAMEBUFFER = User(
    kind=UserKind.KERNEL,
    name="the kernel's framebuffer",
    detail="BOOTFB in its memory",
    holder=Holder.FRAMEBUFFER,
    handle="/sys/bus/platform/drivers/simple-framebuffer/simple-framebuffer.0",
)
CONSOLE = User(
    kind=UserKind.KERNEL,
    name="the kernel's console",
    detail="fb0, nouveaudrmfb",
    holder=Holder.CONSOLE,
    handle="vtcon1",
)
DRM = User(
    kind=UserKind.KERNEL, name="nvidia_drm", detail="modeset=Y", holder=Holder.MODULE, handle="nvidia_drm"
)
PROCESS = User(
    kind=UserKind.PROCESS,
    name="python",
    detail="pid 7, /dev/nvidia0",
    pid=7,
    holder=Holder.UNIT,
    handle="train.service",
)
BOOT = User(kind=UserKind.BOOT_DISPLAY, name="console", detail="boot display")
DESKTOP = User(kind=UserKind.PROCESS, name="Xorg", detail="pid 8", pid=8, holder=Holder.DESKTOP, handle="2")
PROXMOX = User(
    kind=UserKind.DOMAIN_CONFIG, name="Proxmox VM 100", holder=Holder.PROXMOX_CONFIG, handle="100 hostpci0"
)
SECOND = replace(DEVICES[GPU], address=IGD, vendor=0x8086, device=0x4680, driver="i915", group=9)
NVML = Nvml(uuid="GPU-1", mig_mode="enabled (pending: disabled)")
RUNNING = {"domain.name": "vm1"}
HOSTDEV = Hostdev(address=GPU, guest="0000:05:00.0")
FABRIC = Nvidia(version="550.163.01", open=True, switches=True, fabric_mode="1")
FM, VGPU_MANAGER = "nvidia-fabricmanager.service", "nvidia-vgpu-mgr.service"


def active(*units: str) -> dict[str, object]:
    return {"services.active": frozenset(units)}


def limits(**found: str) -> dict[str, object]:
    return {"services.limits": {f"libvirtd.service {name}": value for name, value in found.items()}}


def said(line: str) -> dict[str, object]:
    return {"kernel.said": (line,)}


ABOVE: dict[str, Case] = {
    "kern.reset": Case(
        ({"kernel.release": "6.14.2-zen1"}, {**AMD, "gpu.device": 0x744C, "kernel.release": "6.15.9_1"})
    ),
    "kern.large": Case(
        ({"gpu.detail.bars": (CARD,), "kernel.release": "6.8.0-45-generic"},), {"gpu.detail.bars": (CARD,)}
    ),
    "kern.shutdown": Case(
        ({**INTEL, "gpu.detail.sriov": PF, "kernel.release": "6.8.12-13-pve"},),
        {**INTEL, "gpu.detail.sriov": PF, "kernel.release": "6.8.12-11-pve"},
    ),
    "kern.stuck": Case(({"kernel.stuck": ("virsh (pid 9)",)},)),
    "kern.panic": Case(({"kernel.panics": ("hung_task_panic",)},)),
    "dev.dead": Case(({"gpu.detail.responds": False},)),
    "rst.method": Case(
        (
            {"gpu.detail.reset_methods": ()},
            {"gpu.detail.reset_methods": ("pm",)},
            {
                "gpu.detail.reset_methods": ("bus",),
                "gpu.parent": "0000:00:01.0",
                "nic.parent": "0000:00:01.0",
            },
        )
    ),
    "rst.known": Case((NAVI,), {**NAVI, "gpu.detail.reset_methods": ("device_specific",)}),
    "rst.d3": Case(
        (
            said(f"vfio-pci {GPU}: Unable to power on device, stuck in D3"),
            {"gpu.driver": "vfio-pci", "gpu.detail.power_state": "unknown"},
        )
    ),
    "dev.aer": Case(({"function.errors": {"nonfatal": 3}},)),
    "dev.link": Case(({"gpu.detail.link.width": 4},)),
    "dev.numa": Case(({"memory.nodes": 2, "gpu.detail.numa_node": None},), {"memory.nodes": 2}),
    "dev.held": Case(({"gpu.users": (PROCESS,)},)),
    "dev.usb": Case(({"function.usb": ("USB Keyboard",)},)),
    "boot.fb": Case(
        (
            {"gpu.users": (FRAMEBUFFER,)},
            {"gpu.users": (replace(FRAMEBUFFER, holder=Holder.NOBODY, handle=""),)},
            {"gpu.users": (FRAMEBUFFER,), "kernel.words": ("initcall_blacklist=sysfb_init",)},
        )
    ),
    "boot.vtcon": Case(({"gpu.users": (CONSOLE,)},)),
    "boot.vga": Case(({"gpu.users": (BOOT,)},)),
    "boot.only-gpu": Case(({"devices": ()},), {"devices": (SECOND,)}),
    "dm.active": Case(
        (
            {**active("gdm.service"), "services.display_manager": "gdm.service"},
            {**active("gdm.service"), "services.display_manager": "gdm.service", "gpu.users": (DESKTOP,)},
        )
    ),
    "nv.flavour": Case(({"gpu.device": 0x2B85, "nvidia.open": False},)),
    "nv.mismatch": Case(({"unseen": ("NVML: Driver/library version mismatch",)},)),
    "nv.drm": Case(({"gpu.users": (DRM,)},)),
    "nv.dcgm": Case((active("nvidia-dcgm.service"),)),
    "nv.fm": Case(
        ({"nvidia": FABRIC}, {"nvidia": replace(FABRIC, fabric_mode="0"), **active(FM)}),
        {"nvidia": FABRIC, **active(FM)},
    ),
    "nv.vgpu": Case(({"nvidia.vgpu": True},), {"nvidia.vgpu": True, **active(VGPU_MANAGER)}),
    "nv.unbindlock": Case(({"function.unbind_lock": False},)),
    "nv.gsp": Case(({"nvidia.gsp": False},)),
    "nv.mig": Case(({"gpu.detail.nvidia": NVML},), {"gpu.detail.nvidia": replace(NVML, mig_mode="enabled")}),
    "nv.nouveau": Case(({"gpu.driver": "nouveau"}, {"gpu.driver": "nouveau", "modules.loaded": frozenset()})),
    "nv.xid": Case(
        (
            said("NVRM: Xid (PCI:0000:01:00): 79, pid=1, GPU has fallen off the bus."),
            said("NVRM: Xid (PCI:0000:01:00): 31, pid=1, MMU fault"),
        )
    ),
    "amd.gim": Case(
        ({**AMD, "gpu.detail.sriov": PF, "modules.loaded": frozenset({"gim", "amdgpu"})},),
        {**AMD, "gpu.driver": "gim", "gpu.detail.sriov": PF, "modules.loaded": frozenset({"gim"})},
    ),
    "amd.psp": Case(({**AMD, **said(f"amdgpu {GPU}: PSP load tmr failed!")},), AMD),
    "amd.reset": Case(
        ({**NAVI, "modules.kept": {"vendor-reset": ""}}, {**NAVI, "modules.kept": {"vendor-reset": "6.12"}}),
        {**NAVI, "modules.kept": {"vendor-reset": "6.12"}, "modules.loaded": frozenset({"vendor_reset"})},
    ),
    "intel.vfs": Case(
        (
            {**INTEL, **SRIOV},
            {**INTEL, **SRIOV, "gpu.driver": "xe", "modules.parameters": {"xe.max_vfs": "0"}},
            {**INTEL, **SRIOV, "modules.parameters": {"i915.max_vfs": "7", "i915.enable_guc": "1"}},
        ),
        {**INTEL, **SRIOV, "gpu.driver": "xe", "modules.parameters": {"xe.max_vfs": "7"}},
    ),
    "intel.dkms": Case(
        ({**INTEL, "modules.kept": {"i915-sriov-dkms": ""}},),
        {**INTEL, "modules.kept": {"i915-sriov-dkms": "6.12"}},
    ),
    "sriov.pf": Case(
        ({"gpu.detail.sriov": replace(PF, enabled=4), "gpu.driver": "vfio-pci"},),
        {"gpu.detail.sriov": replace(PF, enabled=4)},
    ),
    "mdev.kernel": Case((MDEV,), {**MDEV, "modules.loadable": frozenset({"mdev"})}),
    "rem.render": Case((REMOTING,), {**REMOTING, "function.render": True}),
    "lv.daemon": Case(
        (
            {"services.sockets": frozenset()},
            {"services.enabled": frozenset({"libvirtd.socket", "virtqemud.socket"})},
        )
    ),
    "lv.version": Case(
        (
            {"virtualisation.libvirt": (8, 0, 0)},
            {"virtualisation.libvirt": (9, 0, 0), "gpu.lends_itself": True},
            {"virtualisation.libvirt": (12, 1, 0)},
        )
    ),
    "qemu.version": Case(({"virtualisation.qemu": (5, 2, 0)}, {"virtualisation.qemu": (6, 2, 0)})),
    "lv.settings": Case(({"virtualisation.settings": {"relaxed_acs_check": "1", "namespaces": "[]"}},)),
    "lv.limits": Case(
        (
            limits(ProtectKernelTunables="yes"),
            limits(LimitMEMLOCK="65536", CapabilityBoundingSet="cap_chown"),
            limits(LimitNOFILE="512"),
        ),
        limits(LimitMEMLOCK="65536", LimitNOFILE="8192", ProtectKernelTunables="no"),
    ),
    "lv.denied": Case(
        (
            said('audit: apparmor="DENIED" operation="open" name="/dev/vfio/7" comm="qemu-system-x86"'),
            said("audit: avc:  denied  { open } for comm=qemu-kvm scontext=system_u:system_r:svirt_t:s0"),
            said("vfio_pin_pages_remote: RLIMIT_MEMLOCK (65536) exceeded"),
        )
    ),
    "lv.hooks": Case(({"virtualisation.hooks": ("/etc/libvirt/hooks/qemu",)},)),
    "lv.guests": Case(
        (
            {
                "services.enabled": frozenset({"libvirt-guests.service"}),
                "virtualisation.at_shutdown": "suspend",
            },
        ),
        {"services.enabled": frozenset({"libvirt-guests.service"})},
    ),
    "vm.ports": Case(
        ({**RUNNING, "domain.ports": ()}, {**RUNNING, "domain.ports": (), "purposes": "hotplug"}), RUNNING
    ),
    "vm.machine": Case(({"domain.machine": "pc-q35-5.2"}, {"domain.machine": "virt-9.0"}), RUNNING),
    "vm.memtune": Case(({"domain.hard_limit": 8 << 20},), RUNNING),
    "mem.free": Case(({**RUNNING, "available_memory": 1 << 30},), RUNNING),
    "mem.thp": Case(({"memory.transparent": "never"},)),
    "vm.unplug": Case(
        ({"domain.live": (replace(HOSTDEV, guest="0000:05:00.1"),)},), {"domain.live": (HOSTDEV,)}
    ),
    "lv.autostart": Case(
        (
            {
                "domains": (
                    replace(DOMAIN, live=(HOSTDEV,)),
                    replace(
                        DOMAIN,
                        name="vm2",
                        uuid="u2",
                        state=DomainState.SHUT_OFF,
                        autostart=True,
                        config=(HOSTDEV,),
                    ),
                )
            },
        ),
        RUNNING,
    ),
    "udev.driverctl": Case(
        ({"others.driverctl": (GPU,)}, {"others.rules": ("/etc/udev/rules.d/99-x.rules",)})
    ),
    "mdevctl.types": Case(({"others.missing_mdevs": ("0000-1 (nvidia-63 on 0000:01:00.0)",)},)),
    "pve.qm": Case(({"gpu.users": (PROXMOX,)},)),
    "other.vmm": Case((active("kubelet.service"),)),
    "ct.gpu": Case(({"others.plugins": ("nvidia-gpu.sock",)}, {"others.cdi": ("/etc/cdi/nvidia.yaml",)})),
    "mon.tools": Case((active("telegraf.service"),)),
    "gp.boot": Case(
        (
            {"own.units": ("gpupass.service",)},
            {"own.units": ("gpupass.service",), "own.profile": True, "own.shadowed": ("gpupass.service",)},
        ),
        {"own.units": ("gpupass.service",), "own.profile": True},
    ),
    "gp.quarantine": Case(({"marks": (Quarantine(carrier=GPU, why="no reset"),)},)),
    "gp.host": Case(({"own.container": True},)),
    "gp.unseen": Case(({"unseen": ("libvirt: not running",)},)),
}
