"""Services that may be stopped for as long as a device is elsewhere: names that people use → systemd's units.

No service that a host is not to be without is ever among them, whoever says so. Nor is nvidia-fabricmanager:
without it every GPU of its fabric loses its work.
"""

import re
from collections.abc import Mapping

Table = Mapping[str, str]  # unit → the name of `stop:` and `--stop`

FILE = "/etc/gpupass/stoppable"  # the administrator's: lines of a name and its units
DISPLAY_MANAGER = "display-manager"  # whichever of them is installed: systemd's alias says
CONSOLE = "console"  # no service: the kernel's text console and framebuffer
ALIAS = f"/etc/systemd/system/{DISPLAY_MANAGER}.service"
NAMES: Mapping[str, tuple[str, ...]] = {
    "nvidia-persistenced": ("nvidia-persistenced.service",),
    "nvidia-powerd": ("nvidia-powerd.service",),
    "dcgm": ("nvidia-dcgm.service", "dcgm.service"),
    "dcgm-exporter": ("dcgm-exporter.service", "nvidia-dcgm-exporter.service"),
    "nvsm": ("nvsm.service", "nvsm-core.service"),
    "amd-metrics-exporter": ("amd-metrics-exporter.service", "gpuagent.service"),
    "xpum": ("xpum.service", "xpumd.service"),
    "node-exporter": ("prometheus-node-exporter.service", "node_exporter.service"),
    "telegraf": ("telegraf.service",),
    "netdata": ("netdata.service",),
    "zabbix-agent": ("zabbix-agent.service", "zabbix-agent2.service"),
    "ollama": ("ollama.service",),
    DISPLAY_MANAGER: (),
    CONSOLE: (),
}
NAME = r"[A-Za-z][A-Za-z0-9._-]{0,62}"
_UNIT = r"[A-Za-z0-9_][A-Za-z0-9:_.\\@-]{0,240}\.service"
_NEVER = (  # compiled when somebody asks
    r"(systemd-.*|dbus.*|polkit.*|user@.*|getty@.*|.*getty.*|sshd?(@.*)?|auditd?|r?syslog.*|cron.*"
    r"|chrony.*|ntp.*|libvirt.*|virt.*d|qemu.*|pve.*|gpupass.*|docker|containerd|crio|podman.*|kubelet|incus.*|lxd.*"
    r"|[Nn]etwork.*|wpa_supplicant.*|firewalld|nftables|iptables.*|ovs.*|openvswitch.*|sssd.*"
    r"|lvm2.*|dm-event|mdmonitor.*|multipathd|iscsid?.*|open-iscsi|zfs.*|ceph.*|nfs.*|rpc.*|udev.*|kmod.*"
    r"|nvidia-fabricmanager|nvidia-vgpud?|nvidia-vgpu-mgr)\.service"
)


def _named(unit: str) -> bool:
    return re.fullmatch(_UNIT, unit) is not None


def never(unit: str) -> bool:
    """Is it a service that nothing stops?"""
    return re.fullmatch(_NEVER, unit) is not None


def parse(text: str) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """`NAME UNIT…` a line, `#` begins a comment: the units of each name, and what is wrong with the rest."""
    found: dict[str, tuple[str, ...]] = {}
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        name, *units = line.partition("#")[0].split() or ("",)
        if not name:
            continue
        refused = next((unit for unit in units if never(unit)), None)
        if refused is not None:
            wrong.append(f"line {number}: {refused} is never stopped")
        elif not units or not re.fullmatch(NAME, name) or not all(map(_named, units)):
            wrong.append(f"line {number} is no name and its units (dcgm nvidia-dcgm.service)")
        else:
            found[name] = (*found.get(name, ()), *units)
    return found, tuple(wrong)


def table_of(*named: Mapping[str, tuple[str, ...]], display_manager: str = "") -> Table:
    """By unit; a later table adds to the earlier ones."""
    table = {unit: name for names in named for name, units in names.items() for unit in units}
    if _named(display_manager) and not never(display_manager):
        table[display_manager] = DISPLAY_MANAGER
    return table
