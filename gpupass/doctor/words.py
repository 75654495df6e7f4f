"""A remedy in the words of one distribution: what to type there, and what has to happen before it counts."""

from enum import StrEnum
from shlex import quote

from gpupass.doctor.remedy import (
    Arguments,
    Install,
    Limit,
    Load,
    Options,
    Remake,
    Remedy,
    Setup,
    Type,
    Without,
)
from gpupass.model.ground import Family, Ground, Loader, LoaderKind, Modules

MODPROBE = "/etc/modprobe.d/gpupass.conf"
AT_BOOT = "/etc/modules-load.d/gpupass.conf"
DROP_IN = "/etc/default/grub.d/zz-gpupass.cfg"  # Debian's grub-mkconfig reads the directory, in this order
_INITRAMFS = {
    Family.DEBIAN: "update-initramfs -u -k all",
    Family.PROXMOX: "update-initramfs -u -k all",
    Family.FEDORA: "dracut -f --regenerate-all",
    Family.SUSE: "dracut -f --regenerate-all",
    Family.ARCH: "mkinitcpio -P",
}
_PACKAGES = {
    "libvirt": {
        Family.DEBIAN: "apt install libvirt-daemon-system qemu-system-x86 ovmf",
        Family.FEDORA: "dnf install libvirt-daemon-kvm qemu-kvm edk2-ovmf",
        Family.SUSE: "zypper install libvirt-daemon-qemu qemu-ovmf-x86_64",
        Family.ARCH: "pacman -S libvirt qemu-desktop edk2-ovmf",
        Family.PROXMOX: "it has its own QEMU and no libvirt: gpupass binds and cuts there, qm hands out",
    },
    "kvm": {
        Family.DEBIAN: "boot a kernel with KVM: apt install linux-image-amd64 (Ubuntu: linux-generic)",
        Family.FEDORA: "dnf install kernel-modules-core-$(uname -r)",
        Family.SUSE: "zypper install kernel-default, then reboot into it",
        Family.ARCH: "pacman -S linux, then reboot into it",
        Family.PROXMOX: "apt install proxmox-default-kernel, then reboot into it",
    },
    "key": {
        Family.DEBIAN: "mokutil --import /var/lib/dkms/mok.pub, then reboot and enrol it",
        Family.PROXMOX: "mokutil --import /var/lib/dkms/mok.pub, then reboot and enrol it",
        Family.FEDORA: "kmodgenca -a; mokutil --import /etc/pki/akmods/certs/public_key.der, "
        "then reboot and enrol it",
        Family.SUSE: "mokutil --import /var/lib/dkms/mok.pub, then reboot and enrol it",
        Family.ARCH: "sign the modules by sbctl, or switch Secure Boot off",
    },
    "vfio": {
        Family.DEBIAN: "apt install linux-image-amd64 (Ubuntu: linux-generic), then reboot into it",
        Family.FEDORA: "dnf install kernel-modules-$(uname -r)",
        Family.SUSE: "zypper install kernel-default, then reboot into it",
        Family.ARCH: "pacman -S linux, then reboot into it",
        Family.PROXMOX: "apt install proxmox-default-kernel, then reboot into it",
    },
}
_UPDATE = {
    LoaderKind.UPDATE_GRUB: "update-grub",
    LoaderKind.GRUB2_MKCONFIG: "grub2-mkconfig -o /boot/grub2/grub.cfg",
    LoaderKind.GRUB_MKCONFIG: "grub-mkconfig -o /boot/grub/grub.cfg",
    LoaderKind.SDBOOTUTIL: "sdbootutil update-all-entries",
    LoaderKind.PROXMOX_BOOT_TOOL: "proxmox-boot-tool refresh",
    LoaderKind.UNIFIED: "mkinitcpio -P",
    LoaderKind.KERNEL_INSTALL: "kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r)",
}


class Needs(StrEnum):
    """What has to happen until a remedy counts."""

    NOTHING = "nothing"
    RELOAD = "reload"  # of a module or a service
    REBOOT = "reboot"


def needs(remedy: Remedy) -> Needs:
    match remedy:
        case Arguments() | Setup():
            return Needs.REBOOT
        case Options(reload=module):
            return Needs.RELOAD if module else Needs.REBOOT
        case Without() | Remake():
            return Needs.REBOOT
        case Limit():
            return Needs.RELOAD
        case _:
            return Needs.NOTHING


