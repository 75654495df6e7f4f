"""What makes each kind of holder let go, as one would type it; pure.

What is asked to end is what would start it anew: the service, not its process; the domain, not its QEMU.
"""

from collections.abc import Mapping
from shlex import quote

from gpupass.model.user import Holder, User, UserKind

_OTHER = "choose another device"
REMEDIES: Mapping[Holder, str] = {
    Holder.PROCESS: "end it: kill {pid}",
    Holder.DESKTOP: "end its desktop session: loginctl terminate-session {handle}",
    Holder.UNIT: "stop the service: systemctl stop {handle}",
    Holder.STOPPABLE: "have it stopped for as long as it takes: --stop {first}; or: systemctl stop {unit}",
    Holder.USER_UNIT: "stop that user's service: systemctl --user --machine={user}@ stop {unit}",
    Holder.DOMAIN: "shut the domain down: virsh shutdown {handle}",
    Holder.DOMAIN_DISK: "take the disk out: virsh detach-disk {handle}; or: virsh shutdown {first}",
    Holder.DOMAIN_INTERFACE: "shut the domain down, or move its interface: virsh shutdown {handle}",
    Holder.PROXMOX: "shut the VM down: qm shutdown {handle}",
    Holder.PROXMOX_CONFIG: "take it out of that VM: qm set {first} --delete {unit}",
    Holder.QEMU: "shut its guest down, from inside or by what has started it (QEMU: system_powerdown)",
    Holder.DOCKER: "stop the container: docker stop {handle}",
    Holder.PODMAN: "stop the container: podman stop {handle}",
    Holder.KUBERNETES: "delete or evict its pod, which this names: crictl inspect {handle}",
    Holder.INCUS: "stop the instance: incus stop {handle}",
    Holder.LXD: "stop the instance: lxc stop {handle}",
    Holder.LXC: "stop the container: lxc-stop --name {handle}",
    Holder.PROXMOX_CONTAINER: "stop the container: pct shutdown {handle}",
    Holder.NSPAWN: "stop the container: machinectl poweroff {handle}",
    Holder.SLURM: "end the job: scancel {handle}",
    Holder.MOUNT: f"{_OTHER}, or unmount it: umount {{handle}}",
    Holder.ROOT: f"{_OTHER}: the host lives on this one",
    Holder.SWAP: f"{_OTHER}, or end swapping to it: swapoff {{handle}}",
    Holder.LVM: f"{_OTHER}, or when nobody uses its volumes: vgchange --activate n {{handle}}",
    Holder.CRYPT: f"{_OTHER}, or close it: cryptsetup close {{handle}}",
    Holder.MULTIPATH: f"{_OTHER}, or when nobody uses it: multipath -f {{handle}}",
    Holder.MAPPER: f"{_OTHER}, or when nobody uses it: dmsetup remove {{handle}}",
    Holder.RAID: f"{_OTHER}, or when nobody uses it: mdadm --stop /dev/{{handle}}",
    Holder.BCACHE: f"{_OTHER}, or when nobody uses it: echo 1 > /sys/class/block/{{handle}}/bcache/stop",
    Holder.DRBD: f"{_OTHER}, or take its resource down, which this names: drbdadm sh-dev all",
    Holder.BLOCK: f"{_OTHER}; what stands on it: lsblk /dev/{{handle}}",
    Holder.ZFS: f"{_OTHER}, or give the pool away: zpool export {{handle}}",
    Holder.CEPH: f"{_OTHER}, or stop the OSD: systemctl stop {{handle}}",
    Holder.TARGET: f"{_OTHER}, or serve it no longer: targetcli /backstores/block delete {{handle}}",
    Holder.NVME_TARGET: f"{_OTHER}, or serve it no longer: echo 0 > {{handle}}/enable",
    Holder.LOOP: f"{_OTHER}, or end the loop device: losetup --detach /dev/{{handle}}",
    Holder.ROUTE: f"{_OTHER}, or when the host can do without it: ip link set {{handle}} down",
    Holder.BRIDGE: f"{_OTHER}, or take it out of the bridge: ip link set {{handle}} nomaster",
    Holder.SWITCH: f"{_OTHER}, or take it out of the switch: ovs-vsctl del-port {{handle}}",
    Holder.MASTER: f"{_OTHER}, or take it out: ip link set {{handle}} nomaster",
    Holder.ABOVE: f"{_OTHER}, or end what stands on it: ip link delete {{handle}}",
    Holder.NAMESPACE: f"{_OTHER}, or stop the container that has it; the name spaces: lsns --type net",
    Holder.VDPA: f"{_OTHER}, or when nobody uses it: vdpa dev del {{handle}}",
    Holder.CONSOLE: "take the console off it: echo 0 > /sys/class/vtconsole/{handle}/bind",
    Holder.FRAMEBUFFER: "take the framebuffer off it: echo {last} > {above}/unbind",
    Holder.MODULE: "when nobody uses it: modprobe --remove {handle}",
}
_OF_KIND: Mapping[UserKind, str] = {
    UserKind.DOMAIN: "gpupass detach {name} {address}",
    UserKind.DOMAIN_CONFIG: "take it out of the definition: virsh edit {name}",
    UserKind.VM: "shut that VM down; it is named by: ps -ef",
    UserKind.PROCESS: "see who it is: systemctl status {pid}",
    UserKind.KERNEL: _OTHER,
    UserKind.DISK: f"{_OTHER}, or move what lies on it to a disk elsewhere",
    UserKind.NETWORK: f"{_OTHER}, or take {{name}} out of use first",
    UserKind.BOOT_DISPLAY: "make another card the first display in the firmware setup, "
    "or add --allow-boot-display",
}


def remedy(user: User, address: str) -> str:
    """What makes this user let go of the device; names of others are quoted as a shell would have them."""
    text = REMEDIES.get(user.holder) or _OF_KIND[user.kind]
    owner, _, unit = user.handle.partition(" ")
    above, _, last = user.handle.rpartition("/")
    return text.format(
        address=address,
        name=quote(user.name),
        pid=user.pid if user.pid is not None else "PID",
        handle=" ".join(map(quote, user.handle.split(" "))) if user.holder in _WORDS else quote(user.handle),
        user=quote(owner),
        unit=" ".join(map(quote, unit.split())),
        first=quote(owner),
        above=quote(above),
        last=quote(last),
    )


_WORDS = (Holder.DOMAIN_DISK, Holder.UNIT)  # their handle is several words of a command
