"""What a machine needs between its start and its first command, and before it is saved."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpupass.errors import GpupassError
from gpupass.lab import inside, qemu
from gpupass.lab.commands import must
from gpupass.lab.instance import Instance
from gpupass.lab.snapshots import Snapshot
from gpupass.lab.topology import Topology

BOOT_SECONDS = 240.0


def booted(instance: Instance, progress: Callable[[str], None]) -> None:
    arrived(instance, BOOT_SECONDS)
    progress("waiting for the services to settle")
    must(instance, "sh", "-c", inside.SETTLED)
    must(instance, "sh", "-c", f"{inside.ASK_QEMU} 2>&1 &")


def revived(instance: Instance, saved: Snapshot) -> None:
    """Everything a restored machine needs that its snapshot could not hold."""
    arrived(instance)
    for port, registers in saved.registers().items():
        must(instance, "sh", "-c", inside.WRITE_REGISTERS, "registers", port, registers)


def arrived(instance: Instance, timeout: float = 30.0) -> None:
    """It answers, has the time and the working copy."""
    script = inside.ARRIVE.format(now=f"{time.time():.3f}", mount=inside.MOUNT, tag=qemu.SHARE_TAG)
    must(instance, "sh", "-c", script, agent_timeout=timeout)


def ready_to_save(instance: Instance, wanted: Topology) -> dict[str, str]:
    """PCI registers that QEMU saves nothing of: root port address → bytes in base64."""
    must(instance, "sh", "-c", inside.ASK_QEMU)
    # QEMU cannot save a machine that has the working copy mounted.
    must(
        instance,
        "sh",
        "-c",
        f"udevadm settle --timeout=60; umount {inside.MOUNT} || umount -l {inside.MOUNT}; sync",
    )
    ports = [qemu.port_address(number) for number, _ in wanted.stateless]
    return {port: must(instance, "sh", "-c", inside.READ_REGISTERS, "registers", port) for port in ports}


def why_no_snapshot(instance: Instance, wanted: Topology) -> str | None:
    """Late devices count once they are plugged in; QEMU's NVMe does not survive being unplugged."""
    with instance.qmp() as monitor:
        plugged = monitor.hmp("info qtree")
    there = {device.id for _, device in wanted.late if f'id "{device.id}"' in plugged}
    return wanted.why_no_snapshot(late=there)


def plug_late(instance: Instance, wanted: Topology) -> None:
    if not wanted.late:
        return
    count = "ls /sys/bus/pci/devices | wc -l"
    before = int(must(instance, "sh", "-c", count))
    with instance.qmp() as monitor:
        for number, device in wanted.late:
            answer = monitor.hmp(f"device_add {qemu.device_argument(device, qemu.port_name(number))}").strip()
            if answer:
                raise GpupassError(f"cannot plug {device.id} into the lab: {answer}")
    there = f"[ $({count}) -ge {before + len(wanted.late)} ]"
    seen = f"for try in $(seq 200); do {there} && break; sleep 0.1; done; {there}"
    must(instance, "sh", "-c", f"{seen} && udevadm settle --timeout=30")
