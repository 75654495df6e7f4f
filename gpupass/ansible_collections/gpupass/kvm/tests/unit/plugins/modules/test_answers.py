"""What gpupass answers, as the result of a task: changed, failed, and one sentence that is enough."""

from __future__ import annotations

import pytest
from ansible_collections.gpupass.kvm.plugins.modules import gpupass_attachment, gpupass_info, gpupass_profile
from ansible_collections.gpupass.kvm.tests.unit.conftest import envelope, error, step

PROFILE = {"profile": {"version": 1}}
BIND = "bind 0000:01:00.0 to vfio-pci"


def test_done(ran):
    answer = envelope(changed=True, steps=[step(1, "note where it was", hidden=True), step(2, BIND)])
    result, _calls = ran(gpupass_profile, PROFILE, (0, answer, ""))
    assert result["changed"] is True and result["msg"] == f"changed: {BIND}" and len(result["steps"]) == 2
    assert "diff" not in result and "rc" not in result  # Ansible takes another one than 0 for a failure


def test_nothing(ran):
    result, _calls = ran(gpupass_profile, PROFILE, (0, envelope(matches=True), ""))
    assert (result["changed"], result["msg"]) == (False, "nothing to do")


def test_only_bookkeeping(ran):
    answer = envelope(changed=True, steps=[step(1, "remember it", hidden=True)])
    result, _calls = ran(gpupass_profile, PROFILE, (0, answer, ""))
    assert result["msg"] == "changed: what gpupass remembers"


def test_many_steps_are_a_short_sentence(ran):
    answer = envelope(changed=True, steps=[step(n, f"step {n}") for n in range(1, 257)])
    result, _calls = ran(gpupass_profile, PROFILE, (0, answer, ""))
    assert result["msg"].endswith("step 8; and 248 more")


def test_check_and_diff(ran):
    diff = {"before": {"b": 1, "a": {"driver": "nouveau"}}, "after": {"a": {"driver": "vfio-pci"}}}
    answer = envelope(changed=True, steps=[step(1, BIND, "planned")], diff=diff)
    result, calls = ran(gpupass_profile, PROFILE, (0, answer, ""), check=True, diff=True)
    assert result["changed"] is True and result["msg"] == f"would change: {BIND}"
    assert result["diff"]["before"].startswith('{\n  "a"') and result["diff"]["after"].endswith("}\n")
    assert "--dry-run" in calls[0][0] and "--yes" not in calls[0][0]


@pytest.mark.parametrize("check", [True, False])
def test_what_goes_on_says_so_beforehand(check, ran):
    answer = envelope(changed=True, steps=[step(1, BIND)], changes=[{"title": "a", "continues": True, "error": None}])
    result, _calls = ran(gpupass_profile, PROFILE, (0, answer, ""), check=check)
    assert ("more follows, which only a look" in result["msg"]) is check


def test_refused(ran):
    reasons = [{"message": "vm1 has it", "remedy": "gpupass detach vm1 01:00.0"}]
    why = error("refused", "cannot apply this profile: 1 reason", exit_code=4, reasons=reasons, hint="wait")
    result, _calls = ran(gpupass_profile, PROFILE, (4, envelope(error=why), ""))
    assert result["failed"] and result["changed"] is False and result["error"]["code"] == "refused"
    assert result["msg"] == (
        "cannot apply this profile: 1 reason; vm1 has it (gpupass detach vm1 01:00.0). What to do: wait."
    )


def test_options_are_named_as_the_module_names_them(ran):
    why = error("needs-allow-reset", "cannot: it takes --allow-reset", hint="--allow-disruption, when it may")
    result, _calls = ran(gpupass_profile, PROFILE, (4, envelope(error=why), ""))
    assert result["msg"] == "cannot: it takes allow_reset: true. What to do: allow_disruption: true, when it may."


def test_half_done_is_failed_and_changed(ran):
    steps = [step(1, BIND), step(2, "attach it", "failed"), step(3, "end", "not-run")]
    why = error("needs-person", "cannot attach it: no", exit_code=5, hint="gpupass recover")
    result, _calls = ran(gpupass_profile, PROFILE, (5, envelope(changed=True, steps=steps, error=why), ""))
    assert result["failed"] and result["changed"] and result["error"]["code"] == "needs-person"
    assert result["msg"] == (
        "cannot attach it: no. What to do: gpupass recover. Done and not taken back: 1 of 3 steps (see steps)."
    )
    assert [one["status"] for one in result["steps"]] == ["done", "failed", "not-run"]


def test_pending_may_be_tried_again(ran):
    why = error("pending", "vm1 has not let go of it yet", exit_code=6, retryable=True)
    options = {"domain": "vm1", "device": "01:00.0", "state": "absent"}
    result, _calls = ran(gpupass_attachment, options, (6, envelope(changed=True, error=why), ""))
    assert result["failed"] and result["error"]["retryable"] and result["error"]["code"] == "pending"


