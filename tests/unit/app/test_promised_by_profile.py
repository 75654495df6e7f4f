"""`at-start` of an attachment: a profile promises, keeps and takes back; plan, apply, check, export and rollback agree."""

import pytest

from gpupass import app
from gpupass.app.listening import sweep
from gpupass.errors import Disrupts, GpupassError
from gpupass.model.mark import Claim, Promise
from gpupass.store import store_of
from gpupass.store.marks import read_marks_of
from tests.profile_trips import apply, endings, exported, plan, rollback
from tests.simulated import GPU, GPU_AUDIO, LONE, PF, VF0

UNIT = "gpupass-promises.service"
BETWEEN = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: host}}]\n"
BOUND = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]\n"
ONE = "attachments: [{domain: vm1, device: a, at-start: true}]\n"
TWO = "attachments: [{domain: vm1, device: a, at-start: true}, {domain: vm2, device: a, at-start: true}]\n"


@pytest.fixture
def host(machine):
    machine.debian()
    machine.libvirt.stop("vm1")
    return machine


def having(machine):
    return {name: guest.seen for name, guest in machine.libvirt.guests.items() if guest.seen}


def heirs(machine):
    marks = read_marks_of(store_of(machine), Promise)
    return {mark.carrier: [(heir.domain, heir.declared) for heir in mark.to] for mark in marks}


def settled(machine, text):
    made = plan(machine, text)
    return (made.to_do, made.refusals, made.waits) == ((), (), ())


@pytest.mark.parametrize(("rule", "between"), [(BETWEEN, "bochs-drm"), (BOUND, "vfio-pci")])
def test_a_profile_promises_and_every_state_in_between_is_as_it_says(rule, between, host):
    text = rule + ONE
    assert not settled(host, text)
    apply(host, text)
    assert host.systemd.services[UNIT].active and heirs(host) == {LONE: [("vm1", True)]}
    for _ in range(2):
        assert host.driver(LONE) == between and settled(host, text) and settled(host, exported(host))
        host.libvirt.start("vm1")
        list(sweep(host))
        assert having(host) == {"vm1": [LONE]} and settled(host, text) and settled(host, exported(host))
        host.libvirt.stop("vm1")
        list(sweep(host))
    assert host.driver(LONE) == between and read_marks_of(store_of(host), Claim) == ()


def test_a_running_domain_gets_it_at_once_and_the_next_in_line_when_that_stops(host):
    apply(host, BETWEEN + TWO)
    assert having(host) == {"vm2": [LONE]} and settled(host, BETWEEN + TWO)
    host.libvirt.start("vm1")
    assert settled(host, BETWEEN + TWO) and settled(host, exported(host))
    host.libvirt.stop("vm2")
    list(sweep(host))
    assert having(host) == {"vm1": [LONE]} and settled(host, BETWEEN + TWO)


def test_what_it_says_no_more_is_no_longer_promised(host):
    apply(host, BETWEEN + TWO)
    apply(host, BETWEEN + ONE, allow_disruption=True)
    assert heirs(host) == {LONE: [("vm1", True)]} and having(host) == {}
    assert host.driver(LONE) == "bochs-drm"
    apply(host, BETWEEN)
    assert heirs(host) == {} and not host.systemd.services[UNIT].active
    assert not host.exists(f"/etc/systemd/system/{UNIT}")


def test_whom_a_promise_no_longer_said_would_disturb(host):
    apply(host, BETWEEN + TWO)
    with pytest.raises(Disrupts, match="vm2"):
        apply(host, BETWEEN + ONE)
    assert having(host) == {"vm2": [LONE]}


def test_what_a_person_has_promised_is_left_alone_and_told(host):
    app.promise(host, "vm1", ((LONE,),))
    made = plan(host, BETWEEN)
    assert made.to_do == () and any("vm1 is promised" in text for text in made.foreign)
    assert settled(host, exported(host))
    apply(host, BETWEEN + ONE)
    apply(host, BETWEEN)
    assert heirs(host) == {LONE: [("vm1", False)]}, "it was not the profile's to take back"


def test_rollback(host):
    """Of the first, nobody is promised anything any more; of a second, who was before."""
    apply(host, BETWEEN + ONE)
    apply(host, BETWEEN + TWO)
    assert having(host) == {"vm2": [LONE]}
    assert endings(rollback(host)) == ["done"]
    assert heirs(host) == {LONE: [("vm1", True)]} and having(host) == {} and host.driver(LONE) == "bochs-drm"
    rollback(host)
    assert heirs(host) == {} and not host.systemd.services[UNIT].active


def test_parts_and_whole_groups(host):
    text = (
        f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: 2, take-over: true}},"
        f" {{name: card, select: {{address: '{GPU}'}}, use: host}},"
        f" {{name: sound, select: {{address: '{GPU_AUDIO}'}}, use: host}}]\n"
        "attachments: [{domain: vm1, device: nic/vf0, at-start: true}, {domain: vm1, device: card, at-start: true}]\n"
    )
    apply(host, text)
    assert settled(host, text)
    host.libvirt.start("vm1")
    list(sweep(host))
    assert having(host) == {"vm1": [GPU, VF0]}
    assert settled(host, text), "the sound goes along, hidden"
    assert settled(host, exported(host))
    host.libvirt.stop("vm1")
    list(sweep(host))
    assert host.driver(GPU_AUDIO) == host.functions[GPU_AUDIO].driver and settled(host, text)


def test_devices_only_says_nothing_of_promises(host):
    apply(host, BETWEEN + ONE)
    apply(host, BETWEEN, devices_only=True)
    assert heirs(host) == {LONE: [("vm1", True)]} and host.systemd.services[UNIT].active


def test_a_plain_attachment_of_a_domain_that_is_promised_it(host):
    app.promise(host, "vm1", ((LONE,),))
    host.libvirt.start("vm1")
    apply(host, BOUND + "attachments: [{domain: vm1, device: a}]\n")
    app.detach(host, "vm1", LONE)
    assert list(sweep(host)) == [] and having(host) == {}


@pytest.mark.parametrize(
    ("attachments", "why"),
    [
        ("{domain: vm1, device: a, at-start: true}, {domain: vm1, device: a, at-start: true}", "twice"),
        ("{domain: vm1, device: a, at-start: true}, {domain: vm2, device: a}", "use: host"),
        ("{domain: vm1, device: a}", "use: host"),
        ("{domain: vm1, device: a, at-start: perhaps}", "at-start"),
    ],
)
def test_what_does_not_fit_together(attachments, why, host):
    with pytest.raises(GpupassError) as refused:
        plan(host, f"{BETWEEN}attachments: [{attachments}]")
    assert why in str(refused.value) + " ".join(map(str, refused.value.reasons))
