"""How long one display takes from one running guest to another in the lab: gpupass beside virsh alone."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

from benchmarks.measure import Goal, tell
from gpupass import app
from gpupass.system import System

DEVICE = "0000:01:00.0"
GUESTS = ("vm1", "vm2")
QEMU = "qemu:///system"


def measure(rounds: int) -> None:
    """On this machine: boot the lab, let it measure itself."""
    from gpupass.lab.machine import Lab

    lab = Lab("bench")
    lab.up("simple", from_snapshot=True, follow=os.getpid())
    try:
        for name in GUESTS:
            lab.run(["lab-domain", name, "--start"])
            log = f"/var/log/libvirt/qemu/{name}-serial.log"
            lab.run(["bash", "-c", f"until grep -qs R {log}; do sleep 0.1; done"], timeout=120)
        program = ["python3", "-P", "/opt/gpupass/scripts/bench-move", DEVICE, str(rounds)]
        done = lab.run(program, timeout=900)
        if done.returncode != 0:
            raise SystemExit(f"bench: the lab's part failed:\n{done.text}{done.stderr.decode()}")
    finally:
        lab.down()
    times = {way: median(seconds) for way, seconds in json.loads(done.text).items()}
    unit = times["virsh"]
    for name, mine, most in (
        ("until the second guest has it", times["arrived"], 0.9),
        ("until it is verified", times["verified"], 1.1),
    ):
        name = f"move {name} / virsh detach-, attach-device"
        tell(name, mine, unit, mine / unit, "wall, in the lab", Goal(most=most))


def inside(device: str, rounds: int) -> dict[str, list[float]]:
    """Within the lab, with both guests running: seconds of each move."""
    app.bind(System(), device)
    by_virsh = virsh_moves(device, rounds)
    arrived, verified = gpupass_moves(System(), device, rounds)
    return {"virsh": by_virsh, "arrived": arrived, "verified": verified}


def gpupass_moves(system: System, device: str, rounds: int) -> tuple[list[float], list[float]]:
    """Until libvirt has plugged it into the other guest, and until all is verified; no interpreter start."""
    arrived, verified = [], []
    app.attach(system, GUESTS[0], device)
    with _plugged(system) as plugged:
        for _, target in _ways(rounds):
            started = time.monotonic()
            app.move(system, device, target)
            arrived.append(plugged[-1] - started)
            verified.append(time.monotonic() - started)
    app.detach(system, GUESTS[rounds % 2], device)
    return arrived, verified


@contextmanager
def _plugged(system: System) -> Iterator[list[float]]:
    """When libvirt said so."""
    times: list[float] = []
    kind = type(system.hypervisor(QEMU))
    attach = kind.attach

    def noting(libvirt, *arguments):
        attach(libvirt, *arguments)
        times.append(time.monotonic())

    with patch.object(kind, "attach", noting):
        yield times


def virsh_moves(device: str, rounds: int) -> list[float]:
    xml = Path("/run/bench-device.xml")
    xml.write_text(hostdev(device))
    _virsh("attach-device", GUESTS[0], str(xml))
    times = []
    for source, target in _ways(rounds):
        started = time.monotonic()
        _virsh("detach-device", source, str(xml))
        while "<hostdev" in Path(f"/run/libvirt/qemu/{source}.xml").read_text():
            time.sleep(0.02)
        _virsh("attach-device", target, str(xml))
        times.append(time.monotonic() - started)
    _virsh("detach-device", GUESTS[rounds % 2], str(xml))
    return times


def hostdev(device: str) -> str:
    domain, bus, slot, function = re.fullmatch(r"(....):(..):(..)\.(.)", device).groups()
    address = f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'"
    return (
        f"<hostdev mode='subsystem' type='pci' managed='no'><source><address {address}/></source></hostdev>"
    )


def _ways(rounds: int) -> Iterator[tuple[str, str]]:
    """Source and target: there, back, there, …"""
    for number in range(rounds):
        yield GUESTS[number % 2], GUESTS[1 - number % 2]


def _virsh(*argv: str) -> None:
    subprocess.run(["virsh", "-q", *argv], check=True, stdout=subprocess.DEVNULL)
