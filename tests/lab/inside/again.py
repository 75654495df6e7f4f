"""Runs inside the lab: attach and detach a device N times in one process; what was left after the first round
and after the last, as JSON. Usage: again.py DOMAIN DEVICE N"""

import json
import os
import re
import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, "/opt/gpupass-copy")

from gpupass import app
from gpupass.model.mark import Claim
from gpupass.store import Store, operations
from gpupass.store.marks import read_marks_of
from gpupass.system import System

DOMAIN, DEVICE, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3])


def left():
    """Open files, locked memory and memory maps of QEMU; our own open files; the ports in the domain's XML."""
    pid = Path(f"/run/libvirt/qemu/{DOMAIN}.pid").read_text().strip()
    status = Path(f"/proc/{pid}/status").read_text()
    xml = Path(f"/run/libvirt/qemu/{DOMAIN}.xml").read_text()
    with closing(Store(Path("/var/lib/gpupass"))) as store:
        claims = read_marks_of(store, Claim)
        unfinished = operations.open_ones(store)
    return {
        "qemu files": len(os.listdir(f"/proc/{pid}/fd")),
        "qemu vfio maps": Path(f"/proc/{pid}/maps").read_text().count("vfio"),
        "qemu locked": re.search(r"VmLck:\s*(\d+)", status)[1],
        "our files": len(os.listdir("/proc/self/fd")),
        "ports": xml.count("<controller type='pci'"),
        "hostdevs": xml.count("<hostdev"),
        "claims": len(claims),
        "open journals": len(unfinished),
    }


system = System()
found = []
for _ in range(ROUNDS):
    app.attach(system, DOMAIN, DEVICE)
    app.detach(system, DOMAIN, DEVICE)
    found.append(left())
print(json.dumps({"first": found[0], "last": found[-1], "rounds": len(found)}))
