"""QEMU's command line for a topology; pure.

The machine has one processor: without KVM, QEMU 10.0 loses the timer of a second one now and then, and Linux
then stands still for a minute or for ever (rcu_preempt: "timer wakeup didn't happen … on cpu=1").
It does not count ticks at boot either (no_timer_check, as under KVM): on a busy machine too few come in time,
and with interrupts remapped Linux panics then (arch/x86/kernel/apic/io_apic.c, panic_if_irq_remap).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpupass.lab.frames import PORT_NAME, PORTS
from gpupass.lab.topology import Device, Topology

ROUTE_MAC = "52:54:00:67:70:01"
SHARE_TAG = "gpupass"
_FIRST_SLOT = 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Everything on the host that the machine is given."""

    kernel: Path
    initrd: Path
    disk: Path
    source: Path
    sockets: Path
    console: Path


def arguments(topology: Topology, files: Files, accelerator: str, *, incoming: bool) -> list[str]:
    argv = [
        "-name", "gpupass-lab", "-M", "q35,kernel-irqchip=split", *_accelerator(accelerator),
        "-smp", "1", "-m", topology.memory, "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-vga", "none", "-rtc", "base=utc,clock=host",
        "-kernel", str(files.kernel), "-initrd", str(files.initrd), "-append", kernel_command_line(topology),
        "-qmp", f"unix:{_path(files.sockets / 'qmp')},server=on,wait=off",
        "-chardev", f"file,id=console,path={_path(files.console)},append=on", "-serial", "chardev:console",
        # The IOMMU comes first: devices listed before it would not be behind it.
        "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on",
        *_disk(topology, files.disk),
        *_channel(files.sockets),
        "-fsdev",
        f"local,id=source,path={_path(files.source)},security_model=none,readonly=on,multidevs=remap",
        "-device", f"virtio-9p-pci,fsdev=source,mount_tag={SHARE_TAG},addr=0x4",
    ]  # fmt: skip
    if topology.boot_display:
        argv += ["-device", "VGA,id=boot-display,addr=0x1"]
    if topology.route is not None:
        argv += [
            "-netdev", "user,id=route,restrict=on",
            "-device", f"{topology.route},netdev=route,mac={ROUTE_MAC},romfile=,addr=0x5",
        ]  # fmt: skip
    for support in topology.support:
        argv += ["-device", ",".join((support.model, *support.options))]
    argv += _ports(topology)
    if incoming:
        argv += ["-incoming", "defer"]
    return argv


def kernel_command_line(topology: Topology) -> str:
    words = [
        "console=ttyS0", "panic=-1", "quiet", "loglevel=4", "intel_iommu=on", "iommu=pt",
        f"root={'/dev/nvme0n1' if topology.root == 'nvme' else '/dev/vda'}", "rw",
        "apparmor=0", "audit=0", "mitigations=off", "tsc=unstable", "no_timer_check",
        "systemd.show_status=0",
        "systemd.mask=systemd-vconsole-setup.service",
    ]  # fmt: skip
    if topology.modules:
        words.append("modules_load=" + ",".join(topology.modules))
    if topology.blacklist:
        words.append("modprobe.blacklist=" + ",".join(topology.blacklist))
    if topology.route is not None:
        words.append(f"gpupass_lab.route={ROUTE_MAC}")
    return " ".join(words)


def device_argument(device: Device, bus: str, *, address: str = "", multifunction: bool = False) -> str:
    words = [device.model, f"id={device.id}", f"bus={bus}"]
    if address:
        words.append(f"addr={address}")
    if multifunction:
        words.append("multifunction=on")
    return ",".join((*words, *device.options))


def port_name(number: int) -> str:
    return f"port{number}"


def port_address(number: int) -> str:
    """Where the machine sees a root port."""
    return f"0000:00:{_FIRST_SLOT + number:02x}.0"


def _accelerator(name: str) -> list[str]:
    if name == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg", "-cpu", "max"]


def _disk(topology: Topology, disk: Path) -> list[str]:
    # Write-back keeps a flush a flush: after a kill, what the guest synced is there and the rest may be lost.
    drive = f"if=none,id=root,file={_path(disk)},format=qcow2,cache=writeback,discard=unmap"
    if topology.root == "nvme":
        return ["-drive", drive, "-device", "nvme,drive=root,serial=gpupass-root,addr=0x2"]
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=root,addr=0x2"]


def _channel(sockets: Path) -> list[str]:
    argv = ["-device", f"virtio-serial-pci,id=channel,max_ports={PORTS + 1},addr=0x3"]
    for number in range(PORTS):
        path = _path(sockets / f"port{number}")
        argv += [
            "-chardev", f"socket,id=agent{number},path={path},server=on,wait=off",
            "-device",
            f"virtserialport,bus=channel.0,nr={number + 1},chardev=agent{number},"
            f"name={PORT_NAME.format(number)}",
        ]  # fmt: skip
    return argv


def _ports(topology: Topology) -> list[str]:
    argv: list[str] = []
    for number, port in enumerate(topology.ports):
        name = port_name(number)
        acs = "" if port.acs else ",disable-acs=on"
        argv += [
            "-device",
            f"pcie-root-port,id={name},bus=pcie.0,chassis={number + 1},slot={number + 1},"
            f"addr={_FIRST_SLOT + number:#x}{acs}",
        ]
        if port.switch:
            argv += ["-device", f"x3130-upstream,id={name}-up,bus={name}"]
            for below, device in enumerate(port.devices):
                bus = f"{name}-down{below}"
                chassis = 100 + number * 10 + below
                argv += [
                    "-device",
                    f"xio3130-downstream,id={bus},bus={name}-up,chassis={chassis},slot={chassis},addr={below:#x}",
                    "-device", device_argument(device, bus),
                ]  # fmt: skip
            continue
        several = len(port.devices) > 1
        for function, device in enumerate(port.devices):
            if not device.late:
                address = f"0x0.{function}" if several else ""
                first = several and function == 0
                argv += ["-device", device_argument(device, name, address=address, multifunction=first)]
    return argv


def _path(path: Path) -> str:
    """A path inside a QEMU option: a comma is written twice."""
    return str(path).replace(",", ",,")
