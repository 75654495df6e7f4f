"""Runs inside the lab: kill a verb after every STRIDE-th commit, recover, compare the host.

The interpreter starts once; every verb runs in a forked child, which really dies by SIGKILL.
Prints one JSON line per point. Usage: crash.py bind|attach|detach|move DEVICE STRIDE, or crash.py apply PROFILE STRIDE
"""

import json
import os
import re
import signal
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path

sys.path.insert(0, "/opt/gpupass-copy")

from gpupass import app, errors
from gpupass.app.apply import apply_profile
from gpupass.app.consent import Consent
from gpupass.app.profile_file import load_file
from gpupass.app.reach import Reach
from gpupass.app.session import Session
from gpupass.engine import journal
from gpupass.store import Store
from gpupass.store.marks import read_marks
from gpupass.system import System
from tests import killed

killed.install()
VERB, DEVICE, STRIDE = sys.argv[1], sys.argv[2], int(sys.argv[3])


def child(verb, point=""):
    """Exit status of the verb; -9 when it was killed at `point`."""
    pid = os.fork()
    if pid == 0:
        os.environ["GPUPASS_CRASH"] = point
        try:
            verb()
            os._exit(0)
        except errors.GpupassError as error:
            print(error.message, file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def state():
    """By PCI bus: drivers and overrides, who has what, what gpupass remembers; and the open journals."""
    parts = defaultdict(dict)
    for path in sorted(Path("/sys/bus/pci/devices").iterdir()):
        driver = path / "driver"
        parts[path.name[5:7]][path.name] = [
            driver.readlink().name if driver.is_symlink() else None,
            (path / "driver_override").read_text().strip(),
        ]
        vgpu = path / "nvidia/current_vgpu_type"
        if vgpu.exists():
            parts[path.name[5:7]][f"vgpu {path.name}"] = vgpu.read_text().strip()
    for path in sorted(Path("/sys/bus/mdev/devices").glob("*")):
        parts["mdev"][path.name] = (path / "mdev_type").readlink().name
    for path in sorted(Path("/run/libvirt/qemu").glob("*.xml")):
        for alias in re.findall(r"<alias name='(ua-gpupass-[^']+)'", path.read_text()):
            mdev = (Path("/sys/bus/mdev/devices") / alias.removeprefix("ua-gpupass-")).exists()
            parts["mdev" if mdev else alias[16:18]][alias] = path.stem
    with closing(Store(Path("/var/lib/gpupass"))) as store:  # and closed before the next fork
        for mark in read_marks(store):
            tag, carrier, part = mark.key
            if tag in ("claim", "quarantine", "sriov.made", "mdev.made", "vgpu.made"):
                parts["mdev" if part else carrier[5:7]][f"{tag} {carrier} {part}"] = True
        parts["journal"]["open"] = [one.title for one in journal.open_operations(store)]
    return dict(parts)


def compared(after):
    """Every part must be as before or as wanted; "mixed" when not all of them are the same."""
    if after in (before, wanted):
        return "before" if after == before else "wanted"
    fits = all(after.get(p) in (before.get(p), wanted.get(p)) for p in before.keys() | after.keys())
    return "mixed" if fits else "other"


def recover():
    for report in app.recover(System(), wait=True):
        if report.ending not in (app.Ending.DONE, app.Ending.ROLLED_BACK):
            raise errors.NeedsPerson(f"recover: {report.ending}: {report.note}")


def idle():
    app.unbind(System(), DEVICE)


def bound():
    app.bind(System(), DEVICE)


def applied(file=DEVICE):
    """As `gpupass apply --yes --allow-disruption`; a rolled back part is no success."""
    session = Session(System())
    reach = Reach(profile=load_file(session.system, file), source=file)
    if not apply_profile(session, reach, Consent(disruption=True)).done:
        raise errors.GpupassError("not everything was applied")


def taken_back():
    """The host as it was before the first apply, whatever was killed in between."""
    recover()
    applied("/root/before.yaml")


VERBS = {
    "bind": (lambda: app.bind(System(), DEVICE), idle),
    "attach": (lambda: app.attach(System(), "vm1", DEVICE), lambda: app.detach(System(), "vm1", DEVICE)),
    "detach": (lambda: app.detach(System(), "vm1", DEVICE), lambda: app.attach(System(), "vm1", DEVICE)),
    "apply": (applied, taken_back),
    "move": (lambda: app.move(System(), DEVICE, "vm2"), lambda: app.move(System(), DEVICE, "vm1")),
}
verb, back = VERBS[VERB]

if VERB not in ("bind", "apply"):
    assert child(bound) == 0
assert child(back) == 0, "cannot prepare"
before = state()
assert child(verb) == 0, "the verb itself fails"
wanted = state()
assert before != wanted

for number in (1, *range(2, 100, STRIDE)):  # nothing is begun at 1; a bind of 6 commits is done at 5
    assert child(back) == 0, f"cannot go back before point {number}"
    assert state() == before, f"back is not as before at point {number}"
    killed = child(verb, str(number))
    if killed == 0:
        break
    assert killed == -signal.SIGKILL, f"point {number}: exit {killed}"
    recovered = child(recover)
    after = state()
    result = compared(after)
    line = {"point": number, "recover": recovered, "result": result}
    print(json.dumps(line if result != "other" else {**line, "state": after}), flush=True)
