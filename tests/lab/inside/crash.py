"""Runs inside the lab: kill a verb after every journal line, recover, compare the host.

The interpreter starts once; every verb runs in a forked child, which really dies by SIGKILL.
Prints one JSON line per point. Usage: crash.py bind|attach|detach|move DEVICE
"""

import json
import os
import re
import signal
import sys
from pathlib import Path

sys.path.insert(0, "/opt/gpupass")

from gpupass import app, errors
from gpupass.system import System

VERB, DEVICE = sys.argv[1], sys.argv[2]
STATE = Path("/var/lib/gpupass")


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
    """Drivers and overrides of all functions, who has the device, what gpupass remembers."""
    functions = {}
    for path in sorted(Path("/sys/bus/pci/devices").iterdir()):
        driver = path / "driver"
        functions[path.name] = [
            driver.readlink().name if driver.is_symlink() else None,
            (path / "driver_override").read_text().strip(),
        ]
    domains = {}
    for path in sorted(Path("/run/libvirt/qemu").glob("*.xml")):
        domains[path.stem] = sorted(re.findall(r"<alias name='(ua-gpupass-[^']+)'", path.read_text()))
    records = sorted(
        str(p.relative_to(STATE)) for k in ("claim", "quarantine") for p in (STATE / k).glob("*")
    )
    journals = sorted(p.name for p in (STATE / "journal").glob("*"))
    return {"functions": functions, "domains": domains, "records": records, "journals": journals}


def recover():
    for report in app.recover(System(), wait=True):
        if report.ending not in (app.Ending.DONE, app.Ending.ROLLED_BACK):
            raise errors.NeedsPerson(f"recover: {report.ending}: {report.note}")


def idle():
    app.unbind(System(), DEVICE)


def bound():
    app.bind(System(), DEVICE)


VERBS = {
    "bind": (lambda: app.bind(System(), DEVICE), idle),
    "attach": (lambda: app.attach(System(), "vm1", DEVICE), lambda: app.detach(System(), "vm1", DEVICE)),
    "detach": (lambda: app.detach(System(), "vm1", DEVICE), lambda: app.attach(System(), "vm1", DEVICE)),
    "move": (lambda: app.move(System(), DEVICE, "vm2"), lambda: app.move(System(), DEVICE, "vm1")),
}
verb, back = VERBS[VERB]

if VERB != "bind":
    assert child(bound) == 0
assert child(back) == 0, "cannot prepare"
before = state()
assert child(verb) == 0, "the verb itself fails"
wanted = state()
assert before != wanted

for number in range(1, 60):
    assert child(back) == 0, f"cannot go back before point {number}"
    assert state() == before, f"back is not as before at point {number}"
    killed = child(verb, str(number))
    if killed == 0:
        break
    assert killed == -signal.SIGKILL, f"point {number}: exit {killed}"
    recovered = child(recover)
    after = state()
    result = "before" if after == before else "wanted" if after == wanted else "other"
    print(json.dumps({"point": number, "recover": recovered, "result": result, "state": after}), flush=True)
