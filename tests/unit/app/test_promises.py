"""Promised devices on the simulated machine: given at each start, back at each stop, whatever stops it."""

import pytest

from gpupass import app
from gpupass.app.listening import listen, sweep
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.model.domain import DomainState
from gpupass.model.mark import Claim, Promise
from gpupass.model.options import Options
from gpupass.store import store_of
from gpupass.store.marks import read_marks_of
from gpupass.system.libvirt import NO_ANSWER, LibvirtFailure
from tests.simulated import GPU, GPU_AUDIO, LONE, NVIDIA, VF0
from tests.simulated_libvirt import REFUSES

UNIT = "gpupass-promises.service"


@pytest.fixture
def host(machine):
    """systemd runs it; vm1 is shut off, vm2 runs."""
    machine.debian()
    machine.libvirt.stop("vm1")
    return machine


def promise(machine, domain, *slots, **told):
    return app.promise(machine, domain, (slots,), **told)


def kept(machine):
    """What the unit does after an event: the titles of what was done, and why what was not."""
    return [
        f"{report.ending}: {report.note or report.title}"
        for report in sweep(machine)
        if report.ending != "nothing to do"
    ]


def having(machine):
    return {name: guest.seen for name, guest in machine.libvirt.guests.items() if guest.seen}


def remembered(machine, kind):
    return read_marks_of(store_of(machine), kind)


def heirs(machine):
    return {mark.carrier: [heir.domain for heir in mark.to] for mark in remembered(machine, Promise)}


@pytest.mark.parametrize("slot", [LONE, GPU, VF0])
def test_given_at_each_start_and_back_with_the_host_at_each_stop(host, slot):
    before = {address: host.driver(address) for address in host.functions}
    promise(host, "vm1", slot)
    assert kept(host) == [] and host.resets == []
    for number in range(1, 11):
        host.libvirt.start("vm1")
        assert len(kept(host)) == 1 and having(host) == {"vm1": [slot]}
        assert kept(host) == []
        host.libvirt.stop("vm1")
        assert len(kept(host)) == 1 and having(host) == {}
        assert {address: host.driver(address) for address in host.functions} == before
        assert remembered(host, Claim) == () and kept(host) == []
        assert host.resets.count(slot) == 2 * number  # before and after each guest
    assert host.open_journals() == []


def test_a_running_domain_is_given_it_now_and_again(host):
    (said, unit) = promise(host, "vm2", LONE)
    assert (said.ending, unit.ending, having(host)) == ("done", "done", {"vm2": [LONE]})
    assert host.systemd.services[UNIT].active
    assert kept(host) == []
    host.libvirt.stop("vm2")
    kept(host)
    assert host.driver(LONE) == host.functions[LONE].driver
    host.libvirt.start("vm2")
    kept(host)
    assert having(host) == {"vm2": [LONE]}


def test_what_was_on_vfio_stays_there_clean(host):
    """Somebody has bound it: the host does not work with it."""
    app.bind(host, LONE)
    promise(host, "vm1", LONE)
    host.libvirt.start("vm1")
    kept(host)
    host.libvirt.stop("vm1")
    kept(host)
    assert host.driver(LONE) == "vfio-pci" and len(host.resets) == 2 and remembered(host, Claim) == ()


def test_a_card_with_its_functions(host):
    promise(host, "vm1", GPU, GPU_AUDIO)
    host.libvirt.start("vm1")
    kept(host)
    assert having(host) == {"vm1": [GPU, GPU_AUDIO]}
    host.libvirt.stop("vm1")
    kept(host)
    assert host.driver(GPU_AUDIO) == host.functions[GPU_AUDIO].driver
    app.take_back(host, "vm1", GPU)
    assert heirs(host) == {}


