"""A definition made ready: exactly that, whoever writes it meanwhile, and taken back where it fails."""

import json
import sys

import pytest

from gpupass import app
from gpupass.app.definition import prepare
from gpupass.cli import inspect, main
from gpupass.errors import GpupassError, NeedsPerson, Refused, Usage
from gpupass.inspect import check_domain
from gpupass.model.domain import DomainState
from gpupass.system.libvirt import LibvirtFailure
from tests.simulated import GPU, LONE
from tests.simulated_libvirt import REFUSES

GIB = 1 << 30
QEMU = "qemu:///system"
PASSWORD = "<graphics type='vnc' passwd='secret'/>"


@pytest.fixture
def vm1(machine):
    guest = machine.libvirt.guests["vm1"]
    guest.ports = 1
    return guest


def definition(machine):
    return machine.libvirt.definition("00000000-0000-0000-0000-000000000001")


def test_of_the_next_start(machine, vm1):
    live = machine.libvirt.live_xml(vm1.uuid)
    report = prepare(machine, "vm1", 2, 5 * GIB)
    assert report.changed and "when it is started anew" in report.warnings[-1].message
    assert definition(machine).count('model="pcie-root-port"') == 2
    assert definition(machine).count(str(8 * GIB)) == 2
    assert machine.libvirt.live_xml(vm1.uuid) == live, "the guest that runs is not touched"
    assert prepare(machine, "vm1", 2, 5 * GIB).ending is app.Ending.NOTHING


def test_said_beforehand_is_what_happens(machine, vm1):
    planned = prepare(machine, "vm1", 2, GIB, dry_run=True)
    before = definition(machine)
    assert planned.changed and before == definition(machine)
    done = prepare(machine, "vm1", 2, GIB, approved=planned.plan)
    assert (done.plan.steps, done.difference) == (planned.plan.steps, planned.difference)
    assert done.difference.after[f"domain:{vm1.uuid}"]["ports"] == [1, 2]


def test_changed_since_it_was_shown(machine, vm1):
    planned = prepare(machine, "vm1", 2, dry_run=True)
    vm1.ports = 3
    vm1.hotplug_off = (2,)
    with pytest.raises(Refused, match="has changed since it was shown"):
        prepare(machine, "vm1", 3, approved=planned.plan)


def test_passwords_stay_where_they_are(machine, vm1):
    vm1.secret = PASSWORD
    prepare(machine, "vm1", 2)
    assert "secret" in vm1.secret
    assert b"passwd" not in b"".join(path.read_bytes() for path in machine.state.glob("store.db*"))


@pytest.mark.parametrize("name", ["vm1", "00000000-0000-0000-0000-000000000001"])
def test_by_name_or_uuid(machine, vm1, name):
    assert prepare(machine, name, 1, GIB).changed


def test_libvirt_does_not_take_it(machine, vm1):
    """As before, and said."""
    before = definition(machine)
    machine.libvirt.faults["define"] = ["lies"]
    with pytest.raises(GpupassError, match="has not taken all of it"):
        prepare(machine, "vm1", 2)
    assert definition(machine) == before and machine.open_journals() == []


def test_libvirt_refuses_it(machine, vm1):
    before = definition(machine)
    machine.libvirt.faults["define"] = [LibvirtFailure("XML document failed to validate", 67)]
    with pytest.raises(GpupassError, match="failed to validate"):
        prepare(machine, "vm1", 2)
    assert definition(machine) == before and machine.open_journals() == []


def test_killed_at_every_commit(machine, vm1, killed_at_every_line):
    """It is there as a whole, or not at all; what somebody else wrote since stays."""
    before = definition(machine)
    for point, killed in killed_at_every_line(machine, lambda m: prepare(m, "vm1", 2, GIB)).items():
        guest = killed.libvirt.guests["vm1"]
        if guest.defined is not None:
            guest.defined = guest.defined.replace("<name>vm1</name>", "<name>vm1</name><title>new</title>")
        app.recover(killed)
        found = definition(killed)
        assert killed.open_journals() == []
        assert (guest.defined is None) == (found == before), point
        assert guest.defined is None or "<title>new</title>" in found, point


