"""systemd's units, libvirt's daemons and settings, QEMU."""

import re
from collections.abc import Iterator
from contextlib import suppress

from gpupass.errors import GpupassError
from gpupass.model.ground import Services, Virtualisation
from gpupass.model.stoppable import ALIAS
from gpupass.system import Reader, System
from gpupass.system.units import is_enabled

_UNITS = (
    *("libvirtd.service", "virtqemud.service", "libvirt-guests.service", "nvidia-persistenced.service"),
    *("nvidia-dcgm.service", "dcgm-exporter.service", "nvsm.service", "nvidia-powerd.service"),
    *("nvidia-fabricmanager.service", "nvidia-vgpud.service", "nvidia-vgpu-mgr.service", "gpupass.service"),
    *(
        "gpupass-attach.service",
        "libvirtd.socket",
        "virtqemud.socket",
        "virtnodedevd.socket",
        "fwupd.service",
    ),
    *("tuned.service", "powertop.service", "telegraf.service", "prometheus-node-exporter.service"),
    *("zabbix-agent.service", "zabbix-agent2.service", "kubelet.service", "incus.service", "lxd.service"),
    *("nova-compute.service", "openstack-nova-compute.service", "vdsmd.service", "snap.lxd.daemon.service"),
)
_SOCKETS = {"libvirtd": "libvirt-sock", "virtqemud": "virtqemud-sock", "virtnodedevd": "virtnodedevd-sock"}
_CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd")  # of version 2; of version 1
_QEMU_CONF = "/etc/libvirt/qemu.conf"
_HOOKS = "/etc/libvirt/hooks"
_MOVES = re.compile(r"nodedev-(detach|reattach)|driver_override|/unbind|modprobe|vfio")
_GUESTS = ("/etc/default/libvirt-guests", "/etc/sysconfig/libvirt-guests", "/etc/conf.d/libvirt-guests")
_LIMITS = ("LimitMEMLOCK", "LimitNOFILE", "ProtectKernelTunables", "CapabilityBoundingSet")


def read_services(system: Reader) -> Services:
    """An active service has its control group; sockets of libvirt lie where its clients look."""
    manager = system.link(ALIAS) or ""
    return Services(
        active=frozenset(unit for unit in (*_UNITS, manager) if unit and _active(system, unit)),
        enabled=frozenset(unit for unit in _UNITS if is_enabled(system, unit)),
        sockets=frozenset(name for name, path in _SOCKETS.items() if system.exists(f"/run/libvirt/{path}")),
        display_manager=manager,
        limits=dict(_limits(system)),
    )


def _active(system: Reader, unit: str) -> bool:
    return any(system.exists(f"{top}/system.slice/{unit}") for top in _CGROUPS)


def _limits(system: Reader) -> Iterator[tuple[str, str]]:
    """As systemd has them, where it runs."""
    if not isinstance(system, System) or not system.exists("/run/systemd/system"):
        return
    properties = f"--property={','.join(_LIMITS)}"
    for unit in ("libvirtd.service", "virtqemud.service"):
        if _active(system, unit) or system.exists(f"/run/libvirt/{_SOCKETS[unit.partition('.')[0]]}"):
            with suppress(GpupassError):
                for line in system.run("systemctl", "show", properties, unit, timeout=10.0).splitlines():
                    name, _, value = line.partition("=")
                    yield f"{unit} {name}", value


def read_virtualisation(system: Reader, connect: str | None) -> Virtualisation:
    text = system.read(_QEMU_CONF)
    libvirt, qemu = _versions(system, connect)
    guests = next((told for path in _GUESTS if (told := system.read(path))), "")
    found = re.search(r"^\s*ON_SHUTDOWN=[\"']?(\w+)", guests, re.MULTILINE)
    return Virtualisation(
        libvirt=libvirt,
        qemu=qemu,
        kvm=system.exists("/dev/kvm"),
        settings=_settings(text or ""),
        unreadable=text is None and system.exists(_QEMU_CONF),
        hooks=tuple(path for path in _hooks(system) if _MOVES.search(system.read(path) or "")),
        at_shutdown=found[1] if found else "",
    )


def _versions(
    system: Reader, connect: str | None
) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
    if not isinstance(system, System) or connect is None:
        return None, None
    try:
        hypervisor = system.hypervisor(connect)
        return hypervisor.version(), hypervisor.emulator_version()
    except GpupassError:
        return None, None


def _settings(text: str) -> dict[str, str]:
    """`name = value`, a list over several lines; what begins with # is only an example."""
    plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = re.findall(r"^\s*(\w+)\s*=\s*(\[[^\]]*\]|.*)$", plain, re.MULTILINE)
    asked = ("cgroup_device_acl", "relaxed_acs_check", "namespaces", "security_driver", "seccomp_sandbox")
    keys = {*asked, "auto_shutdown_try_save", "user", "group"}
    return {name: " ".join(value.split()) for name, value in found if name in keys}


def _hooks(system: Reader) -> Iterator[str]:
    if system.exists(f"{_HOOKS}/qemu"):
        yield f"{_HOOKS}/qemu"
    for name in system.names(f"{_HOOKS}/qemu.d"):
        if name != "50-gpupass":
            yield f"{_HOOKS}/qemu.d/{name}"