def test_the_next_in_line_has_it_when_the_first_stops(host):
    host.libvirt.start("vm1")
    promise(host, "vm1", LONE)
    app.detach(host, "vm1", LONE)
    host.libvirt.stop("vm2")
    promise(host, "vm2", LONE)
    assert heirs(host) == {LONE: ["vm1", "vm2"]}
    host.libvirt.start("vm2")
    kept(host)
    assert having(host) == {"vm2": [LONE]}
    host.libvirt.stop("vm1")
    host.libvirt.start("vm1")
    kept(host)
    assert kept(host) == [] and having(host) == {"vm2": [LONE]}, "it waits: nobody is made to let go"
    host.resets.clear()
    host.libvirt.stop("vm2")
    kept(host)
    assert having(host) == {"vm1": [LONE]} and host.resets == [LONE]
    host.libvirt.start("vm2")
    assert kept(host) == [] and having(host) == {"vm1": [LONE]}


def test_started_anew_before_anybody_looked(host):
    """Started and stopped ten times quickly: who looks late sees the last run only."""
    promise(host, "vm1", LONE)
    for _ in range(10):
        host.libvirt.start("vm1")
        host.libvirt.stop("vm1")
    assert kept(host) == []
    host.libvirt.start("vm1")
    kept(host)
    host.libvirt.stop("vm1")
    host.libvirt.start("vm1")
    assert having(host) == {}
    kept(host)
    assert having(host) == {"vm1": [LONE]} and remembered(host, Claim)[0].domain == "vm1"
    assert len(host.resets) == 2, "reset between the two runs"


@pytest.mark.parametrize("by", ["gpupass", "virsh", "guest"])
def test_what_is_taken_meanwhile_stays_so_until_the_next_start(by, host):
    promise(host, "vm2", LONE)
    if by == "gpupass":
        app.detach(host, "vm2", LONE)
    else:
        guest = host.libvirt.guests["vm2"]
        host.libvirt._eject(guest, guest.live[LONE])
    assert kept(host) == [] and having(host) == {}
    host.libvirt.stop("vm2")
    kept(host)
    assert host.driver(LONE) == host.functions[LONE].driver
    host.libvirt.start("vm2")
    kept(host)
    assert having(host) == {"vm2": [LONE]}


def test_what_a_person_gave_it_meanwhile_is_given(host):
    promise(host, "vm1", LONE)
    host.libvirt.start("vm1")
    app.attach(host, "vm1", LONE)
    app.detach(host, "vm1", LONE)
    assert kept(host) == [] and having(host) == {}


def test_a_suspended_or_crashed_domain_keeps_it(host):
    promise(host, "vm2", LONE)
    for state in (DomainState.PMSUSPENDED, DomainState.PAUSED, DomainState.CRASHED):
        host.libvirt.guests["vm2"].state = state
        assert kept(host) == [] and having(host) == {"vm2": [LONE]}
    host.libvirt.stop("vm2")
    kept(host)
    assert having(host) == {} and remembered(host, Claim) == ()


def test_another_domain_of_the_same_name_is_not_promised_it(host):
    promise(host, "vm1", LONE)
    host.libvirt.guests["vm1"].uuid = "00000000-0000-0000-0000-0000000000ff"
    host.libvirt.start("vm1")
    assert kept(host) == [] and having(host) == {}


def test_undefined_while_it_runs(host):
    """A redefinition is an end and a beginning, too: the promise stays, and can be taken back."""
    promise(host, "vm2", LONE)
    host.libvirt.undefine("vm2")
    assert kept(host) == [] and having(host) == {"vm2": [LONE]}
    host.libvirt.stop("vm2")
    kept(host)
    assert host.driver(LONE) == host.functions[LONE].driver and heirs(host) == {LONE: ["vm2"]}
    app.take_back(host, "vm2", LONE)
    assert heirs(host) == {} and not host.systemd.services[UNIT].active


def test_another_card_at_its_address_is_nobody_s(host):
    promise(host, "vm1", LONE)
    host.replug(LONE, ids="10de:1111", driver="nouveau")
    host.libvirt.start("vm1")
    kept(host)
    assert having(host) == {} and host.driver(LONE) == "nouveau"


def test_a_device_that_has_left_the_host_is_told_and_given_when_it_is_back(host):
    function = host.functions[LONE]
    promise(host, "vm1", LONE)
    host.unplug(LONE)
    host.libvirt.start("vm1")
    (said,) = kept(host)
    assert "has left the host" in said
    host.plug(function)
    kept(host)
    assert having(host) == {"vm1": [LONE]}


