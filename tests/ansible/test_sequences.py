"""What check mode says is what happens: each change before and after, on a simulated machine."""

import json

import pytest

from tests.ansible.foretold import is_as_foretold, is_done_already, triples, twice, without_status
from tests.simulated import GPU, LONE, NIC
from tests.simulated_libvirt import REFUSES

CARD = {"name": "card", "select": {"address": GPU}, "use": "passthrough"}
PORTS = {"name": "nic", "select": {"address": NIC}, "use": "sriov", "vfs": 4, "vf": {"driver": "vfio-pci"}}
FIRST = {"version": 1, "gpus": [CARD, PORTS], "attachments": [{"domain": "vm1", "device": "card"}]}
SECOND = {
    "version": 1,
    "gpus": [CARD, {**PORTS, "vfs": 2}],
    "attachments": [{"domain": "vm2", "device": "card"}, {"domain": "vm1", "device": "nic/vf0"}],
}


def profile(**options):
    return {"gpupass.kvm.gpupass_profile": {"allow_disruption": True, **options}}


def attachment(domain, state="present", **options):
    return {"gpupass.kvm.gpupass_attachment": {"domain": domain, "device": LONE, "state": state, **options}}


def test_a_profile_there_changed_and_gone(controller, simulated):
    host = simulated()
    before = host.machine.snapshot()
    wanted = [profile(profile=FIRST), profile(profile=SECOND), profile(profile=SECOND, state="absent")]
    played = controller.tasks({"host": host.command()}, *(task for one in wanted for task in twice(one)))
    assert played.status == 0, played.text
    for foretold, done, again in triples(played.in_order()):
        is_as_foretold(foretold, done)
        is_done_already(again)
    assert host.machine.snapshot() == before


def test_an_attachment_there_moved_and_gone(controller, simulated):
    host = simulated()
    wanted = [attachment("vm1"), attachment("vm2", "moved"), attachment("vm2", "absent")]
    played = controller.tasks({"host": host.command()}, *(task for one in wanted for task in twice(one)))
    assert played.status == 0, played.text
    for foretold, done, again in triples(played.in_order()):
        is_as_foretold(foretold, done)
        is_done_already(again)
    assert host.machine.driver(LONE) == "vfio-pci" and host.machine.libvirt.holders(LONE) == []


def test_checked(controller, simulated):
    host, checked = simulated(), profile(profile=FIRST, state="checked")
    before = host.machine.snapshot()
    played = controller.tasks({"host": host.command()}, checked, {**checked, "check_mode": True})
    first, second = played.in_order()
    assert first["failed"] and not first["changed"] and first["error"]["code"] == "differs" and first["steps"]
    assert first["msg"] == second["msg"] and "bind 0000:01:00.0 to vfio-pci" in first["msg"]
    assert host.machine.snapshot() == before
    played = controller.tasks({"host": host.command()}, profile(profile=FIRST), checked)
    assert not played.in_order()[1].get("failed") and played.in_order()[1]["matches"]


def test_refused_alike_in_check_mode(controller, simulated):
    """What may not be is refused before it is done as when it is done; a diff of it changes nothing."""
    host = simulated()
    attached = {"version": 1, "gpus": [CARD], "attachments": [{"domain": "vm1", "device": "card"}]}
    taken = {**attached, "attachments": [{"domain": "vm2", "device": "card"}]}
    unknown = {**attached, "attachments": [{"domain": "nobody", "device": "card"}]}
    cases = [
        profile(profile=taken, allow_disruption=False),
        profile(profile=unknown),
        {"gpupass.kvm.gpupass_attachment": {"domain": "vm2", "device": GPU}},
        {"gpupass.kvm.gpupass_attachment": {"domain": "vm1", "device": "0000:ee:00.0"}},
        {"gpupass.kvm.gpupass_attachment": {"domain": "nobody", "device": LONE}},
    ]
    pairs = [task for one in cases for task in ({**one, "check_mode": True}, one)]
    played = controller.tasks({"host": host.command()}, profile(profile=attached), *pairs)
    first, *results = played.in_order()
    assert not first.get("failed"), first
    for foretold, done in zip(results[::2], results[1::2], strict=True):
        assert foretold["failed"] and done["failed"] and not foretold["changed"] and not done["changed"]
        assert foretold["msg"] == done["msg"] and foretold["error"] == done["error"]
        assert "\n" not in done["msg"] and "Traceback" not in done["msg"]
    codes = [one["error"]["code"] for one in results[::2]]
    assert codes == ["needs-allow-disruption", "refused", "refused", "usage", "usage"], codes
    assert "allow_disruption: true" in results[0]["msg"] and "domain vm1" in results[0]["msg"]


