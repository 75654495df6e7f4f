"""What several commands, crashes and other people's doings in a row come to."""

import errno

import pytest

from gpupass import app
from gpupass.engine import journal
from gpupass.errors import Busy, GpupassError, NeedsPerson, Pending, Refused
from gpupass.store import database, store_of
from gpupass.system.libvirt import LibvirtFailure
from gpupass.system.locks import hold
from tests.crash.test_full_disk import full
from tests.simulated import BUS_GPU, GPU, GPU_AUDIO, LONE, NVIDIA
from tests.simulated_libvirt import REFUSES


def pending_move(machine, device=LONE):
    app.attach(machine, "vm1", device)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.move(machine, device, "vm2", timeout=5)


def endings(reports):
    return [report.ending for report in reports]


def history(machine):
    return [(one.title, one.end) for one in journal.ended_operations(store_of(machine))]


def test_nobody_gets_a_device_whose_guest_has_not_let_go(machine):
    pending_move(machine)
    for refused in (
        lambda: app.attach(machine, "vm2", LONE),
        lambda: app.unbind(machine, LONE),
        lambda: app.bind(machine, LONE, driver="bochs-drm"),
    ):
        with pytest.raises(Refused) as told:
            refused()
        assert "vm1" in f"{told.value} {told.value.reasons}" and "kill" not in f"{told.value.reasons}"
    assert len(machine.open_journals()) == 1, "a refused order replaces nothing"
    assert app.bind(machine, LONE).ending == "nothing to do"
    assert len(machine.open_journals()) == 1, "an order that changes nothing drops no pending move"


def test_a_pending_move_is_finished_by_the_same_order_or_by_recover(machine):
    pending_move(machine)
    machine.libvirt.guests["vm1"].lets_go = 1.0
    app.move(machine, LONE, "vm2")
    assert LONE in machine.libvirt.guests["vm2"].live
    assert machine.open_journals() == []
    assert ("move 0000:02:00.0 from vm1 to vm2", "replaced") in history(machine)


def test_a_new_order_replaces_a_pending_one(machine):
    pending_move(machine)
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=1)
    assert [title for title, end in history(machine) if end == "replaced"] == [
        "move 0000:02:00.0 from vm1 to vm2"
    ]
    machine.libvirt.reboot("vm1")
    assert endings(app.recover(machine)) == ["done"]
    assert machine.snapshot()["live"] == {"vm1": [], "vm2": []}


def test_an_order_to_stay_withdraws_the_pending_one_and_says_what_it_cannot(machine):
    pending_move(machine)
    report = app.attach(machine, "vm1", LONE)
    assert report.ending == "nothing to do" and "may still let go" in report.note
    assert machine.open_journals() == []
    machine.libvirt.reboot("vm1")
    assert endings(app.recover(machine)) == ["done"], "what it left behind is cleaned all the same"
    assert machine.records().keys() == {f"origin {LONE}"}


def test_recover_asks_again_and_stays_pending(machine):
    pending_move(machine)
    asked = machine.libvirt.guests["vm1"].asks
    assert endings(app.recover(machine)) == ["pending"]
    assert machine.libvirt.guests["vm1"].asks == asked + 1


def test_recover_waits_as_long_as_it_takes(machine):
    pending_move(machine)
    machine.at(5000, machine.libvirt.reboot, "vm1")
    assert endings(app.recover(machine, wait=True)) == ["done"]
    assert LONE in machine.libvirt.guests["vm2"].live


def test_a_request_is_sent_again_but_not_within_five_seconds(machine):
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=65)
    assert machine.libvirt.guests["vm1"].asks == 4  # at 0, 20, 40 and 60 seconds


def test_a_pending_move_that_fails_in_the_end_goes_back(machine):
    pending_move(machine)
    machine.libvirt.reboot("vm1")
    machine.libvirt.stop("vm2")
    (report,) = app.recover(machine)
    assert (report.ending, LONE in machine.libvirt.guests["vm1"].live) == ("failed", True)
    assert machine.open_journals() == []


def test_a_failed_move_gives_nothing_back_to_a_domain_that_has_died(machine):
    app.attach(machine, "vm1", LONE)

    def refuse():
        machine.libvirt.stop("vm1")
        raise LibvirtFailure("no", 1)

    machine.libvirt.faults["attach"] = [refuse]
    with pytest.raises(GpupassError, match="cannot attach") as failed:
        app.move(machine, LONE, "vm2")
    assert failed.value.exit_code == 1
    assert endings(app.recover(machine)) == ["done"], "what vm1 had is cleaned"
    assert machine.records().keys() == {f"origin {LONE}"}


@pytest.mark.parametrize("device", [GPU, BUS_GPU])
def test_a_crashed_guest_leaves_a_claim_that_recover_cleans(device, machine):
    app.attach(machine, "vm1", device)
    machine.resets.clear()
    machine.libvirt.stop("vm1")
    assert endings(app.recover(machine)) == ["done"]
    assert not [record for record in machine.records() if record.startswith("claim")]
    assert device in machine.resets
    assert app.recover(machine) == ()