def test_what_is_in_use_is_told_and_given_when_it_is_free(host):
    promise(host, "vm1", LONE)
    app.attach(host, "vm2", LONE)
    host.libvirt.start("vm1")
    assert kept(host) == [] and having(host) == {"vm2": [LONE]}
    host.libvirt.stop("vm2")
    kept(host)
    assert having(host) == {"vm1": [LONE]}


def test_a_process_of_the_host_s(host):
    host.node_of(LONE, "drm", "card3", "226:3")
    pid = host.process("python", "/dev/dri/card3")
    promise(host, "vm1", LONE)
    host.libvirt.start("vm1")
    (said,) = kept(host)
    assert "python" in said and host.driver(LONE) == host.functions[LONE].driver
    host.lets_go(pid)
    kept(host)
    assert having(host) == {"vm1": [LONE]}


def test_after_a_reboot(host):
    """What the last boot had given is over; a domain that starts by itself gets it."""
    promise(host, "vm2", LONE)
    host.reboot()
    host.libvirt.start("vm1")
    host.libvirt.start("vm2")
    host.libvirt.guests["vm2"].number = 2  # as before: libvirt counts anew
    kept(host)
    assert having(host) == {"vm2": [LONE]}
    assert [claim.boot_id for claim in remembered(host, Claim)] == [host.boot_id()]


def test_a_person_s_order_that_is_pending_comes_first(host):
    """To vm2 it goes, though vm1 is promised it and starts again at once."""
    host.libvirt.start("vm1")
    promise(host, "vm1", LONE)
    host.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(GpupassError, match="has not let go"):
        app.move(host, LONE, "vm2", timeout=1)
    host.libvirt.stop("vm1")
    host.libvirt.start("vm1")
    kept(host)
    assert having(host) == {"vm2": [LONE]} and host.open_journals() == []


def test_what_could_not_be_kept_is_refused_at_once(host):
    host.libvirt.guests["vm1"].config = (LONE,)
    host.libvirt.guests["vm2"].transient = True
    for domain, why in (("vm1", "own definition"), ("vm2", "transient"), ("vm9", "cannot find the domain")):
        with pytest.raises(GpupassError, match=why):
            promise(host, domain, LONE)
    with pytest.raises(Refused, match="listens to qemu:///system"):
        promise(host, "vm1", GPU, connect="xen:///system")
    assert heirs(host) == {} and not host.exists(f"/etc/systemd/system/{UNIT}")


def test_taken_back_from_who_has_it_and_from_who_does_not(host):
    promise(host, "vm1", LONE)
    promise(host, "vm2", LONE)
    app.take_back(host, "vm2", LONE)
    assert having(host) == {} and heirs(host) == {LONE: ["vm1"]} and host.systemd.services[UNIT].active
    (said, unit) = app.take_back(host, "vm1", LONE)
    assert (said.ending, unit.ending) == ("done", "done")
    assert not host.exists(f"/etc/systemd/system/{UNIT}") and not host.systemd.services[UNIT].active
    assert [one.ending for one in app.take_back(host, "vm1", LONE)] == ["nothing to do"]


def test_a_rehearsal_says_the_same_and_does_nothing(host):
    before = host.snapshot()
    planned = promise(host, "vm1", LONE, dry_run=True)
    assert [one.ending for one in planned] == ["planned", "planned"] and host.snapshot() == before
    done = promise(host, "vm1", LONE)
    assert [one.plan.steps for one in done] == [one.plan.steps for one in planned]
    assert [one.ending for one in promise(host, "vm1", LONE)] == ["nothing to do"]


@pytest.mark.parametrize("at", ["start", "stop"])
def test_killed_at_any_point(at, host, killed_at_every_line):
    """The next look takes it to its end."""
    promise(host, "vm1", LONE)
    host.libvirt.start("vm1")
    if at == "stop":
        kept(host)
        host.libvirt.stop("vm1")
    for point, left in killed_at_every_line(host, kept).items():
        kept(left)
        kept(left)
        assert having(left) == ({"vm1": [LONE]} if at == "start" else {}), point
        assert left.open_journals() == [] and bool(remembered(left, Claim)) is (at == "start"), point
        assert left.driver(LONE) == ("vfio-pci" if at == "start" else left.functions[LONE].driver), point


