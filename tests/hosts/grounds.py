"""The grounds of invented hosts: one of each family of distributions, each with troubles of its own."""

from gpupass.model.ground import (
    Cpu,
    Distribution,
    Family,
    Firmware,
    FunctionGround,
    Ground,
    Kernel,
    Loader,
    LoaderKind,
    Memory,
    ModuleOption,
    Modules,
    Nvidia,
    Others,
    Own,
    Services,
    Virtualisation,
)

_VFIO = frozenset({"vfio", "vfio_pci", "vfio_iommu_type1", "iommufd", "kvm"})
_LIMITS = {"vfio_iommu_type1.dma_entry_limit": "65535"}

GROUNDS = {
    "no-iommu": Ground(  # told by /etc/default/grub, and nobody ran update-grub
        as_root=True,
        distribution=Distribution(
            family=Family.DEBIAN, id="debian", version="13", name="Debian GNU/Linux 13 (trixie)"
        ),
        loader=Loader(
            kind=LoaderKind.UPDATE_GRUB,
            files=("/etc/default/grub",),
            words=("quiet", "intel_iommu=on"),
            made=("root=/dev/sda1", "ro", "quiet"),
        ),
        cpu=Cpu(vendor="GenuineIntel", virtual=True, physical_bits=39),
        firmware=Firmware(efi=True, secure_boot=False, tables=("DMAR",)),
        kernel=Kernel(release="6.12.107+deb13-amd64", words=("root=/dev/sda1", "ro", "quiet"), said=()),
        modules=Modules(
            loaded=frozenset({"kvm", "nouveau"}), loadable=_VFIO, at_boot=("/etc/modules: vfio_virqfd",)
        ),
        services=Services(sockets=frozenset({"libvirtd"}), active=frozenset({"libvirtd.service"})),
        virtualisation=Virtualisation(libvirt=(11, 3, 0), qemu=(10, 0, 2), kvm=True),
        memory=Memory(transparent="always"),
        functions=(),
        others=Others(),
        own=Own(),
    ),
    "server-sriov": Ground(
        as_root=True,
        distribution=Distribution(
            family=Family.FEDORA, id="rhel", version="9.4", name="Red Hat Enterprise Linux 9.4 (Plow)"
        ),
        loader=Loader(
            kind=LoaderKind.GRUBBY,
            files=("/boot/loader/entries/1-5.14.0-427.el9.x86_64.conf",),
            words=("root=/dev/mapper/rhel-root", "ro", "iommu=pt"),
        ),
        cpu=Cpu(vendor="AuthenticAMD", virtual=True, physical_bits=52),
        firmware=Firmware(efi=True, secure_boot=True, tables=("IVRS",)),
        kernel=Kernel(
            release="5.14.0-427.el9.x86_64",
            words=("root=/dev/mapper/rhel-root", "ro", "iommu=pt"),
            lockdown="integrity",
            panics=("hung_task_panic",),
            said=("audit: avc:  denied  { open } for comm=qemu-kvm scontext=system_u:system_r:svirt_t:s0",),
        ),
        modules=Modules(
            loaded=_VFIO | {"nvidia"},
            parameters=_LIMITS,
            options=(
                ModuleOption(module="vfio_pci", words=("ids=10de:2331",), file="/etc/modprobe.d/vfio.conf"),
            ),
        ),
        services=Services(
            sockets=frozenset({"virtqemud"}),
            active=frozenset({"virtqemud.service", "nvidia-dcgm.service"}),
            enabled=frozenset({"virtqemud.socket", "libvirt-guests.service"}),
            limits={"virtqemud.service LimitNOFILE": "512"},
        ),
        virtualisation=Virtualisation(
            libvirt=(9, 0, 0), qemu=(8, 2, 0), kvm=True, hooks=("/etc/libvirt/hooks/qemu",)
        ),
        memory=Memory(transparent="never", nodes=2),
        functions=(
            FunctionGround(address="0000:21:00.0", unbind_lock=True, ari=False),
            FunctionGround(address="0000:31:00.0", unbind_lock=False, errors={"nonfatal": 12}),
        ),
        others=Others(driverctl=("0000:31:00.0",)),
        nvidia=Nvidia(version="550.163.01", open=False, gsp=True),
        own=Own(),
    ),
    "mig-server": Ground(
        as_root=True,
        distribution=Distribution(
            family=Family.DEBIAN, id="ubuntu", version="24.04", name="Ubuntu 24.04.2 LTS"
        ),
        loader=Loader(
            kind=LoaderKind.UPDATE_GRUB,
            files=("/etc/default/grub", "/etc/default/grub.d/50-cloudimg-settings.cfg"),
            words=("console=tty1",),
            made=("ro", "console=tty1"),
        ),
        cpu=Cpu(vendor="GenuineIntel", virtual=True, physical_bits=52),
        firmware=Firmware(efi=True, secure_boot=False, tables=("DMAR",)),
        kernel=Kernel(
            release="6.8.0-45-generic",
            words=("ro", "console=tty1"),
            said=("NVRM: Xid (PCI:0000:4e:00): 79, pid=1, GPU has fallen off the bus.",),
        ),
        modules=Modules(
            loaded=frozenset({"nvidia", "kvm"}), builtin=frozenset({"vfio", "vfio_pci", "vfio_iommu_type1"})
        ),
        services=Services(active=frozenset({"nvidia-dcgm.service", "kubelet.service"})),
        virtualisation=Virtualisation(kvm=True),
        memory=Memory(transparent="madvise", nodes=2),
        functions=(),
        others=Others(plugins=("nvidia-gpu.sock",), cdi=("/etc/cdi/nvidia.yaml",)),
        nvidia=Nvidia(version="550.163.01", open=True, gsp=True, switches=True, fabric_mode="0"),
        own=Own(),
    ),
    "desktop": Ground(
        as_root=True,
        distribution=Distribution(family=Family.ARCH, id="arch", name="Arch Linux"),
        loader=Loader(
            kind=LoaderKind.ENTRIES,
            files=("/boot/loader/entries/arch.conf",),
            words=("root=UUID=1", "rw", "vfio-pci.ids=10de:2204"),
        ),
        cpu=Cpu(vendor="AuthenticAMD", virtual=True, physical_bits=48),
        firmware=Firmware(efi=True, secure_boot=False, tables=("IVRS",)),
        kernel=Kernel(release="6.14.2-arch1-1", words=("root=UUID=1", "rw"), said=()),
        modules=Modules(directory=False, loaded=frozenset({"kvm", "amdgpu", "nvidia"})),
        services=Services(
            sockets=frozenset({"libvirtd"}),
            active=frozenset({"libvirtd.service", "sddm.service"}),
            display_manager="sddm.service",
        ),
        virtualisation=Virtualisation(libvirt=(12, 1, 0), qemu=(10, 2, 0), kvm=True),
        memory=Memory(transparent="madvise"),
        functions=(FunctionGround(address="0000:01:00.0", low=(1 << 28,), unbind_lock=True),),
        others=Others(),
        nvidia=Nvidia(version="570.86.16", open=True, gsp=True),
        own=Own(early=("0000:01:00.0",)),
    ),
    "acs-less": Ground(
        as_root=True,
        distribution=Distribution(
            family=Family.PROXMOX, id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)"
        ),
        loader=Loader(
            kind=LoaderKind.PROXMOX_BOOT_TOOL,
            files=("/etc/kernel/cmdline",),
            words=("root=ZFS=rpool/ROOT/pve-1", "boot=zfs", "pcie_acs_override=downstream"),
        ),
        cpu=Cpu(vendor="GenuineIntel", virtual=True, physical_bits=46),
        firmware=Firmware(efi=True, secure_boot=False, tables=("DMAR",)),
        kernel=Kernel(
            release="6.8.12-13-pve",
            words=("root=ZFS=rpool/ROOT/pve-1", "pcie_acs_override=downstream", "intremap=off"),
            said=(),
        ),
        modules=Modules(
            loaded=_VFIO, parameters={**_LIMITS, "vfio_iommu_type1.allow_unsafe_interrupts": "N"}
        ),
        services=Services(),
        virtualisation=Virtualisation(kvm=True),
        memory=Memory(transparent="madvise"),
        functions=(),
        others=Others(),
        own=Own(),
    ),
    "storage-node": Ground(
        as_root=True,
        distribution=Distribution(
            family=Family.SUSE, id="opensuse-leap", version="15.6", name="openSUSE Leap 15.6"
        ),
        loader=Loader(
            kind=LoaderKind.GRUB2_MKCONFIG, files=("/etc/default/grub",), words=("quiet",), made=("quiet",)
        ),
        cpu=Cpu(vendor="AuthenticAMD", virtual=False, physical_bits=48),
        firmware=Firmware(efi=False, tables=("IVRS",)),
        kernel=Kernel(release="6.4.0-150600.23-default", words=("quiet", "pci=noats"), said=None),
        modules=Modules(loaded=frozenset({"kvm"})),
        services=Services(),
        virtualisation=Virtualisation(kvm=False),
        memory=Memory(transparent="always"),
        functions=(),
        others=Others(),
        own=Own(container=True),
    ),
}
