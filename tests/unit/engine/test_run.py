"""Order, rollback and resume, with steps on the simulated machine."""

import errno

import pytest

from gpupass import app
from gpupass.engine import journal
from gpupass.engine.run import Result, conclude, execute, extend, leave_half, resume
from gpupass.errors import NeedsPerson
from gpupass.lending.plug import AttachDevice, DetachDevice
from gpupass.plan import Plan
from gpupass.steps.bind import BindDriver, Binding
from gpupass.steps.module import LoadModule
from gpupass.store import store_of
from tests.simulated import GPU, GPU_AUDIO, LONE


def bind(address, driver="vfio-pci"):
    return BindDriver(address=address, driver=driver, override=driver)


PLAN = Plan(
    title="bind three",
    steps=(LoadModule(module="vfio-pci"), bind(GPU), bind(GPU_AUDIO), bind(LONE)),
    devices=(GPU, GPU_AUDIO, LONE),
)


def drivers(machine):
    return [machine.driver(address) for address in (GPU, GPU_AUDIO, LONE)]


HOME = ["nouveau", "snd_hda_intel", "bochs-drm"]


def begin(machine, plan):
    return journal.begin(store_of(machine), plan, boot_id=machine.boot_id(), time=machine.now(), user="root")


def test_all_or_nothing(machine):
    machine.faults["unbind", LONE] = errno.EBUSY
    outcome = execute(PLAN, machine, 0)
    assert (outcome.result, drivers(machine)) == (Result.ROLLED_BACK, HOME)
    assert machine.snapshot()["overrides"] == {}
    assert execute(PLAN, machine, 0).result is Result.DONE
    assert drivers(machine) == ["vfio-pci"] * 3


def test_one_that_cannot_be_undone_does_not_stop_the_others(machine):
    """Somebody else takes the second device while the third one fails."""

    def stolen():
        machine.register_driver("pci-stub")
        machine.set_driver(GPU_AUDIO, "pci-stub")
        raise OSError(errno.EBUSY, "busy")

    machine.faults["unbind", LONE] = stolen
    outcome = execute(PLAN, machine, 0)
    assert outcome.result is Result.NEEDS_PERSON
    assert isinstance(outcome.error, NeedsPerson)
    assert "somebody else has bound it to pci-stub" in outcome.error.message
    assert drivers(machine) == ["nouveau", "pci-stub", "bochs-drm"]
    assert machine.open_journals() == []


def test_resume_of_an_ended_rollback_changes_nothing(machine):
    operation = begin(machine, PLAN)
    operation = journal.intent(store_of(machine), operation, 1, Binding(driver="nouveau", override=None))
    assert resume(operation, machine, 0).result is Result.ROLLED_BACK
    assert [entry for entry in machine.log if "unbind" in entry[0] or "probe" in entry[0]] == []


def test_a_rollback_that_was_begun_never_turns_forward(machine):
    """Killed after the decision, before the first undo: the detach was done, but the order has failed."""
    app.attach(machine, "vm1", LONE)
    app.detach(machine, "vm1", LONE)
    uuid = machine.libvirt.guests["vm1"].uuid
    detach = DetachDevice(address=LONE, domain="vm1", uuid=uuid, alias="ua-x", exposed=True, connect="")
    plan = Plan(title="move", steps=(detach, LoadModule(module="vfio-other")), devices=(LONE,))
    operation = journal.done(
        store_of(machine), journal.intent(store_of(machine), begin(machine, plan), 0, True), 0
    )
    journal.rolling_back(store_of(machine), operation, "the second domain refused")
    (operation,) = journal.open_operations(store_of(machine))
    assert resume(operation, machine, 0).result is Result.ROLLED_BACK
    assert LONE in machine.libvirt.guests["vm1"].live
    assert ("modprobe -- vfio-other", "") not in machine.log


def _before(number):
    return Binding(driver=HOME[number - 1], override=None) if number else None


@pytest.mark.parametrize("done", [True, False])
def test_resume_once_everything_was_done_only_ends(done, machine):
    execute(PLAN, machine, 0)
    operation = begin(machine, PLAN)
    for number in range(len(PLAN.steps)):
        operation = journal.intent(store_of(machine), operation, number, _before(number))
        if done:
            operation = journal.done(store_of(machine), operation, number)
    machine.log.clear()
    outcome = resume(operation, machine, 0)
    assert outcome.result is (Result.DONE if done else Result.ROLLED_BACK)
    assert drivers(machine) == (["vfio-pci"] * 3 if done else HOME)


FIRST = Plan(title="in rounds", steps=PLAN.steps[:3], devices=(GPU, GPU_AUDIO), continues=True)
REST = Plan(title="in rounds", steps=(bind(LONE),), devices=(LONE,))


def begun(machine):
    """The first round of an operation that continues; as the journal has it."""
    outcome = execute(FIRST, machine, 0)
    assert (outcome.result, outcome.operation.end) == (Result.DONE, None)
    assert drivers(machine) == ["vfio-pci", "vfio-pci", "bochs-drm"]
    (operation,) = journal.open_operations(store_of(machine))
    return operation


def test_a_later_round_that_fails_takes_all_back(machine):
    machine.faults["unbind", LONE] = errno.EBUSY
    outcome = extend(begun(machine), REST, machine, 0)
    assert (outcome.result, drivers(machine)) == (Result.ROLLED_BACK, HOME)
    assert machine.open_journals() == []


def test_the_last_round_ends_it(machine):
    outcome = extend(begun(machine), REST, machine, 0)
    assert (outcome.result, outcome.operation.end) == (Result.DONE, Result.DONE)
    assert drivers(machine) == ["vfio-pci"] * 3
    assert outcome.operation.devices == (GPU, GPU_AUDIO, LONE)


def test_nothing_more_to_do(machine):
    assert conclude(begun(machine), machine).result is Result.DONE
    assert machine.open_journals() == []


def test_nobody_goes_on_with_half_of_it(machine):
    """Killed between two rounds: what they lead to is not in the journal."""
    assert resume(begun(machine), machine, 0).result is Result.ROLLED_BACK
    assert drivers(machine) == HOME


def test_killed_in_a_later_round(machine):
    operation = journal.more(store_of(machine), begun(machine), REST)
    journal.intent(store_of(machine), operation, 3, Binding(driver="bochs-drm", override=None))
    (operation,) = journal.open_operations(store_of(machine))
    assert resume(operation, machine, 0).result is Result.ROLLED_BACK
    assert drivers(machine) == HOME


def test_what_reached_a_guest_is_completed_though_it_continues(machine):
    app.attach(machine, "vm1", LONE)
    uuid = machine.libvirt.guests["vm1"].uuid
    attach = AttachDevice(address=LONE, domain="vm1", uuid=uuid, alias="ua-x", exposed=True, connect="")
    plan = Plan(title="in rounds", steps=(attach, bind(GPU)), devices=(LONE, GPU), continues=True)
    journal.intent(store_of(machine), begin(machine, plan), 0, False)
    (operation,) = journal.open_operations(store_of(machine))
    outcome = resume(operation, machine, 0)
    assert (outcome.result, outcome.operation.end) == (Result.DONE, None)
    outcome = leave_half(outcome.operation, machine)
    assert (outcome.result, outcome.operation.end) == (Result.PARTLY, Result.PARTLY)
    assert machine.driver(GPU) == "vfio-pci"
    assert machine.open_journals() == []
