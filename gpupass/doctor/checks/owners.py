"""Whoever else decides about devices on this host, and gpupass's own things."""

from gpupass.doctor.check import ALL, VFIO, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Type
from gpupass.model.mark import Quarantine
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder

_MANAGERS = {
    "incus.service": "Incus",
    "lxd.service": "LXD",
    "snap.lxd.daemon.service": "LXD",
    "nova-compute.service": "OpenStack",
    "openstack-nova-compute.service": "OpenStack",
    "vdsmd.service": "oVirt",
    "kubelet.service": "Kubernetes",
}
_TOOLS = (
    *(
        "telegraf.service",
        "prometheus-node-exporter.service",
        "zabbix-agent.service",
        "zabbix-agent2.service",
    ),
    *("tuned.service", "powertop.service"),
)
UNSEEN = "gp.unseen"
_MDEVCTL = frozenset({Purpose.MDEV, Purpose.VGPU})
_CONTAINERS = frozenset({Purpose.MIG, Purpose.PASSTHROUGH, Purpose.HOTPLUG})


def _driverctl(sight: Sight) -> Told:
    others = sight.ground.others
    if others is None:
        yield hidden(sight, "what driverctl and udev bind")
        return
    ours = {member.address for member in sight.members}
    taken = [address for address in others.driverctl if address in ours]
    for address in taken:
        why = "driverctl binds it at every boot, whatever gpupass has made of it"
        yield Said(about=address, why=why, remedy=Type(words=f"driverctl unset-override {address}"))
    if others.rules:
        why = f"{', '.join(others.rules)} writes driver_override beside gpupass"
        yield Said(why=why, remedy=Type(words=f"mv {others.rules[0]} /root; udevadm control --reload"))
    if not taken and not others.rules:
        yield fine("nobody else binds them")


def _mdevctl(sight: Sight) -> Told:
    others = sight.ground.others
    if others is None:
        yield hidden(sight, "what mdevctl makes at boot")
        return
    for missing in others.missing_mdevs:
        uuid = missing.partition(" ")[0]
        why = f"mdevctl wants {missing} at boot, and there is no such type"
        yield Said(why=why, remedy=Type(words=f"mdevctl modify --uuid {uuid} --manual"))
    if not others.missing_mdevs:
        yield fine("mdevctl wants nothing that is not there")


def _proxmox(sight: Sight) -> Told:
    found = [
        (member, user)
        for member in sight.members
        for user in member.users
        if user.holder is Holder.PROXMOX_CONFIG
    ]
    for member, user in found:
        why = f"{user.name} names it: it takes it when it starts, without asking"
        yield Said(about=member.address, why=why, remedy=Type(words=remedy(user, member.address)))
    if sight.gpus and not found:
        yield fine("no VM of Proxmox VE names them")


def _managers(sight: Sight) -> Told:
    services = sight.ground.services
    if services is None:
        yield hidden(sight, "which managers run")
        return
    there = list(dict.fromkeys(name for unit, name in _MANAGERS.items() if unit in services.active))
    for name in there:
        why = f"{name} runs here, and may give the same devices away"
        yield Said(
            why=why, remedy=Type(words=f"leave the devices that gpupass has out of what {name} may use")
        )
    if not there:
        yield fine("no other manager of guests runs")


def _containers(sight: Sight) -> Told:
    others = sight.ground.others
    if others is None:
        yield hidden(sight, "what containers are told")
        return
    if others.plugins:
        why = f"kubelet is told of GPUs ({', '.join(others.plugins)}): it gives them to pods"
        words = "kubectl cordon this node; or leave these devices out of what the plugin is told"
        yield Said(why=why, remedy=Type(words=words))
    if others.cdi:
        why = f"{', '.join(others.cdi)} tells containers of devices, and nobody refreshes it when they go"
        yield Said(
            why=why, remedy=Type(words="nvidia-ctk cdi generate anew after each change, or gpupass cdi")
        )
    if not others.plugins and not others.cdi:
        yield fine("only gpupass tells containers of devices")


def _tools(sight: Sight) -> Told:
    services = sight.ground.services
    if services is None:
        yield hidden(sight, "which tools read GPUs")
        return
    active = [unit for unit in _TOOLS if unit in services.active]
    for unit in active:
        why = f"{unit} may open GPUs, or put them to sleep, at any time"
        yield Said(
            why=why, remedy=Type(words=f"take GPUs out of its configuration; or: systemctl stop {unit}")
        )
    if not active:
        yield fine("no tool reads GPUs again and again")


def _boot(sight: Sight) -> Told:
    own = sight.ground.own
    if own is None:
        yield hidden(sight, "what gpupass does at boot")
    elif own.units and not own.profile:
        why = "gpupass starts at boot, and its profile is gone"
        yield Said(why=why, remedy=Type(words="gpupass enable FILE, or: gpupass disable"))
    elif own.shadowed:
        why = f"{', '.join(own.shadowed)} in /etc hides that of the package: no upgrade changes it"
        yield Said(why=why, level=Level.WARN, remedy=Type(words="gpupass disable; then: gpupass enable FILE"))
    else:
        yield fine("every boot applies its profile" if own.units else "gpupass does nothing at boot")


def _quarantine(sight: Sight) -> Told:
    found = [mark for mark in sight.host.marks if isinstance(mark, Quarantine)]
    for mark in found:
        why = f"it is in quarantine: {mark.why}"
        words = f"gpupass quarantine clear {mark.carrier}"
        yield Said(about=str(mark.carrier), why=why, remedy=Type(words=words))
    if not found:
        yield fine("nothing is in quarantine")


def _container(sight: Sight) -> Told:
    own = sight.ground.own
    if own is not None and own.container:
        why = "gpupass runs in a container: it sees and changes only what that lets it"
        yield Said(why=why, remedy=Type(words="run it on the host itself"))
    elif own is not None:
        yield fine("gpupass runs on the host itself")


def _seen(sight: Sight) -> Told:
    """What could not be looked at is not as it should be."""
    for note in sight.host.unseen:
        words = "sudo gpupass doctor" if "root" in note else "look at that first; then again: gpupass doctor"
        yield Said(why=note, remedy=Type(words=words))
    if not sight.host.unseen:
        yield fine("everything was to be seen")


OWNERS = (
    Check(id="udev.driverctl", title="other binders", purposes=VFIO, worst=Level.WARN, find=_driverctl),
    Check(id="mdevctl.types", title="mdevctl", purposes=_MDEVCTL, worst=Level.WARN, find=_mdevctl),
    Check(id="pve.qm", title="Proxmox VE's VMs", purposes=VFIO, worst=Level.WARN, find=_proxmox),
    Check(id="other.vmm", title="other managers", purposes=ALL, worst=Level.WARN, find=_managers),
    Check(id="ct.gpu", title="containers", purposes=_CONTAINERS, worst=Level.WARN, find=_containers),
    Check(id="mon.tools", title="monitoring", purposes=ALL, worst=Level.WARN, find=_tools),
)
OWN = (
    Check(id="gp.boot", title="gpupass at boot", purposes=ALL, worst=Level.FAIL, find=_boot),
    Check(id="gp.quarantine", title="quarantine", purposes=ALL, worst=Level.WARN, find=_quarantine),
    Check(id="gp.host", title="where it runs", purposes=ALL, worst=Level.WARN, find=_container),
    Check(id=UNSEEN, title="what was looked at", purposes=ALL, worst=Level.UNKNOWN, find=_seen),
)
