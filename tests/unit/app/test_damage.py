"""A store that cannot be believed: nothing is changed, everything is shown, until a person says `recover --forget`."""

import json
import os
import shutil

import pytest

from gpupass import app
from gpupass.app import history
from gpupass.engine import journal
from gpupass.errors import Damaged, GpupassError, Pending, Refused
from gpupass.model.mark import Quarantine
from gpupass.observe import observe
from gpupass.plan import Plan
from gpupass.store import Store, anew, database, store_of
from tests.profile_trips import apply, plan, told
from tests.simulated import DISK, GPU, GPU_AUDIO, LONE, NVIDIA
from tests.simulated_libvirt import REFUSES

WHOLE = f"gpus: [{{name: a, select: {{address: '{NVIDIA}'}}, use: passthrough}}]"


@pytest.fixture
def damaged(machine):
    """A pending order, and a claim: then the head is lost."""
    app.bind(machine, GPU)
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.move(machine, LONE, "vm2", timeout=5)
    store_of(machine).close()
    head = machine.state / "head"
    head.write_bytes(b"#" + head.read_bytes()[1:512] + b"#" + head.read_bytes()[513:])
    machine.log.clear()
    return machine


def quarantined(host):
    return {mark.carrier for mark in host.marks if isinstance(mark, Quarantine)}


@pytest.mark.parametrize(
    "verb",
    [
        lambda m: app.bind(m, NVIDIA),
        lambda m: app.unbind(m, GPU),
        lambda m: app.bind(m, NVIDIA, dry_run=True),
        lambda m: app.attach(m, "vm1", NVIDIA),
        lambda m: app.detach(m, "vm1", LONE),
        lambda m: app.adopt(m, NVIDIA),
        lambda m: app.recover(m),
        lambda m: app.unfinished(m),
        lambda m: app.quarantined(m),
        lambda m: app.quarantine_clear(m, NVIDIA),
        lambda m: apply(m, WHOLE),
        lambda m: plan(m, WHOLE),
        history.history,
        history.last_apply,
    ],
)
def test_no_verb_changes_anything(verb, damaged):
    before = (damaged.log, damaged.driver(GPU), sorted(damaged.libvirt.guests["vm1"].live))
    with pytest.raises(Damaged) as refused:
        verb(damaged)
    assert refused.value.exit_code == 5 and str(damaged.state / "head") in refused.value.message
    assert (damaged.log, damaged.driver(GPU), sorted(damaged.libvirt.guests["vm1"].live)) == before


def test_who_looks_sees_the_host_and_why_nobody_gets_what(damaged):
    host = observe(damaged)
    assert any("recover --forget" in unseen for unseen in host.unseen)
    found = quarantined(host)
    assert {GPU, GPU_AUDIO, LONE} <= found and not {NVIDIA, DISK} & found
    assert damaged.log == []


def test_forgotten_it_is_quarantined_until_a_person_says_so(damaged):
    before = {path.name: path.read_bytes() for path in damaged.state.iterdir() if path.is_file()}
    aside, marks = app.start_anew(damaged)
    assert before.items() <= {path.name: path.read_bytes() for path in aside.iterdir()}.items()
    assert {mark.carrier for mark in marks} == {mark.carrier for mark in app.quarantined(damaged)}
    assert {GPU, GPU_AUDIO, LONE} <= {mark.carrier for mark in marks}
    assert app.unfinished(damaged) == () and app.recover(damaged) == ()
    assert app.bind(damaged, NVIDIA).ending == "done"
    with pytest.raises(Refused, check=lambda error: "quarantine" in told(error)):
        app.attach(damaged, "vm2", GPU)
    for address in (GPU, GPU_AUDIO):
        assert app.quarantine_clear(damaged, address).ending == "done"
    assert app.attach(damaged, "vm2", GPU).ending == "done"


def test_what_another_gpupass_was_doing_is_not_gone_on_with(machine):
    """Somebody forgets the store under one that is at work."""
    store = store_of(machine)
    plan = Plan(title="a plan", devices=(GPU,))
    operation = journal.begin(store, plan, boot_id="b", time=machine.now(), user="root")
    anew.start_anew(Store(machine.state), ())
    with pytest.raises(GpupassError, match="another gpupass has ended it"):
        journal.end(store, operation, "done")
    journal.unbegun(store, operation)
    assert app.bind(machine, NVIDIA).ending == "done" and store.over() == ()


def test_a_half_made_change_is_known_though_the_head_is_lost(machine):
    store = store_of(machine)
    plan = Plan(title="a plan", devices=(NVIDIA,))
    journal.begin(store, plan, boot_id="b", time=machine.now(), user="root")
    (machine.state / "head").write_bytes(b"")
    store.close()
    assert NVIDIA in {mark.carrier for mark in app.start_anew(machine)[1]}


def test_what_is_whole_is_not_forgotten(machine):
    app.bind(machine, GPU)
    with pytest.raises(Refused, match="it is whole"):
        app.start_anew(machine)


def test_a_journal_of_the_first_version_that_cannot_be_read(machine):
    """It is forgotten in the same way, and kept."""
    (machine.state / "journal").mkdir(parents=True)
    machine.state.chmod(0o700)
    (machine.state / "journal" / "20260101T000000-1-0.jsonl").write_text("hello\n")
    with pytest.raises(Damaged):
        app.bind(machine, GPU)
    app.start_anew(machine)
    assert app.bind(machine, GPU).ending == "done"
    assert list((machine.state / "first-version" / "journal").iterdir())


def test_killed_while_forgetting(damaged, new_state, monkeypatch):
    """At every point it is damaged still, or there are the quarantines."""
    moments, copying = [], []

    def before_each(call):
        def called(*arguments, **more):
            if not copying:
                copying.append(True)
                moments.append(damaged.clone(new_state()))
                copying.clear()
            return call(*arguments, **more)

        return called

    with monkeypatch.context() as patch:
        for call in ("rename", "fsync", "unlink", "link", "mkdir"):
            patch.setattr(os, call, before_each(getattr(os, call)))
        patch.setattr(database, "at_commit", before_each(lambda point: None))
        _, marks = app.start_anew(damaged)
    assert len(moments) > 10
    for moment in moments:
        try:
            assert len(app.quarantined(moment)) == len(marks)
        except Damaged:
            app.start_anew(moment)
            assert {GPU, GPU_AUDIO, LONE} <= {mark.carrier for mark in app.quarantined(moment)}


@pytest.mark.parametrize("as_json", [False, True])
def test_as_an_operator_types_it(as_json, damaged, monkeypatch, capsys):
    from gpupass.cli import recover

    monkeypatch.setattr(recover, "System", lambda: damaged)
    arguments = ["--forget", *(["--json"] if as_json else [])]
    assert recover.recover.main(arguments, standalone_mode=False) == 0
    out = capsys.readouterr().out
    if as_json:
        found = json.loads(out)
        aside, *quarantined = found["changes"]
        assert found["changed"] and aside["note"].endswith("damaged-1")
        assert [LONE] in [one["devices"] for one in quarantined]
    else:
        assert "set aside: " in out and f"quarantined: {LONE}" in out and "quarantine clear DEVICE" in out
    shutil.rmtree(damaged.state)
