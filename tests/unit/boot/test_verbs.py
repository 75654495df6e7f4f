"""enable, disable and early-bind on a simulated Debian: done, done again, undone, failed half-way."""

import re

import pytest

from gpupass import app
from gpupass.boot.early import HOOK, RULES, SOFTDEP, early_bound
from gpupass.boot.units import PROFILE
from gpupass.errors import GpupassError, NeedsPerson, Refused, Usage
from gpupass.model.boot import HostFile
from tests.profile_files import load
from tests.profile_trips import plan
from tests.simulated import ACCEL, CONSOLE, DISK, GPU, GPU_AUDIO, LONE, SPARE, STUBBORN, USB, VF0

SOURCE = "/root/gpus.yaml"
UNIT = "/etc/systemd/system/gpupass.service"


@pytest.fixture
def debian(machine):
    machine.debian()
    return machine


def enable(machine, text="version: 1\n", **more):
    return app.enable(machine, SOURCE, load=lambda name: load(text), executable="/usr/bin/gpupass", **more)


def test_enable_and_disable(debian):
    before = debian.snapshot()
    report = enable(debian)
    assert report.ending == "done" and f"gpupass apply {SOURCE}" in report.note
    etc = debian.etc()
    text, mode = etc[PROFILE]
    assert mode == 0o600 and SOURCE in text and text.endswith("version: 1")
    assert {path for path in etc if path.endswith(".service")} == {
        UNIT,
        "/etc/systemd/system/gpupass-attach.service",
        "/etc/systemd/system/multi-user.target.wants/gpupass.service",
        "/etc/systemd/system/multi-user.target.wants/gpupass-attach.service",
    }
    assert set(debian.known["systemd"]) == {UNIT, "/etc/systemd/system/gpupass-attach.service"}
    assert enable(debian).ending == "nothing to do"
    assert app.disable(debian).ending == "done"
    assert debian.snapshot() == before
    assert app.disable(debian).ending == "nothing to do"


def test_another_profile_replaces_only_the_profile(debian):
    enable(debian)
    report = enable(debian, "version: 1\ncontainers: cdi\n")
    assert [(type(step).__name__, step.path) for step in report.plan.steps] == [("WriteFile", PROFILE)]


def test_a_changed_mode_is_put_right(debian):
    enable(debian)
    debian.modes[PROFILE] = 0o644
    assert enable(debian).ending == "done"
    assert debian.modes[PROFILE] == 0o600


def test_early_bind_and_its_undo(debian):
    before = debian.snapshot()
    report = app.early_bind(debian, (GPU,))
    assert (report.ending, report.warnings) == ("done", ())
    rules, _ = debian.etc()[RULES]
    assert GPU in rules and GPU_AUDIO in rules and LONE not in rules
    assert debian.etc()[SOFTDEP][0].splitlines()[1:] == [
        "softdep nouveau pre: vfio-pci",
        "softdep snd_hda_intel pre: vfio-pci",
    ]
    assert debian.etc()[HOOK][1] == 0o755
    assert set(debian.known["initramfs"]) == {RULES, SOFTDEP, HOOK}
    assert debian.driver(GPU) == "nouveau"
    assert app.early_bind(debian, (GPU,)).ending == "nothing to do"
    assert app.early_bind(debian, (LONE,)).ending == "done"
    assert GPU in debian.etc()[RULES][0] and LONE in debian.etc()[RULES][0]
    assert app.early_bind(debian, (GPU_AUDIO,), undo=True).ending == "done"
    assert GPU not in debian.etc()[RULES][0] and LONE in debian.etc()[RULES][0]
    assert app.early_bind(debian, (), undo=True).ending == "done"
    assert debian.snapshot() == before
    assert app.early_bind(debian, (), undo=True).ending == "nothing to do"


def test_what_has_left_the_host_can_be_undone(debian):
    before = debian.etc()
    app.early_bind(debian, (GPU,))
    gone = "0000:42:00.0"
    debian.put(RULES, debian.read(RULES).replace(GPU, gone).replace(GPU_AUDIO, "0000:42:00.1") + "\n")
    assert app.early_bind(debian, (gone,), undo=True).ending == "done"
    assert debian.etc() == before