def test_of_what_has_left_the_host_it_is_taken_back(host):
    promise(host, "vm1", LONE)
    promise(host, "vm2", GPU)
    host.unplug(LONE)
    host.replug(GPU, ids="10de:1111", driver="nouveau")
    assert [one.ending for one in app.take_back(host, "vm1", LONE, dry_run=True)] == ["planned"]
    app.take_back(host, "vm1", LONE)
    assert heirs(host) == {GPU: ["vm2"]} and host.systemd.services[UNIT].active
    app.take_back(host, "vm2", GPU)
    assert heirs(host) == {} and not host.systemd.services[UNIT].active


def test_who_works_with_it_for_the_host_is_stopped_until_it_is_back(host):
    dcgm = host.systemd.add("nvidia-dcgm.service", "nv-hostengine", {NVIDIA: "/dev/nvidia0"})
    promise(host, "vm1", NVIDIA, stop=("dcgm",))
    assert dcgm.active
    for _ in range(2):
        host.libvirt.start("vm1")
        kept(host)
        assert having(host) == {"vm1": [NVIDIA]} and not dcgm.active
        host.libvirt.stop("vm1")
        kept(host)
        assert host.driver(NVIDIA) == "nvidia" and dcgm.active


def test_with_its_options(host):
    promise(host, "vm1", LONE, options=Options(rom="none"))
    host.libvirt.start("vm1")
    kept(host)
    assert (
        'bar="off"' in host.libvirt.guests["vm1"].live[LONE].more
        or 'enabled="no"' in host.libvirt.guests["vm1"].live[LONE].more
    )


class Over(Exception):
    """The test has seen enough."""


def heard(machine, *events):
    """What the unit tells while these happen, one each time that it waits."""
    told, waits, left = [], [], list(events)

    def wait(seen, seconds):
        waits.append(seconds)
        if not left:
            raise Over
        left.pop(0)()
        machine.advance(seconds, until=lambda: machine.libvirt.events() > seen)

    machine.libvirt.wait_event = wait
    machine.sleep = lambda seconds: wait(0, seconds)
    with pytest.raises(Over):
        listen(lambda: machine, told.append)
    return [f"{report.ending}: {report.note or report.title}" for report in told], waits


def test_the_unit_hears_and_tells_once(host):
    host.node_of(LONE, "drm", "card3", "226:3")
    pid = host.process("python", "/dev/dri/card3")
    promise(host, "vm1", LONE)
    start, stop = (lambda: host.libvirt.start("vm1")), (lambda: host.libvirt.stop("vm1"))
    told, waits = heard(host, start, int, int, lambda: host.lets_go(pid), stop)
    assert [line.partition(":")[0] for line in told] == ["failed", "done", "done"]
    assert "python" in told[0] and "as promised" in told[1]
    assert waits == [600.0, 2.0, 4.0, 8.0, 600.0, 600.0]


def test_libvirt_is_away_and_what_happened_meanwhile_is_made_good(host):
    promise(host, "vm2", LONE)

    def goes():
        host.libvirt_runs = False

    def slow():
        host.libvirt_runs = True
        silent = LibvirtFailure("libvirt does not answer (asked for 7 s)", NO_ANSWER)
        host.libvirt.faults["domains"] = [silent]

    def comes():
        host.libvirt.stop("vm2")

    told, waits = heard(host, goes, int, slow, comes)
    assert ["libvirt" in line for line in told] == [True, False]
    assert having(host) == {} and host.driver(LONE) == host.functions[LONE].driver
    assert waits == [600.0, 5.0, 5.0, 8.0, 600.0]


def test_a_domain_that_cannot_be_read_could_have_anything(host):
    promise(host, "vm2", LONE)
    host.libvirt.guests["vm1"].metadata = "<broken"
    host.libvirt.stop("vm2")
    with pytest.raises(GpupassError, match="domain vm1"):
        kept(host)
    told, _ = heard(host)
    assert len(told) == 1 and "cannot tell which domain has what: domain vm1" in told[0]
    assert host.driver(LONE) == "vfio-pci"


def test_nobody_else_is_named(host):
    with pytest.raises(Usage):
        app.take_back(host, "nobody", LONE)
