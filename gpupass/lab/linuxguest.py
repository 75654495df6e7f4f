"""A real Linux as nested guest: booted once, which takes minutes under emulation, and kept in a snapshot."""

from __future__ import annotations

import time

from gpupass.errors import GpupassError
from gpupass.lab.machine import Lab, Progress

SNAPSHOT = "linux-guest"
DOMAIN = "linux1"
_LAB = "linux-guest-build"
_LOG = f"/var/log/libvirt/qemu/{DOMAIN}-serial.log"
_READY = "linux guest ready"
_BOOT_SECONDS = 1500.0


def build(progress: Progress, topology: str = "simple") -> None:
    """Boot a lab with one Linux guest and save it; nothing to do when the snapshot is there."""
    lab = Lab(_LAB, progress)
    if SNAPSHOT in lab.snapshot_names(topology):
        return
    lab.down()
    lab.up(topology, from_snapshot=True)
    try:
        _boot_guest(lab, progress)
        lab.snapshot(SNAPSHOT)
    finally:
        lab.down()


def _boot_guest(lab: Lab, progress: Progress) -> None:
    done = lab.run(["lab-domain", DOMAIN, "--guest", "linux", "--start"], timeout=120)
    if done.returncode != 0:
        raise GpupassError(f"cannot start the Linux guest: {done.stderr.decode(errors='replace').strip()}")
    begun = time.monotonic()
    said = 0.0
    while time.monotonic() - begun < _BOOT_SECONDS:
        waited = lab.run(["sh", "-c", f"sleep 5; cat {_LOG}"], timeout=60)
        if _READY in waited.text:
            progress(f"the Linux guest is up after {time.monotonic() - begun:.0f} s")
            return
        if time.monotonic() - said > 30:
            said = time.monotonic()
            lines = [line.strip() for line in waited.text.splitlines() if line.strip()]
            progress(f"booting the Linux guest, {said - begun:.0f} s: {lines[-1][:70] if lines else '...'}")
    raise GpupassError(f"cannot boot the Linux guest: not ready after {_BOOT_SECONDS:.0f} s")
