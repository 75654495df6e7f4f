"""Emulated hosts for the lab tests: one at a time, but for one test, booted once per topology, restored per test."""

import hashlib
import io
import json
import os
import shlex
import tarfile
from pathlib import Path

import pytest

from gpupass.lab.machine import Lab

GUEST_SECONDS = 300
COPY = "/opt/gpupass-copy"
SERVED = "/run/gpupass-served"
REMEMBERED = f"python3 -P {COPY}/tests/lab/inside/remembered.py"
BYTECODE = "/var/cache/gpupass-pyc"
PYTHON = f"export PYTHONPATH={COPY} PYTHONPYCACHEPREFIX={BYTECODE}"
ROOT = Path(__file__).resolve().parents[2]
# A name of its own for every checkout: the tests of another one may be running.
LAB = os.environ.get("GPUPASS_LAB_NAME", "test-" + hashlib.sha256(bytes(ROOT)).hexdigest()[:8])
# So have its snapshots, for its copy is in them: all checkouts of this user share one store.
_OURS = hashlib.sha256(LAB.encode()).hexdigest()[:8]
FOUR_GUESTS, TWO_GUESTS = f"four-guests-{_OURS}", f"two-guests-{_OURS}"


def checkout():
    """gpupass and what tests run inside the lab, as a tar file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("gpupass", "tests/killed.py", "tests/lab/inside"):
            tar.add(ROOT / name, name, filter=_installed)
    return content.getvalue()


def _installed(entry):
    """Without bytecode, and as an installation is: only root can change it, whatever umask the checkout has."""
    entry.mode &= ~0o022
    return None if "__pycache__" in entry.name else entry


class EmulatedHost:
    """A lab with the verbs a test needs; every command's exit status is checked."""

    bytecode = b""  # of the checkout, as the first of these hosts compiled it: that takes minutes when much else runs

    def __init__(self, topology: str, called: str = "") -> None:
        self.topology = topology
        self.lab = Lab(f"{LAB}-{called or topology}")
        self.lab.up(topology, from_snapshot=True, follow=os.getpid(), late=False)

    def settle_in(self) -> None:
        """A copy of the checkout in the machine, compiled, and an interpreter that has imported it.

        The shared checkout asks the host for every file: a verb takes twice as long to start.
        """
        self.unpack(COPY, checkout())
        if EmulatedHost.bytecode:
            self.unpack(BYTECODE, EmulatedHost.bytecode)
        self.serve()
        if not EmulatedHost.bytecode:
            EmulatedHost.bytecode = self.lab.run(["tar", "-cf", "-", "-C", BYTECODE, "."]).stdout

    def unpack(self, folder: str, tar: bytes) -> None:
        script = f"rm -rf {folder} && mkdir {folder} && tar -xf - --no-same-owner -C {folder}"
        done = self.lab.run(["bash", "-c", script], stdin=tar, timeout=GUEST_SECONDS)
        assert done.returncode == 0, done.stderr

    def serve(self, environment: str = "true") -> None:
        """Verbs run in what this shell command exports."""
        self.sh(
            f"{PYTHON}; {environment}; rm -f {SERVED}; "
            f"setsid python3 -P {COPY}/tests/lab/inside/served.py {SERVED} </dev/null >/run/served.log 2>&1 & "
            f"for i in $(seq 1200); do [ -S {SERVED} ] && exit 0; sleep 0.2; done; cat /run/served.log; exit 1"
        )

    def sh(self, script: str, code: int | None = 0, timeout: float = GUEST_SECONDS) -> str:
        done = self.lab.run(["bash", "-c", script], timeout=timeout)
        if code is not None:
            assert done.returncode == code, f"{script}\n{done.text}\n{done.stderr.decode()}"
        return done.text

    def gpupass(self, *argv: str, code: int = 0, timeout: float = GUEST_SECONDS) -> dict:
        """One verb with --json; its document. No verb may ever print a traceback."""
        ask = ["python3", "-I", "-S", f"{COPY}/tests/lab/inside/ask.py", SERVED]
        done = self.lab.run([*ask, *argv, "--json"], timeout=timeout)
        said = f"gpupass {shlex.join(argv)}: exit {done.returncode}\n{done.text}\n{done.stderr.decode()}"
        assert b"Traceback" not in done.stderr, said
        assert done.returncode == code, said
        document = json.loads(done.text)
        assert document["schema"] == 2
        return document

    def killed(self, verb: str, thing: str, points: int) -> list[dict]:
        """What recovery made of a verb killed after a commit: every third, GPUPASS_CRASH_POINTS=all: each.

        Of a verb with at least so many commits; an apply of several devices may have done some of them only.
        """
        stride = 1 if os.environ.get("GPUPASS_CRASH_POINTS") == "all" else 3
        out = self.sh(f"python3 -P {COPY}/tests/lab/inside/crash.py {verb} {thing} {stride}", timeout=1500)
        results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert len(results) >= points // stride, out
        fine = ("before", "wanted", "mixed") if verb == "apply" else ("before", "wanted")
        assert all(r["recover"] == 0 and r["result"] in fine for r in results), out
        return results

    def remembered(self, *tags: str) -> list[str]:
        """The carriers of gpupass's marks with these tags, once for each mark; "open": titles."""
        lines = [line.split(" ", 1) for line in self.sh(REMEMBERED).splitlines()]
        return [about for tag, about in lines if tag in tags]

    def refused(self, *argv: str, code: int = 4) -> str:
        """All that the error says, in one text."""
        error = self.gpupass(*argv, code=code)["error"]
        assert error["message"].startswith("cannot "), error
        return "\n".join([error["message"], *(reason["message"] for reason in error["reasons"])])

    def refusal(self, *argv: str) -> str:
        """With what can be done about it."""
        error = self.gpupass(*argv, code=4)["error"]
        return "\n".join([error["hint"] or "", *(reason["remedy"] or "" for reason in error["reasons"])])

    def refused_pending(self, *argv: str) -> str:
        """The guest has not let go: exit 6."""
        error = self.gpupass(*argv, code=6)["error"]
        assert error["message"].startswith("pending"), error
        return error["message"]

    def start(self, *names: str, guest: str = "ack", options: str = "") -> None:
        """Define and start nested domains and wait until their guests run."""
        for name in names:
            self.sh(
                f"virsh list --name | grep -qx {name} || lab-domain {name} --guest {guest} {options} --start"
            )
        self.running(*names)

    def running(self, *names: str) -> None:
        for name in names:
            log = f"/var/log/libvirt/qemu/{name}-serial.log"
            self.sh(f"for i in $(seq 400); do grep -qs R {log} && exit 0; sleep 0.1; done; exit 1")

    def hostdevs(self, domain: str) -> set[str]:
        """Host addresses in the domain's live XML, as libvirt itself keeps it."""
        xml = self.sh(
            f"virsh dumpxml {domain} | grep -A4 '<hostdev' | grep -o \"domain='0x[^/]*\" || true", code=None
        )
        found = set()
        for line in xml.splitlines():
            parts = [word.split("'")[1].removeprefix("0x") for word in line.split()]
            found.add("{}:{}:{}.{}".format(*parts))
        return found

    def driver(self, address: str) -> str:
        return self.sh(
            f"basename $(readlink /sys/bus/pci/devices/{address}/driver) 2>/dev/null || true"
        ).strip()

    def functions(self) -> dict[str, dict]:
        return {item["address"]: item for item in self.gpupass("list", "--all")["devices"]}

    def find(self, ids: str, number: int = 0) -> str:
        """The address of the n-th function with these vendor:device numbers."""
        out = self.sh(f"lspci -Dnd {ids}")
        return out.splitlines()[number].split()[0]

    def forget_everything(self) -> None:
        """Back to an idle host, for topologies that cannot be restored; guests that have nothing go on running."""
        self.sh(
            "for d in $(virsh list --all --name); do virsh dumpxml $d | grep -q '<hostdev' || "
            "continue; virsh -q destroy $d; virsh -q undefine $d; done 2>&1; true"
        )
        self.sh(
            "gpupass recover >/dev/null; "
            f"for d in $({REMEMBERED} | sed -n 's/^quarantine //p'); do gpupass quarantine clear $d; done; "
            f"for d in $({REMEMBERED} | sed -n 's/^origin //p'); do gpupass unbind $d; done; true",
            code=None,
        )