def test_two_crashed_guests_are_cleaned_in_one_go(machine):
    for domain, device in (("vm1", GPU), ("vm2", LONE)):
        app.attach(machine, domain, device)
        machine.libvirt.stop(domain)
    assert endings(app.recover(machine)) == ["done", "done"]


def test_an_open_operation_on_one_device_does_not_keep_others_from_being_cleaned(machine):
    app.attach(machine, "vm1", GPU)
    pending_move(machine, LONE)
    machine.libvirt._eject(machine.libvirt.guests["vm1"], machine.libvirt.guests["vm1"].live[GPU])
    machine.libvirt._eject(machine.libvirt.guests["vm1"], machine.libvirt.guests["vm1"].live[GPU_AUDIO])
    assert sorted(endings(app.recover(machine))) == ["done", "pending"]
    assert f"claim {GPU}" not in machine.records()


@pytest.mark.parametrize("away", ["connection", "answers"])
def test_recover_does_nothing_blind_while_libvirt_is_away(away, machine):
    """QEMU outlives libvirtd: a device may be in use although no domain is seen."""
    app.attach(machine, "vm1", GPU)
    pending_move(machine, LONE)
    old, resets = machine.snapshot(), list(machine.resets)
    if away == "connection":
        machine.libvirt_runs = False
    else:
        machine.libvirt.faults = {
            name: [LibvirtFailure("no answer", 38)] * 50 for name in ("live_xml", "domains")
        }
    assert set(endings(app.recover(machine))) <= {"failed", "pending"}
    assert machine.snapshot() == old and machine.resets == resets
    assert len(machine.open_journals()) == 1, "the pending move is not given up"


def test_a_reboot_ends_everything(machine):
    app.attach(machine, "vm1", GPU)
    pending_move(machine)
    machine.reboot()
    machine.log.clear()
    assert set(endings(app.recover(machine))) == {"rolled back", "done"}
    assert machine.log == []
    assert app.recover(machine) == ()


def test_the_origin_of_another_boot_is_no_way_back(machine):
    app.bind(machine, LONE)
    machine.reboot()
    assert app.unbind(machine, LONE).ending == "nothing to do"
    app.bind(machine, LONE)
    app.unbind(machine, LONE)
    assert machine.driver(LONE) == "bochs-drm" and machine.records() == {}


def test_what_somebody_else_bound_goes_to_the_driver_the_kernel_would_choose(machine):
    app.bind(machine, LONE)
    machine.forgets("origin", LONE)
    app.unbind(machine, LONE)
    assert (machine.driver(LONE), machine.override(LONE)) == ("bochs-drm", None)


def test_persistence_mode_comes_back_when_the_bind_fails(machine):
    from tests.simulated import NVIDIA

    machine.faults["drivers_probe", NVIDIA] = errno.EINVAL
    with pytest.raises(GpupassError, match="cannot probe"):
        app.bind(machine, NVIDIA)
    assert machine.persistence is True and machine.driver(NVIDIA) == "nvidia"
    app.bind(machine, NVIDIA)
    assert machine.persistence is False


def test_the_whole_group_moves_or_nothing_does(machine):
    old = machine.snapshot()
    machine.faults["unbind", GPU_AUDIO] = errno.EBUSY
    with pytest.raises(GpupassError, match=f"cannot unbind {GPU_AUDIO}"):
        app.bind(machine, GPU)
    assert machine.snapshot() == old


def test_a_stuck_device_is_not_touched_again_until_a_person_says_so(machine):
    machine.faults["unbind", LONE] = "hang"
    with pytest.raises(NeedsPerson, match="process 4242"):
        app.bind(machine, LONE)
    machine.log.clear()
    for verb in (
        lambda: app.bind(machine, LONE),
        lambda: app.attach(machine, "vm1", LONE),
        lambda: app.move(machine, LONE, "vm1"),
    ):
        with pytest.raises(Refused, match="in quarantine"):
            verb()
    app.recover(machine)
    assert machine.log == []
    assert [mark.carrier for mark in app.quarantined(machine)] == [LONE]
    assert app.quarantine_clear(machine, LONE).ending == "done"
    assert app.bind(machine, LONE).ending == "done"


def test_an_undo_that_hangs_quarantines_too(machine):
    """The bind of the second function fails, and giving the first one back never returns."""
    machine.faults["drivers_probe", GPU_AUDIO] = errno.EINVAL
    machine.faults["after drivers_probe", GPU] = lambda: machine.faults.__setitem__(("unbind", GPU), "hang")
    with pytest.raises(NeedsPerson, match="cannot roll back"):
        app.bind(machine, GPU)
    records = machine.records()
    assert f"quarantine {GPU}" in records
    assert f"origin {GPU}" in records, "the way back is not forgotten by what was not gone back"
    assert machine.driver(GPU_AUDIO) == "snd_hda_intel" and f"origin {GPU_AUDIO}" not in records


