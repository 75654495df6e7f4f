"""Others act beside gpupass: virsh before and between its steps, services that somebody starts again."""

import json
import shlex
from contextlib import contextmanager

import pytest

from tests.lab.conftest import COPY, SERVED

pytestmark = pytest.mark.lab

GPU = "0000:01:00.0"


def results(document):
    return [item["result"] for item in document["changes"]]


def done(document):
    return [step["step"] for step in document["steps"] if step["status"] == "done"]


def records(host):
    return host.remembered("claim", "quarantine", "origin", "open")


# ── what others do between two steps ────────────────────────────────────────────────────────────────────────


class Standing:
    """A gpupass that stands still before a step."""

    def __init__(self, host, number):
        self.host, self.file, self.code, self.document = host, f"/run/standing{number}", None, {}
        self.died = False

    def go_on(self):
        out = self.host.sh(
            f"rm -f {self.file}; for i in $(seq 2400); do [ -s {self.file}.done ] && break; sleep 0.1; done; "
            f"cat {self.file}.done; cat {self.file}.out; grep -A20 Traceback {self.file}.err || true"
        )
        code, _, text = out.partition("\n")
        self.code, self.document = int(code), json.loads(text)

    def die(self):
        self.died = True
        self.host.sh(f"kill -9 $(cat {self.file}); rm -f {self.file}")


@pytest.fixture
def calm(simple):
    """Without the guests that never let go: each takes its share of the one processor."""
    simple.sh("virsh -q suspend stone; virsh -q suspend sloth")
    return simple


@contextmanager
def standing(host, step, *verb, number=0):
    """It goes on at the end of the block, unless it has died there."""
    it = Standing(host, number)
    host.sh(
        f"rm -f {it.file}*; (python3 -I -S {COPY}/tests/lab/inside/ask.py {SERVED} stand {step} {it.file} {shlex.join(verb)} --json "
        f">{it.file}.out 2>{it.file}.err </dev/null; echo $? >{it.file}.done) >/dev/null 2>&1 & "
        f"for i in $(seq 1200); do [ -s {it.file} ] && exit 0; [ -e {it.file}.done ] && break; sleep 0.1; done; "
        f"cat {it.file}.out {it.file}.err; exit 1"
    )
    yield it
    if not it.died:
        it.go_on()


def by_virsh(host, domain, address, managed):
    bus = address.split(":")[1]
    host.sh(
        f"cat > /run/{domain}.xml <<X\n<hostdev mode='subsystem' type='pci' managed='{managed}'><source>"
        f"<address domain='0' bus='0x{bus}' slot='0' function='0'/></source></hostdev>\nX\n"
        f"virsh -q attach-device {domain} /run/{domain}.xml --live"
    )
    assert host.hostdevs(domain) == {address}


def taken_by_virsh(host, domain):
    host.sh(
        f"virsh dumpxml {domain} | sed -n '/<hostdev/,/<\\/hostdev/p' >/run/dev.xml; "
        f"virsh -q detach-device {domain} /run/dev.xml --live; "
        f"for i in $(seq 200); do virsh dumpxml {domain} | grep -q '<hostdev' || exit 0; sleep 0.1; done; exit 1"
    )


def test_a_managed_attachment_of_virsh_is_detached_and_moved(calm):
    """libvirt gives it back to the host itself: nothing is reset under the host's driver, and a move goes on after."""
    by_virsh(calm, "vm1", GPU, "yes")
    (gpu,) = [item for item in calm.gpupass("list")["devices"] if item["address"] == GPU]
    assert ("domain", "vm1") in {(user["kind"], user["name"]) for user in gpu["users"]}
    document = calm.gpupass("detach", "vm1", GPU)
    assert results(document) == ["done"] and "ResetDevice" not in done(document)
    assert "libvirt itself gives it back" in json.dumps(document)
    assert calm.driver(GPU) == "bochs-drm" and calm.hostdevs("vm1") == set()
    assert records(calm) == []
    by_virsh(calm, "vm1", GPU, "yes")
    document = calm.gpupass("move", GPU, "--to", "vm2")
    assert results(document) == ["done"], document
    assert (calm.hostdevs("vm1"), calm.hostdevs("vm2")) == (set(), {GPU})
    assert "managed='no'" in calm.sh("virsh dumpxml vm2 | grep '<hostdev'")
    calm.gpupass("detach", "vm2", GPU)
    calm.gpupass("unbind", GPU)
    assert calm.driver(GPU) == "bochs-drm" and records(calm) == []


def test_virsh_gives_it_away_before_gpupass_does(calm):
    """Whoever has it by then keeps it; gpupass is told so by libvirt, and puts nothing back under a guest."""
    with standing(calm, "AttachDevice", "attach", "vm1", GPU) as attach:
        by_virsh(calm, "vm2", GPU, "no")
    assert attach.code in (1, 5), attach.document
    assert "vm2" in attach.document["error"]["message"]
    assert calm.hostdevs("vm2") == {GPU} and calm.driver(GPU) == "vfio-pci"
    taken_by_virsh(calm, "vm2")
    calm.gpupass("recover")
    calm.gpupass("attach", "vm1", GPU)
    assert calm.hostdevs("vm1") == {GPU}


# ── who works with a device for the host ────────────────────────────────────────────────────────────────────

UNIT = """[Service]
ExecStart=sleep infinity
StandardInput=file:/dev/dri/by-path/pci-{gpu}-card
"""


def a_unit_that_holds(host, gpu, name="holder"):
    host.sh(
        f"cat >/etc/systemd/system/{name}.service <<'X'\n{UNIT.format(gpu=gpu)}X\n"
        f"mkdir -p /etc/gpupass; echo {name} {name}.service >>/etc/gpupass/stoppable; "
        f"systemctl daemon-reload; systemctl start {name}.service"
    )


def state(host, *units):
    return host.sh(f"systemctl is-active {' '.join(units)}", code=None).split()


def test_a_service_that_its_socket_starts_again(calm):
    a_unit_that_holds(calm, GPU)
    calm.sh(
        "printf '[Socket]\\nListenStream=/run/holder.sock\\n' >/etc/systemd/system/holder.socket; "
        "systemctl stop holder; systemctl daemon-reload; systemctl start holder.socket; systemctl start holder"
    )
    calm.sh(  # a client that knocks all the time
        "setsid python3 -c \"import socket, time\nwhile True:\n s = socket.socket(socket.AF_UNIX)\n try: s.connect('/run/holder.sock')\n except OSError: pass\n time.sleep(0.2)\" >/dev/null 2>&1 & "
    )
    calm.gpupass("bind", GPU, "--stop", "holder")
    assert calm.driver(GPU) == "vfio-pci" and state(calm, "holder", "holder.socket") == ["inactive"] * 2
    calm.gpupass("unbind", GPU)
    assert state(calm, "holder", "holder.socket") == ["active"] * 2