def test_a_rule_holds_for_the_device_that_was_meant(debian):
    """A card that is added gives it another address: whoever has its old one then is left alone."""
    app.early_bind(debian, (LONE,))
    debian.replug(LONE, ids="144d:a80a", class_code=0x010802, driver="nvme")
    report = app.early_bind(debian, (GPU,))
    assert (report.ending, report.warnings) == ("done", ())
    rules = early_bound(HostFile(path=RULES, text=debian.etc()[RULES][0]))
    assert rules[LONE].ids == "1234:1111"


def test_rules_of_an_earlier_version_say_whom_they_mean_from_now_on(debian):
    """They named an address alone."""
    app.early_bind(debian, (GPU, LONE))
    gone = "0000:42:00.0"
    rules = re.sub(r"ATTR\{\S*(vendor|device)\}==\S* ", "", debian.read(RULES)).replace(LONE, gone) + "\n"
    debian.put(RULES, rules)
    assert set(early_bound(HostFile(path=RULES, text=rules)).values()) == {None}
    report = app.early_bind(debian, (STUBBORN,))
    assert [finding.message.partition(" was ")[0] for finding in report.warnings] == [
        f"whoever has {GPU}",
        f"whoever has {GPU_AUDIO}",
        f"whoever has {gone}",
    ]
    now = early_bound(HostFile(path=RULES, text=debian.etc()[RULES][0]))
    assert {address: who.ids for address, who in now.items()} == {
        STUBBORN: "1234:11e8",
        GPU: "10de:2204",
        GPU_AUDIO: "10de:1aef",
    }


BY_ADDRESS = "version: 1\ngpus: [{name: a, select: {address: 'WHERE'MORE}, use: passthrough}]\n"


@pytest.mark.parametrize("more", ["", ", vendor: '1234'", ", class: display"])
def test_a_boot_takes_no_other_device_that_has_the_address_by_then(more, debian):
    text = BY_ADDRESS.replace("WHERE", LONE).replace("MORE", more)
    assert enable(debian, text).ending == "done"
    installed = debian.etc()[PROFILE][0]
    assert 'model: "1234:1111"' in installed
    debian.replug(LONE, ids="8086:1572", class_code=0x020000, driver="i40e")
    with pytest.raises(Usage, match="1234:1111"):
        plan(debian, load(installed))


def test_a_boot_takes_no_other_card_of_the_same_model(debian):
    own, other = "00-01-02-03-04-05-06-07", "00-01-02-03-04-05-06-08"
    debian.replug(LONE, serial=own)
    assert enable(debian, BY_ADDRESS.replace("WHERE", LONE).replace("MORE", "")).ending == "done"
    installed = debian.etc()[PROFILE][0]
    assert f'serial: "{own}"' in installed
    debian.replug(LONE, serial=other)
    with pytest.raises(Usage, match=f"serial is {other}, not {own}"):
        plan(debian, load(installed))


def test_a_boot_takes_nobody_knows_whom(debian):
    with pytest.raises(Usage, match="nobody has it now"):
        enable(debian, BY_ADDRESS.replace("WHERE", "0000:42:00.0").replace("MORE", ""))
    pinned = BY_ADDRESS.replace("WHERE", "0000:42:00.0").replace("MORE", ", model: '10de:2204'")
    assert enable(debian, pinned).ending == "done"