def test_what_waits_for_a_domain_is_a_warning(ran):
    waits = ["vm1 is not running: render is attached when it does"]
    changes = [{"title": "render: passthrough 0000:01:00.0", "error": None}]
    answer = envelope(waits=waits, changes=changes, error=error("pending", f"pending: {waits[0]}", exit_code=6))
    result, _calls = ran(gpupass_profile, PROFILE, (6, answer, ""))
    assert not result.get("failed") and result["warned"] == [f"waits: {waits[0]}"]
    assert result["error"] is None
    under_way = {**answer, "changes": [{**changes[0], "error": error("pending", "vm2 has not let go")}]}
    result, _calls = ran(gpupass_profile, PROFILE, (6, under_way, ""))
    assert result["failed"]


def test_where_in_the_profile(ran):
    why = error("usage", "cannot use it: 5g is no layout", path="gpus[1].layout", exit_code=2)
    result, _calls = ran(gpupass_profile, PROFILE, (2, envelope(error=why), ""))
    assert result["msg"] == "cannot use it: 5g is no layout (at gpus[1].layout)."


def test_an_option_that_an_older_gpupass_does_not_know(ran):
    why = error("usage", "No such option '--adopt'.", hint="gpupass --help", exit_code=2)
    result, _calls = ran(gpupass_profile, PROFILE, (2, envelope(error=why), ""))
    assert result["msg"] == "No such option '--adopt'. Update gpupass or the collection."


def test_not_root(ran):
    why = error("not-root", "cannot change this host: you are not root", hint="run it with sudo", exit_code=4)
    result, _calls = ran(gpupass_profile, PROFILE, (4, envelope(error=why), ""))
    assert result["msg"] == "cannot change this host: you are not root. What to do: become: true."


def test_checked_changes_nothing_and_fails_where_it_differs(ran):
    options = {**PROFILE, "state": "checked"}
    answer = envelope(changed=True, steps=[step(1, BIND, "planned")])
    result, calls = ran(gpupass_profile, options, (3, answer, ""))
    assert calls[0][0][1] == "check" and result["failed"] and result["changed"] is False
    assert result["msg"] == (
        f"this host is not as the profile says: {BIND}. What to do: run the task with state: present."
    )
    assert result["error"]["code"] == "differs"
    same, _calls = ran(gpupass_profile, options, (0, envelope(matches=True), ""))
    assert not same.get("failed") and same["matches"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((2, "", "Usage: gpupass apply\nError: No such option: --adopt\n"), "No such option: --adopt Update gpupass"),
        ((2, "", "Error: No such command 'apply'."), "No such command 'apply'. Update gpupass or the collection."),
        ((0, {"schema": 1, "results": []}, ""), "it is of schema 1, and this collection reads schema 2. Update"),
        ((0, {"schema": 3}, ""), "it is of schema 3, and this collection reads schema 2. Update gpupass or the"),
        ((0, "[]", ""), "it ended with status 0 and no JSON document"),
        ((1, "", "Traceback\nOSError: broken\n"), "no JSON document: OSError: broken. What to do: run it by hand: "),
        ((127, "", ""), "status 127 and no JSON document: it says nothing"),
        ((0, '{"schema": 2', ""), "no JSON document"),
    ],
)
def test_what_is_no_answer(answer, said, ran):
    result, _calls = ran(gpupass_profile, PROFILE, answer)
    assert result["failed"] and said in result["msg"], result["msg"]
    assert "\n" not in result["msg"] and result["stderr"] == answer[2]


@pytest.mark.parametrize(("check", "changed"), [(True, False), (False, True)])
def test_killed(check, changed, ran):
    result, _calls = ran(gpupass_profile, PROFILE, (-9, "", ""), check=check)
    assert result["failed"] and result["changed"] is changed
    assert "was killed by signal 9. What to do: run the task again." in result["msg"]


def test_no_gpupass(ran):
    for module, options in ((gpupass_profile, PROFILE), (gpupass_info, {})):
        result, calls = ran(module, options, found=None)
        assert result["failed"] and calls == []
        assert "cannot find the command gpupass on this host. Install gpupass there" in result["msg"]


def test_info_that_fails(ran):
    why = error("no-libvirt", "cannot ask libvirt: it does not answer", hint="systemctl restart libvirtd")
    answers = (0, "gpupass, version 0.1.0\n", ""), (4, {"schema": 2, "error": why}, "")
    result, _calls = ran(gpupass_info, {}, *answers)
    assert result["failed"] and result["error"]["code"] == "no-libvirt"
    assert result["msg"] == "cannot ask libvirt: it does not answer. What to do: systemctl restart libvirtd."


def test_warnings_are_ansibles(ran):
    answer = envelope(warnings=[{"message": "no nvidia-ctk", "remedy": "apt install it"}], matches=True)
    result, _calls = ran(gpupass_profile, PROFILE, (0, answer, ""))
    assert result["warned"] == ["no nvidia-ctk (apt install it)"]