def test_pending_and_done_later(controller, simulated):
    host = simulated()
    gone = attachment("vm1", "absent", timeout=1)
    host.happens(lambda machine: setattr(machine.libvirt.guests["vm1"], "lets_go", REFUSES))
    played = controller.tasks({"host": host.command()}, attachment("vm1"), gone, gone)
    attached, first, second = played.in_order()
    assert not attached.get("failed"), attached
    for one in (first, second):
        assert one["failed"] and one["error"]["code"] == "pending" and one["error"]["retryable"]
        assert one["error"]["exit_code"] == 6 and "pending" in one["msg"]
    assert next(step["status"] for step in first["steps"] if step["status"] != "done") == "pending"
    host.happens(lambda machine: machine.libvirt.reboot("vm1"))
    played = controller.tasks({"host": host.command()}, gone, gone)
    now, again = played.in_order()
    assert not now.get("failed") and not again.get("failed") and not again["changed"], (now, again)
    assert host.machine.libvirt.holders(LONE) == []


def test_a_domain_that_does_not_run_is_a_warning(controller, simulated):
    host = simulated()
    host.happens(lambda machine: machine.libvirt.stop("vm1"))
    one = profile(
        profile={"version": 1, "gpus": [CARD], "attachments": [{"domain": "vm1", "device": "card"}]}
    )
    played = controller.tasks({"host": host.command()}, *twice(one))
    foretold, done, again = played.in_order()
    assert foretold["changed"] and done["changed"] and not again["changed"]
    assert not any(one.get("failed") for one in (foretold, done, again)), done
    assert "vm1 is not running" in done["waits"][0] and not done["matches"]


def test_half_done_needs_a_person(controller, simulated):
    """The kernel hangs: failed, and changed, and it says with what."""
    host = simulated()
    host.happens(lambda machine: machine.faults.update({("unbind", LONE): "hang"}))
    played = controller.tasks({"host": host.command()}, attachment("vm1"))
    (one,) = played.in_order()
    assert one["failed"] and one["error"]["exit_code"] == 5 and not one["error"]["retryable"]
    assert one["changed"] and "failed" in {step["status"] for step in one["steps"]}, one


def test_rolled_back_is_failed_and_unchanged(controller, simulated):
    host = simulated()
    host.happens(lambda machine: machine.faults.update({("unbind", LONE): 16}))
    before = host.machine.snapshot()
    played = controller.tasks({"host": host.command()}, attachment("vm1"))
    (one,) = played.in_order()
    assert one["failed"] and not one["changed"] and one["error"]["code"] == "kernel-refused", one
    assert host.machine.snapshot() == before


@pytest.mark.parametrize("point", ["2", "5-", "7"])
def test_killed_in_between_and_run_again(point, controller, simulated):
    """The same task again ends what was begun, and is as if nothing had been."""
    host = simulated()
    played = controller.tasks({"host": host.command(GPUPASS_CRASH=point)}, attachment("vm1"))
    (killed,) = played.in_order()
    assert killed["failed"] and killed["changed"] and "was killed" in killed["msg"], killed["msg"]
    done, again = controller.tasks({"host": host.command()}, attachment("vm1"), attachment("vm1")).in_order()
    assert not done.get("failed") and done["changed"] and not again["changed"], (done, again)
    assert host.machine.libvirt.holders(LONE) == ["vm1"] and host.machine.open_journals() == []


