"""libvirt and QEMU: versions, daemons, settings, what has been denied."""

from gpupass.doctor.check import GUESTS, VFIO, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Install, Limit, Type
from gpupass.model.ground import Family, Virtualisation

_HOTPLUG = frozenset({Purpose.HOTPLUG, Purpose.PASSTHROUGH, Purpose.SRIOV, Purpose.VGPU, Purpose.MDEV})
_QEMU_CONF = "/etc/libvirt/qemu.conf"
_RESTART = "systemctl restart libvirtd (or virtqemud)"
_DEBIAN = (Family.DEBIAN, Family.PROXMOX)
_GUESTS = {Family.DEBIAN: "/etc/default", Family.PROXMOX: "/etc/default", Family.ARCH: "/etc/conf.d"}
_FILES = 1024


def _without(sight: Sight) -> bool:
    """Proxmox VE has no libvirt, and needs none."""
    return sight.ground.distribution.family is Family.PROXMOX


def _absent(sight: Sight) -> bool:
    """lv.daemon says so."""
    services = sight.ground.services
    return services is not None and not services.sockets & {"libvirtd", "virtqemud"}


def _daemon(sight: Sight) -> Told:
    services = sight.ground.services
    if _without(sight):
        return
    if services is None:
        yield hidden(sight, "which of libvirt's daemons run")
    elif not services.sockets & {"libvirtd", "virtqemud"}:
        yield Said(why="libvirt does not run here", remedy=Install(what="libvirt"))
    elif {"libvirtd.socket", "virtqemud.socket"} <= services.enabled:
        why = "libvirtd and virtqemud are both started at boot: each knows only half of the guests"
        remedy = Type(
            words="systemctl disable --now libvirtd.service libvirtd.socket, where virtqemud is meant"
        )
        yield Said(why=why, level=Level.WARN, remedy=remedy)
    else:
        yield fine(f"{'virtqemud' if 'virtqemud' in services.sockets else 'libvirtd'} is there")


def _version(sight: Sight) -> Told:
    """9.7 takes VFs that their own driver lends; 12.1 crashes on a hostdev network interface (NEWS)."""
    virtual = sight.ground.virtualisation
    if _without(sight):
        return
    if _absent(sight):
        return
    if virtual is None or virtual.libvirt is None:
        yield hidden(sight, "libvirt's version")
        return
    version, words = virtual.libvirt, ".".join(map(str, virtual.libvirt))
    if version < (9, 0, 0):
        yield Said(why=f"libvirt {words} is older than 9.0", remedy=Type(words="upgrade libvirt"))
    elif version < (9, 7, 0) and any(device.lends_itself for device in sight.host.devices):
        why = f"libvirt {words} cannot give away what NVIDIA's driver lends itself (9.7)"
        yield Said(why=why, remedy=Type(words="upgrade libvirt to 9.7"))
    elif version[:2] == (12, 1):
        why = f"libvirt {words} crashes when a network device is attached as <interface type=hostdev>"
        yield Said(why=why, level=Level.WARN, remedy=Type(words="upgrade libvirt to 12.2"))
    else:
        yield fine(f"libvirt {words}")


def _qemu(sight: Sight) -> Told:
    virtual = sight.ground.virtualisation
    if _without(sight):
        return
    if _absent(sight):
        return
    if virtual is None or virtual.qemu is None:
        yield hidden(sight, "QEMU's version")
        return
    version, words = virtual.qemu, ".".join(map(str, virtual.qemu))
    if version < (6, 1, 0):
        why = f"QEMU {words} has no ACPI hot-plug for q35 (6.1)"
        yield Said(why=why, remedy=Type(words="upgrade QEMU"))
    elif version < (7, 2, 0):
        why = f"QEMU {words} is older than what gpupass is tested with"
        yield Said(why=why, level=Level.WARN, remedy=Type(words="upgrade QEMU"))
    else:
        yield fine(f"QEMU {words}")


def _settings(sight: Sight) -> Told:
    virtual = sight.ground.virtualisation
    if _without(sight):
        return
    if virtual is None or virtual.unreadable:
        yield hidden(sight, _QEMU_CONF)
        return
    wrong = dict(_weak(virtual))
    for line, why in wrong.items():
        yield Said(
            why=f"{line}: {why}", remedy=Type(words=f"take {line.split()[0]} out of {_QEMU_CONF}; {_RESTART}")
        )
    if not wrong:
        yield fine(f"nothing in {_QEMU_CONF} weakens it")


def _weak(virtual: Virtualisation) -> dict[str, str]:
    settings = virtual.settings
    found = {
        ("relaxed_acs_check", "1"): "devices of switches that do not isolate are given away",
        ("namespaces", "[]"): "each guest sees every device file",
        ("security_driver", '"none"'): "nothing confines QEMU",
    }
    return {f"{name} = {value}": why for (name, value), why in found.items() if settings.get(name) == value}