def test_taken_back_but_for_what_others_use(machine, vm1, killed_at_every_line):
    left = killed_at_every_line(machine, lambda m: prepare(m, "vm1", 2))
    written = [one for one in left.values() if one.libvirt.guests["vm1"].defined is not None]
    used = "<hostdev><address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></hostdev>"
    ends: set[str] = set()
    for killed in written:
        guest = killed.libvirt.guests["vm1"]
        guest.defined = guest.defined.replace("</devices>", f"{used}</devices>")
        try:
            app.recover(killed)
        except NeedsPerson as error:
            ends.add(str(error))
        assert used in guest.defined, "theirs"
    assert written and all("into port 2 meanwhile" in end for end in ends)


def test_whose_it_is(machine, vm1):
    vm1.metadata = "<n:i xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>"
    with pytest.raises(Refused, match="managed by nova, which writes its definition anew"):
        prepare(machine, "vm1", 2)


def test_no_such_domain(machine):
    with pytest.raises(Usage, match="libvirt knows vm1, vm2"):
        prepare(machine, "vm9", 1)


def test_a_transient_one(machine, vm1):
    vm1.transient = True
    with pytest.raises(Refused, match="it is transient"):
        prepare(machine, "vm1", 1)


# domain check


def told(machine, device=None, name="vm1"):
    found = check_domain(machine, name, device, QEMU)
    return found.usable, " ".join(finding.message for finding in found.findings)


def test_usable(machine, vm1):
    assert told(machine) == (True, "")
    usable, said = told(machine, LONE)
    assert usable and "neither saved" in said


def test_no_port_left(machine, vm1):
    app.attach(machine, "vm1", LONE)
    usable, said = told(machine)
    assert not usable and "no free hot-plug port" in said


def test_a_window_that_is_too_small(machine, vm1):
    vm1.window = (2 << 20, 32 << 20)
    usable, said = told(machine, GPU)
    assert not usable and "needs 256 MiB of prefetchable memory" in said


def test_of_one_that_is_off(machine, vm1):
    """As if it ran; what its firmware leaves nobody knows yet."""
    machine.libvirt.stop("vm1")
    usable, said = told(machine, GPU)
    assert usable and "seen when it runs" in said, said
    vm1.state = DomainState.SHUT_OFF
    prepare(machine, "vm1", 1, 64 << 20)
    usable, said = told(machine, GPU)
    assert not usable and "has 64 MiB" in said


@pytest.fixture
def gpupass(machine, monkeypatch, capsys):
    monkeypatch.setattr(inspect, "System", lambda: machine)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gpupass", "domain", *words])
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended.value.code, output.out, output.err

    return run


def test_typed(machine, vm1, gpupass):
    code, out, err = gpupass("prepare", "vm1", "--slots", "2", "--largest-bar", "5G")
    assert (code, "+        <qemu:property" in out) == (2, True)
    assert "gpupass domain prepare vm1 --slots 2 --largest-bar 5368709120 --yes" in err
    code, out, _ = gpupass("prepare", "vm1", "--slots", "2", "--largest-bar", "5G", "--yes")
    assert (code, "done: prepare vm1 for 2 devices" in out) == (0, True)
    code, out, _ = gpupass("check", "vm1", "--json")
    assert (code, json.loads(out)["usable"]) == (0, True)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    code, out, err = gpupass("check", "vm1", "--device", "nonsense")
    assert (code, "cannot find a device nonsense" in err) == (2, True)
    assert gpupass("prepare", "vm1", "--slots", "0")[0] == 2
    assert "is no size" in gpupass("prepare", "vm1", "--slots", "1", "--largest-bar", "big")[2]
