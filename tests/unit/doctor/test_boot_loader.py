"""Who tells the kernel its command line is decided by files; each distribution's, as they lie there."""

from pathlib import Path

import pytest

from gpupass.model.ground import Family, Loader, LoaderKind
from gpupass.observe.ground.boot_loader import read_distribution, read_loader
from gpupass.system import System

INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
SYSTEMD_BOOT = b"\x06\0\0\0" + "systemd-boot 257.9\0".encode("utf-16-le")
GRUB = 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n'
ENTRY = "title   Arch Linux\nlinux   /vmlinuz-linux\noptions root=UUID=1 rw quiet\n"
MADE = "menuentry 'x' {\n\tlinux\t/vmlinuz-6.12 root=UUID=1 ro  quiet\n}\n"
HOSTS: dict[str, tuple[dict[str, str | bytes], Family, Loader]] = {
    "debian": (
        {
            "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\n',
            "/etc/default/grub": GRUB,
            "/usr/sbin/update-grub": "",
            "/boot/grub/grub.cfg": MADE,
        },
        Family.DEBIAN,
        Loader(
            kind=LoaderKind.UPDATE_GRUB,
            files=("/etc/default/grub",),
            words=("quiet",),
            made=("root=UUID=1", "ro", "quiet"),
        ),
    ),
    "ubuntu, in a cloud": (  # what the image says there comes after /etc/default/grub
        {
            "/etc/os-release": "ID=ubuntu\nID_LIKE=debian\n",
            "/etc/default/grub": GRUB,
            "/etc/default/grub.d/50-cloudimg-settings.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1"\n',
            "/etc/default/grub.d/99-own.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT a=b"\n',
            "/usr/sbin/update-grub": "",
        },
        Family.DEBIAN,
        Loader(
            kind=LoaderKind.UPDATE_GRUB,
            files=(
                "/etc/default/grub",
                "/etc/default/grub.d/50-cloudimg-settings.cfg",
                "/etc/default/grub.d/99-own.cfg",
            ),
            words=("console=tty1", "a=b"),
        ),
    ),
    "fedora": (  # GRUB_CMDLINE_LINUX is read by nobody there
        {
            "/etc/os-release": "ID=rocky\nID_LIKE='rhel centos fedora'\n",
            "/etc/default/grub": GRUB,
            "/usr/sbin/grubby": "",
            "/usr/sbin/grub2-mkconfig": "",
            "/boot/loader/entries/a-5.14.conf": "options root=/dev/sda1 ro quiet intel_iommu=on\n",
            "/boot/loader/entries/a-5.15.conf": "options root=/dev/sda1 ro intel_iommu=on\n",
            "/boot/loader/entries/a-0-rescue.conf": "options root=/dev/sda1 ro\n",
        },
        Family.FEDORA,
        Loader(
            kind=LoaderKind.GRUBBY,
            files=("/boot/loader/entries/a-5.14.conf", "/boot/loader/entries/a-5.15.conf"),
            words=("root=/dev/sda1", "ro", "intel_iommu=on"),
        ),
    ),
    "silverblue": (
        {"/etc/os-release": "ID=fedora\n", "/run/ostree-booted": "", "/usr/sbin/grubby": ""},
        Family.FEDORA,
        Loader(kind=LoaderKind.OSTREE),
    ),
    "leap": (
        {
            "/etc/os-release": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
            "/etc/default/grub": GRUB,
            "/usr/sbin/grub2-mkconfig": "",
            "/boot/grub2/grub.cfg": MADE,
        },
        Family.SUSE,
        Loader(
            kind=LoaderKind.GRUB2_MKCONFIG,
            files=("/etc/default/grub",),
            words=("quiet",),
            made=("root=UUID=1", "ro", "quiet"),
        ),
    ),
    "tumbleweed": (
        {
            "/etc/os-release": 'ID="opensuse-tumbleweed"\n',
            INFO: SYSTEMD_BOOT,
            "/usr/bin/sdbootutil": "",
            "/etc/kernel/cmdline": "root=UUID=1 quiet\n",
            "/etc/default/grub": GRUB,
        },
        Family.SUSE,
        Loader(kind=LoaderKind.SDBOOTUTIL, files=("/etc/kernel/cmdline",), words=("root=UUID=1", "quiet")),
    ),
    "arch": (
        {
            "/etc/os-release": "ID=arch\n",
            INFO: SYSTEMD_BOOT,
            "/usr/bin/mkinitcpio": "",
            "/boot/loader/entries/arch.conf": ENTRY,
        },
        Family.ARCH,
        Loader(
            kind=LoaderKind.ENTRIES,
            files=("/boot/loader/entries/arch.conf",),
            words=("root=UUID=1", "rw", "quiet"),
        ),
    ),
    "arch, one image": (
        {
            "/etc/os-release": "ID=arch\n",
            INFO: SYSTEMD_BOOT,
            "/usr/bin/mkinitcpio": "",
            "/etc/mkinitcpio.d/linux.preset": 'default_uki="/efi/EFI/Linux/arch-linux.efi"\n',
            "/etc/kernel/cmdline": "root=UUID=1 rw\n",
        },
        Family.ARCH,
        Loader(kind=LoaderKind.UNIFIED, files=("/etc/kernel/cmdline",), words=("root=UUID=1", "rw")),
    ),
    "arch, grub": (
        {"/etc/os-release": "ID=arch\n", "/etc/default/grub": GRUB, "/usr/bin/grub-mkconfig": ""},
        Family.ARCH,
        Loader(kind=LoaderKind.GRUB_MKCONFIG, files=("/etc/default/grub",), words=("quiet",)),
    ),
    "proxmox, zfs": (  # /etc/default/grub lies there, too, and people edit it in vain
        {
            "/etc/os-release": "ID=debian\n",
            "/usr/bin/pveversion": "",
            INFO: SYSTEMD_BOOT,
            "/etc/kernel/cmdline": "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
            "/etc/default/grub": GRUB,
            "/usr/sbin/update-grub": "",
        },
        Family.PROXMOX,
        Loader(
            kind=LoaderKind.PROXMOX_BOOT_TOOL,
            files=("/etc/kernel/cmdline",),
            words=("root=ZFS=rpool/ROOT/pve-1", "boot=zfs"),
        ),
    ),
    "proxmox, grub": (
        {
            "/etc/os-release": "ID=debian\n",
            "/usr/bin/pveversion": "",
            "/etc/default/grub": GRUB,
            "/usr/sbin/update-grub": "",
        },
        Family.PROXMOX,
        Loader(kind=LoaderKind.UPDATE_GRUB, files=("/etc/default/grub",), words=("quiet",)),
    ),
    "debian, systemd-boot": (
        {
            "/etc/os-release": "ID=debian\n",
            INFO: SYSTEMD_BOOT,
            "/etc/kernel/cmdline": "root=UUID=1\n",
            "/boot/efi/loader/entries/1.conf": "options root=UUID=1 systemd.machine_id=1\n",
        },
        Family.DEBIAN,
        Loader(
            kind=LoaderKind.KERNEL_INSTALL,
            files=("/etc/kernel/cmdline",),
            words=("root=UUID=1",),
            made=("root=UUID=1", "systemd.machine_id=1"),
        ),
    ),
    "nobody knows": ({"/etc/os-release": "ID=nixos\n"}, Family.OTHER, Loader()),
}


@pytest.mark.parametrize("name", HOSTS)
def test_the_loader_in_use(name: str, tmp_path: Path) -> None:
    files, family, loader = HOSTS[name]
    for path, text in files.items():
        where = tmp_path / path[1:]
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(text if isinstance(text, bytes) else text.encode())
    system = System(tmp_path / "state")
    system.root = str(tmp_path)
    assert read_distribution(system).family is family
    assert read_loader(system, family) == loader