def words(remedy: Remedy, ground: Ground) -> str:
    """One line."""
    match remedy:
        case Arguments():
            doubt = f" ({remedy.doubt})" if remedy.doubt else ""
            return f"{_arguments(remedy, ground)}{doubt}"
        case Options(lines=lines, reload=module):
            if stands(remedy, ground):
                return f"{_reload(module)}: modprobe.d says so already"
            typed = "; ".join(f"echo {quote(line)} >> {MODPROBE}" for line in lines)
            return f"{typed}; {initramfs(ground)}, then {_reload(module)}"
        case Without(word=word, files=files):
            return f"take {word} out of {', '.join(files)}; {initramfs(ground)}, then reboot"
        case Remake():
            return f"{initramfs(ground)}, then reboot"
        case Load(modules=modules):
            typed = " ".join(modules)
            return f"modprobe -a {typed}; at every boot: printf '%s\\n' {typed} >> {AT_BOOT}"
        case Limit(unit=unit, line=line):
            where = drop_in(unit)
            typed = f"mkdir -p {where.rpartition('/')[0]}; printf '[Service]\\n%s\\n' {quote(line)} > {where}"
            return f"{typed}; systemctl daemon-reload; systemctl restart {unit}"
        case Install(what=what):
            return _PACKAGES[what].get(
                ground.distribution.family, f"install what your distribution has for {what}"
            )
        case Setup(words=text):
            return f"in the firmware setup: {text}"
        case Type(words=text):
            return text


def drop_in(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/gpupass.conf"


def initramfs(ground: Ground) -> str:
    return _INITRAMFS.get(ground.distribution.family, "make the initramfs anew")


def is_set(remedy: Arguments, told: tuple[str, ...] | None) -> bool:
    """Does such a command line say so already?"""
    return told is not None and {*remedy.add} <= {*told} and not {*remedy.remove} & {*told}


def stands(remedy: Remedy | None, ground: Ground) -> bool:
    """Is all of it written already, so that only a boot (or loading a module anew) is left?"""
    match remedy:
        case Arguments():
            loader = ground.loader or Loader()
            return is_set(remedy, loader.words) and (loader.made is None or is_set(remedy, loader.made))
        case Options(lines=lines):
            modules = ground.modules or Modules()
            said = {("options", one.module, word) for one in modules.options for word in one.words}
            said |= {("blacklist", name, "") for name in modules.blacklist}
            return all(_spoken(line) <= said for line in lines)
        case _:
            return False


def _spoken(line: str) -> set[tuple[str, str, str]]:
    verb, module, *words = line.split()
    return {(verb, module.replace("-", "_"), word) for word in words or ("",)}


def _reload(module: str) -> str:
    return f"modprobe -r {module}; modprobe {module}" if module else "reboot"


def _arguments(remedy: Arguments, ground: Ground) -> str:
    loader = ground.loader or Loader()
    if is_set(remedy, loader.words):
        if not stands(remedy, ground):
            return f"{_UPDATE[loader.kind]}, then reboot: {' '.join(loader.files)} told it so already"
        return "reboot: the boot loader is told so already"
    typed = " ".join(remedy.add)
    gone = " ".join(remedy.remove)
    match loader.kind:
        case LoaderKind.GRUBBY:
            add = f" --args={quote(typed)}" if typed else ""
            remove = f" --remove-args={quote(gone)}" if gone else ""
            return f"grubby --update-kernel=ALL{add}{remove}, then reboot"
        case LoaderKind.OSTREE:
            changes = [f"--append={quote(word)}" for word in remedy.add]
            changes += [f"--delete={quote(word)}" for word in remedy.remove]
            return f"rpm-ostree kargs {' '.join(changes)}, then reboot"
        case LoaderKind.UPDATE_GRUB if not gone:
            line = quote(f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {typed}"')
            return f"echo {line} >> {DROP_IN}; update-grub, then reboot"
        case LoaderKind.ENTRIES:
            where = f"the options of {' '.join(loader.files)}"
            return f"{_edit(typed, gone, where)}, then reboot"
        case LoaderKind.UPDATE_GRUB | LoaderKind.GRUB2_MKCONFIG | LoaderKind.GRUB_MKCONFIG:
            where = (
                f"GRUB_CMDLINE_LINUX_DEFAULT in {'/etc/default/grub' if typed else ' '.join(loader.files)}"
            )
        case LoaderKind.UNKNOWN:
            return f"{_edit(typed, gone, 'the command line of the kernel in your boot loader')}, then reboot"
        case _:
            where = " ".join(loader.files)
    return f"{_edit(typed, gone, where)}; {_UPDATE[loader.kind]}, then reboot"


def _edit(add: str, remove: str, where: str) -> str:
    if not remove:
        return f"add {add} to {where}"
    return f"take {remove} out of {where}" + (f" and add {add}" if add else "")