class Hosts:
    """At most one emulated host of these runs."""

    def __init__(self) -> None:
        self.current: EmulatedHost | None = None

    def get(self, topology: str) -> EmulatedHost:
        if self.current is not None and self.current.topology == topology:
            return self.current
        self.close()
        self.current = EmulatedHost(topology)
        self.current.settle_in()
        return self.current

    def close(self) -> None:
        if self.current is not None:
            self.current.lab.down()
            self.current = None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """All tests of one topology together, so that each is booted once."""
    order = ("simple", "mixed", "slices", "sriov", "groups")

    def rank(item):
        return next(
            (n for n, name in enumerate(order) if name in getattr(item, "fixturenames", ())), len(order)
        )

    items.sort(key=rank)
    for item in items:
        if "simple" in getattr(item, "fixturenames", ()):
            item.add_marker("simple")


@pytest.fixture(scope="session")
def hosts():
    found = Hosts()
    yield found
    found.close()


@pytest.fixture(scope="session")
def simple_saved(hosts):
    """Topology simple with four guests running, saved once: starting a domain costs more than a restore.

    vm1 and vm2 let go at once, sloth after six seconds, stone never.
    """
    host = hosts.get("simple")
    host.start("vm1", "vm2")
    host.start("stone", guest="refuse")
    host.start("sloth", guest="slow", options="--seconds 6")
    host.lab.snapshot(FOUR_GUESTS)
    return host