def _hardened(sight: Sight) -> Told:
    """A unit that may not write sysfs can bind nothing; QEMU needs its memory locked."""
    services = sight.ground.services
    if _without(sight):
        return
    if services is None:
        yield hidden(sight, "the limits of libvirt's services")
        return
    wrong = False
    for name, value in services.limits.items():
        unit, _, limit = name.partition(" ")
        capable = "cap_sys_resource" in services.limits.get(
            f"{unit} CapabilityBoundingSet", "cap_sys_resource"
        )
        if limit == "ProtectKernelTunables" and value == "yes":
            wrong = True
            why = f"{unit} may not write /sys: it can neither bind nor unbind"
            yield Said(why=why, remedy=Limit(unit=unit, line="ProtectKernelTunables=no"))
        elif limit == "LimitMEMLOCK" and value.isdecimal() and not capable:
            wrong = True
            why = f"{unit} may lock {int(value) >> 20} MiB, and cannot raise that for QEMU"
            yield Said(why=why, remedy=Limit(unit=unit, line="LimitMEMLOCK=infinity"))
        elif limit == "LimitNOFILE" and value.isdecimal() and int(value) < _FILES:
            wrong = True
            why = f"{unit} may open {value} files: few for several guests with GPUs"
            yield Said(why=why, level=Level.WARN, remedy=Limit(unit=unit, line="LimitNOFILE=8192"))
    if services.limits and not wrong:
        yield fine("libvirt's services are not limited in what VFIO needs")


def _denied(sight: Sight) -> Told:
    said = sight.ground.kernel.said
    if said is None:
        yield hidden(sight, "what the kernel has denied")
        return
    armor = [line for line in said if 'apparmor="DENIED"' in line]
    avc = [line for line in said if "avc:" in line and "denied" in line]
    locked = [line for line in said if "RLIMIT_MEMLOCK" in line]
    if armor:
        words = (
            "see what: journalctl -k -g DENIED; allow it in /etc/apparmor.d/local/abstractions/libvirt-qemu"
        )
        yield Said(why="AppArmor has denied QEMU or libvirt something of VFIO", remedy=Type(words=words))
    if avc:
        words = "see what: ausearch -m avc -c qemu-kvm; upgrade selinux-policy"
        yield Said(why="SELinux has denied QEMU or libvirt something of VFIO", remedy=Type(words=words))
    if locked:
        words = "raise hard_limit of that domain: virsh memtune DOMAIN --hard-limit KIB --config"
        yield Said(why="a guest was refused the memory that VFIO locks", remedy=Type(words=words))
    if not (armor or avc or locked):
        yield fine("nothing was denied since boot")


def _hooks(sight: Sight) -> Told:
    virtual = sight.ground.virtualisation
    if virtual is None:
        yield hidden(sight, "libvirt's hooks")
    elif virtual.hooks:
        why = f"{', '.join(virtual.hooks)} binds or unbinds devices: it and gpupass do not know of each other"
        words = f"mv {virtual.hooks[0]} /root; {_RESTART}"
        yield Said(why=why, remedy=Type(words=words))
    else:
        yield fine("no hook of others moves devices")


def _at_shutdown(sight: Sight) -> Told:
    """A guest with a device cannot be saved; libvirt's own default is suspend, but not Debian's."""
    virtual, services = sight.ground.virtualisation, sight.ground.services
    if virtual is None or services is None:
        yield hidden(sight, "what becomes of guests when the host shuts down")
        return
    own = "shutdown" if sight.ground.distribution.family in _DEBIAN else "suspend"
    if "libvirt-guests.service" not in services.enabled:
        return
    if (virtual.at_shutdown or own) == "suspend":
        where = _GUESTS.get(sight.ground.distribution.family, "/etc/sysconfig")
        why = "libvirt-guests saves guests when the host shuts down, which none with a device can be"
        yield Said(why=why, remedy=Type(words=f"set ON_SHUTDOWN=shutdown in {where}/libvirt-guests"))
    else:
        yield fine("guests are shut down with the host, not saved")


LIBVIRT = (
    Check(id="lv.daemon", title="libvirt's daemons", purposes=GUESTS, worst=Level.FAIL, find=_daemon),
    Check(id="lv.version", title="libvirt", purposes=GUESTS, worst=Level.FAIL, find=_version),
    Check(id="qemu.version", title="QEMU", purposes=GUESTS, worst=Level.FAIL, find=_qemu),
    Check(id="lv.settings", title="libvirt's settings", purposes=VFIO, worst=Level.WARN, find=_settings),
    Check(id="lv.limits", title="libvirt's limits", purposes=VFIO, worst=Level.FAIL, find=_hardened),
    Check(id="lv.denied", title="denials", purposes=VFIO, worst=Level.FAIL, find=_denied),
    Check(id="lv.hooks", title="libvirt's hooks", purposes=VFIO, worst=Level.WARN, find=_hooks),
    Check(id="lv.guests", title="host shutdown", purposes=_HOTPLUG, worst=Level.WARN, find=_at_shutdown),
)
