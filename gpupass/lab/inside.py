"""Shell lines the lab runs in its machine, each harmless to repeat."""

MOUNT = "/opt/gpupass"
# Clock and working copy: both are stale after a restore, both harmless to repeat. While udev still loads
# 9pnet_virtio, that transport is known before its device is, and a mount says the device does not exist:
# modprobe returns when the module has probed (net/9p/trans_virtio.c, p9_virtio_init).
ARRIVE = (
    "date -s @{now} >/dev/null; mountpoint -q {mount} || {{ modprobe 9pnet_virtio && "
    "mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144 {tag} {mount}; }}"
)
SETTLED = (
    "for try in $(seq 240); do case $(systemctl is-system-running) in running|degraded) break;; esac; "
    "sleep 0.5; done; udevadm settle --timeout=60; virsh -q list >/dev/null; sync"
)
# Before its first domain libvirt asks QEMU at length what it can do: let a snapshot have that behind it.
ASK_QEMU = "virsh -q domcapabilities --virttype qemu --machine q35 >/dev/null"
# The command register, which switches the device on, comes after the addresses it is to answer at.
READ_REGISTERS = "base64 -w0 /sys/bus/pci/devices/$1/0000:*/config"
WRITE_REGISTERS = (
    "cd $(dirname /sys/bus/pci/devices/$1/0000:*/config) && echo $2 | base64 -d >/run/registers && "
    "dd if=/run/registers of=config bs=1 skip=16 seek=16 count=48 conv=notrunc status=none && "
    "dd if=/run/registers of=config bs=1 skip=4 seek=4 count=2 conv=notrunc status=none"
)
PUT = 'to=$1; [ ! -d "$to" ] || to=$to/$2; cat >"$to.part" && chmod "$3" "$to.part" && mv "$to.part" "$to"'