def test_a_dirty_device_stays_claimed_and_goes_to_nobody(machine):
    app.attach(machine, "vm1", LONE)
    machine.faults["reset", LONE] = errno.EIO
    with pytest.raises(NeedsPerson):
        app.move(machine, LONE, "vm2")
    assert machine.snapshot()["live"] == {"vm1": [], "vm2": []}
    assert machine.records().keys() == {f"claim {LONE}", f"origin {LONE}", f"quarantine {LONE}"}
    machine.resets.clear()
    for verb in (
        lambda: app.attach(machine, "vm2", LONE),
        lambda: app.detach(machine, "vm1", LONE),
        lambda: app.unbind(machine, LONE),
    ):
        with pytest.raises(Refused, match="quarantine"):
            verb()
    assert app.recover(machine) == () and machine.resets == []
    app.quarantine_clear(machine, LONE)
    assert endings(app.recover(machine)) == ["done"] and machine.resets == [LONE]
    assert app.attach(machine, "vm2", LONE).ending == "done"


def test_a_quarantine_can_be_cleared_when_the_device_has_fallen_off_the_bus(machine):
    machine.faults["unbind", LONE] = "hang"
    with pytest.raises(NeedsPerson):
        app.bind(machine, LONE)
    machine.files.remove(f"/sys/bus/pci/devices/{LONE}")
    assert app.quarantine_clear(machine, "02:00.0").ending == "done"
    assert app.quarantined(machine) == ()


def test_a_device_on_the_way_to_a_guest_keeps_its_driver_when_it_cannot_be_taken_back(machine):
    """No unbind under a guest: the journal's disk is full after the attach, and the guest will not let go."""
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    machine.libvirt.faults["after attach"] = [lambda: fill_disk(machine)]
    with pytest.raises(GpupassError) as told:
        app.attach(machine, "vm1", LONE)
    assert told.value.exit_code == 5 and "gpupass recover" in told.value.hint
    assert machine.driver(LONE) == "vfio-pci" and f"claim {LONE}" in machine.records()
    machine.full = False
    assert endings(app.recover(machine)) == ["done"]
    assert LONE in machine.libvirt.guests["vm1"].live and machine.open_journals() == []


def fill_disk(machine):
    machine.full = True


@pytest.fixture(autouse=True)
def disk(machine, monkeypatch):
    """No commit succeeds while `machine.full`."""
    real = database.commit
    machine.full = False

    def commit(connection):
        if machine.full:
            raise full()
        real(connection)

    monkeypatch.setattr(database, "commit", commit)


def test_another_gpupass_is_at_work(machine, monkeypatch):
    pending_move(machine)
    monkeypatch.setattr("gpupass.system.locks.time.monotonic", iter(range(0, 1000, 20)).__next__)
    with hold(machine.state, (LONE,)):
        with pytest.raises(Busy, match="gpupass process") as busy:
            app.detach(machine, "vm1", LONE)
        assert busy.value.exit_code == 4
        assert endings(app.recover(machine)) == ["at work"]
    assert len(machine.open_journals()) == 1


def test_an_operation_that_cannot_be_ended_does_not_stop_the_others(machine):
    app.attach(machine, "vm1", GPU)
    machine.libvirt.stop("vm1")
    pending_move_of_lone(machine)
    with hold(machine.state, (LONE,)):
        assert endings(app.recover(machine)) == ["at work", "done"]


def pending_move_of_lone(machine):
    app.attach(machine, "vm2", LONE)
    machine.libvirt.guests["vm2"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.detach(machine, "vm2", LONE, timeout=1)


def test_operations_of_one_second_all_stay_in_the_history(machine):
    for _ in range(3):
        app.bind(machine, LONE)
        app.unbind(machine, LONE)
    assert len(history(machine)) == 6


def test_a_gpu_keeps_its_uuid_while_a_guest_can_have_it(machine):
    """NVML has forgotten it by then; gpupass noted the name with the way back."""
    app.bind(machine, "GPU-11111111")
    assert machine.driver(NVIDIA) == "vfio-pci"
    assert app.bind(machine, "GPU-11111111").ending is app.Ending.NOTHING
    app.unbind(machine, "GPU-11111111")
    assert machine.driver(NVIDIA) == "nvidia"


def test_a_dry_run_that_may_not_see_what_is_remembered_is_refused(machine, monkeypatch):
    """An ordinary user would be told that there is nothing to do."""

    def closed(store):
        raise Refused("cannot read the store: Permission denied", "run it with sudo")

    monkeypatch.setattr("gpupass.store.Store.require_readable", closed)
    with pytest.raises(Refused, match="Permission denied"):
        app.unbind(machine, LONE, dry_run=True)