REFUSED = {
    "the root disk": ((DISK,), (), "root disk"),
    "another slot of the group": ((ACCEL,), (), "would have to move along"),
    "a virtual function": ((VF0,), (), "virtual function"),
    "a bridge": (("0000:00:01.0",), (), "is a bridge"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_early_bind_refuses(name, debian):
    devices, agreed, words = REFUSED[name]
    with pytest.raises(Refused) as refused:
        app.early_bind(debian, devices, agreed=agreed)
    said = [refused.value.message, *(reason for reason, _ in refused.value.reasons)]
    assert any(words in line for line in said), said
    assert RULES not in debian.etc()


def test_early_bind_of_several_slots_and_of_the_console(debian):
    assert app.early_bind(debian, (ACCEL,), agreed=(USB,)).ending == "done"
    assert all(address in debian.etc()[RULES][0] for address in (ACCEL, USB, SPARE))
    assert app.early_bind(debian, (CONSOLE, STUBBORN)).ending == "done"


def test_no_display_left_is_said_but_done(debian):
    displays = [a for a, f in debian.functions.items() if f.class_code >> 16 == 3]
    report = app.early_bind(debian, tuple(displays))
    assert report.ending == "done"
    assert [finding.message for finding in report.warnings] == [
        "no display is left to the host: the console goes dark at the next boot"
    ]


def test_an_unknown_initramfs_and_a_host_without_systemd(machine):
    with pytest.raises(Refused, match="neither initramfs-tools nor dracut"):
        app.early_bind(machine, (GPU,))
    with pytest.raises(Refused, match="systemd does not run this host"):
        enable(machine)
    assert app.disable(machine).ending == "nothing to do"


@pytest.mark.parametrize(
    "fault", [("write_file", UNIT), ("systemctl", "daemon-reload"), ("systemctl", "gpupass-attach.service")]
)
def test_enable_fails_half_way(fault, debian):
    before = debian.snapshot()

    def fail():
        raise GpupassError("cannot do this: the disk is full")

    debian.faults[fault] = fail
    with pytest.raises(GpupassError, match="the disk is full"):
        enable(debian)
    assert debian.snapshot() == before


def test_the_initramfs_cannot_be_made(debian):
    before = debian.snapshot()

    def fail():
        raise GpupassError("cannot run update-initramfs: No space left on device")

    debian.faults["update-initramfs", "all"] = fail
    with pytest.raises(GpupassError) as error:
        app.early_bind(debian, (GPU,))
    assert error.value.exit_code == 1 and debian.snapshot() == before
    debian.faults["always update-initramfs", "all"] = fail
    with pytest.raises(NeedsPerson, match="cannot roll back"):
        app.early_bind(debian, (GPU,))
    assert debian.etc() == before["etc"]


def test_somebody_else_changes_a_file_meanwhile(debian):
    def fail():
        debian.put(PROFILE, "mine\n")
        raise GpupassError("cannot run systemctl: it is gone")

    debian.faults["systemctl", "daemon-reload"] = fail
    with pytest.raises(NeedsPerson, match="somebody else has changed it"):
        enable(debian)
    assert debian.read(PROFILE) == "mine" and UNIT not in debian.etc()


def test_only_what_was_shown_is_done(debian):
    shown = enable(debian, dry_run=True).plan
    with pytest.raises(Refused, match="changed since they were shown"):
        enable(debian, "version: 1\ncontainers: cdi\n", approved=shown)
    assert enable(debian, approved=shown).ending == "done"


def test_the_installed_profile_is_no_source(debian):
    with pytest.raises(Usage, match="installs its copy there"):
        app.enable(debian, PROFILE, load=load, executable="/usr/bin/gpupass")


VERBS = {
    "enable": ([], enable),
    "enable another": ([enable], lambda m: enable(m, "version: 1\ncontainers: cdi\n")),
    "disable": ([enable], app.disable),
    "early-bind": ([], lambda m: app.early_bind(m, (GPU,))),
    "early-bind --undo": ([lambda m: app.early_bind(m, (GPU,))], lambda m: app.early_bind(m, (), undo=True)),
}


@pytest.mark.parametrize("reboot", [False, True], ids=["", "power cut"])
@pytest.mark.parametrize("name", VERBS)
def test_killed_at_every_line(name, reboot, debian, new_state, killed_at_every_line):
    """Files outlive a boot: recover ends the journal of an earlier one too."""
    before, verb = VERBS[name]
    for step in before:
        step(debian)
    old = debian.snapshot()
    left = killed_at_every_line(debian, verb)
    new = debian.snapshot()
    assert old != new and len(left) >= 4
    for point, killed in left.items():
        if reboot:
            killed.reboot()
        again = killed.clone(new_state())
        app.recover(killed)
        assert killed.snapshot() in (old, new), f"killed at {point}, recover"
        verb(again)
        assert again.snapshot() == new, f"killed at {point}, same verb again"
        assert killed.open_journals() == again.open_journals() == []