def test_what_check_mode_cannot_know_it_says(controller, simulated):
    """What a crash left: the change that ends it comes first in both; what containers are told is a warning."""
    host = simulated()
    controller.tasks({"host": host.command(GPUPASS_CRASH=3)}, attachment("vm1"))
    before = host.machine.snapshot()
    wanted = [attachment("vm1"), profile(profile={**FIRST, "containers": "cdi"})]
    pairs = [({**task, "check_mode": True}, task) for task in wanted]
    played = controller.tasks({"host": host.command()}, *pairs[0])
    crashed, done = played.in_order()
    assert crashed["changed"] and done["changed"] and not done.get("failed"), done
    assert host.machine.snapshot() != before
    titles = [[one["title"] for one in result["changes"]] for result in (crashed, done)]
    assert titles[0] == titles[1] and crashed["changes"][0]["steps"] == done["changes"][0]["steps"]
    assert "a crash has left" in crashed["warnings"][0] and "may differ" in crashed["warnings"][0]
    foretold, done = controller.tasks({"host": host.command()}, *pairs[1]).in_order()
    assert "/etc/cdi/gpupass.yaml is written afterwards" in str(foretold["warnings"])
    assert without_status(done["steps"])[: len(foretold["steps"])] == without_status(foretold["steps"])
    assert done["changes"][-1]["title"] == "write /etc/cdi/gpupass.yaml"


def test_what_is_wrong_is_one_sentence(controller, simulated):
    host, wrong = simulated(), controller.directory / "wrong.yaml"
    wrong.write_text("version: 1\ngpus:\n  - {name: a, select: {address: 01:00.0}, use: passtrough}\n")
    lone = {"profile": {"version": 1, "gpus": []}}
    here = host.command()
    tasks = {
        "did you mean 'passthrough'": profile(file=str(wrong)),
        "cannot read /nowhere": profile(file="/nowhere"),
        "did you mean 'address'": profile(
            profile={"version": 1, "gpus": [{**CARD, "select": {"adress": GPU}}]}
        ),
        "Unsupported parameters": profile(**lone, allow_everything=True),
        "cannot find the command /nowhere/gpupass on this host": profile(
            **lone, executable="/nowhere/gpupass"
        ),
        "Update gpupass or the collection": profile(
            **lone, executable=str(old_gpupass(controller.directory))
        ),
        "no JSON document": profile(**lone, executable="true"),
    }
    played = controller.tasks({"host": here}, *tasks.values())
    for said, one in zip(tasks, played.in_order(), strict=True):
        assert one["failed"] and not one.get("changed") and said in one["msg"], (said, one["msg"])
        assert "\n" not in one["msg"] and "Traceback" not in str(one)


def old_gpupass(directory):
    path = directory / "old-gpupass"
    path.write_text("#!/bin/sh\ncat > /dev/null\necho '" + json.dumps({"schema": 1, "results": []}) + "'\n")
    path.chmod(0o755)
    return path


def test_not_root(controller, simulated):
    host = simulated()
    before = host.machine.snapshot()
    tasks = [profile(profile=FIRST), attachment("vm1")]
    for one in controller.tasks({"host": host.command(MACHINE_USER="1000")}, *tasks).in_order():
        assert one["failed"] and not one["changed"] and one["error"]["code"] == "not-root", one
        assert one["msg"] == "cannot change this host: you are not root. What to do: become: true."
    assert host.machine.snapshot() == before


def test_libvirt_does_not_answer(controller, simulated):
    host = simulated()
    host.happens(lambda machine: setattr(machine, "libvirt_runs", False))
    one, two = controller.tasks(
        {"host": host.command()}, attachment("vm1"), profile(profile=FIRST)
    ).in_order()
    for result in (one, two):
        assert result["failed"] and not result["changed"] and "libvirt" in result["msg"], result["msg"]
        assert result["error"]["code"] == "no-libvirt" and result["error"]["retryable"]
        assert "systemctl start libvirtd" in result["msg"]