@pytest.fixture
def simple(simple_saved):
    simple_saved.lab.restore(FOUR_GUESTS, "simple")
    return simple_saved


@pytest.fixture
def another(simple_saved):
    """A second host beside `simple`, as that one was saved: the one test that needs two has two."""
    host = EmulatedHost("simple", "another")
    host.lab.restore("four-guests")
    yield host
    host.lab.down()


@pytest.fixture(scope="session")
def mixed_saved(hosts):
    """Topology mixed with vm1 and vm2 running, saved once."""
    host = hosts.get("mixed")
    host.start("vm1", "vm2", options="--ports 3")
    host.lab.snapshot(TWO_GUESTS)
    return host


@pytest.fixture
def mixed(mixed_saved):
    mixed_saved.lab.restore(TWO_GUESTS, "mixed")
    return mixed_saved


@pytest.fixture(scope="session")
def slices_saved(hosts):
    """Topology slices with vm1 and vm2 running, saved once; no virtual function, no vGPU, no mdev yet."""
    host = hosts.get("slices")
    host.start("vm1", "vm2")
    host.lab.snapshot(TWO_GUESTS)
    return host


@pytest.fixture
def slices(slices_saved):
    slices_saved.lab.restore(TWO_GUESTS)
    return slices_saved


@pytest.fixture(scope="session")
def groups_booted(hosts):
    return hosts.get("groups")


@pytest.fixture
def groups(groups_booted):
    yield groups_booted
    groups_booted.forget_everything()


@pytest.fixture(scope="session")
def sriov_saved(hosts):
    """Topology sriov with vm1 and vm2 running, saved once, before its NVMe controller comes: a restore plugs it."""
    host = hosts.get("sriov")
    host.start("vm1", "vm2")
    host.lab.snapshot(TWO_GUESTS)
    return host


@pytest.fixture
def sriov(sriov_saved):
    sriov_saved.lab.restore(TWO_GUESTS)
    return sriov_saved
