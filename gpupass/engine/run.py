"""Run a plan step by step, roll back on failure, take a crashed or pending operation to its end."""

from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from msgspec import Struct

from gpupass.engine import identities, journal
from gpupass.engine.journal import Operation
from gpupass.errors import GpupassError, Interrupted, NeedsPerson, NotClean, Pending, as_error
from gpupass.model.address import Address, root_of
from gpupass.model.mark import Quarantine
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.store import Store, marks, store_of
from gpupass.system import System, interrupts
from gpupass.system.identity import read_identity

_FREE_SPACE = "free space there, then: gpupass recover"


class Result(StrEnum):
    """How an operation ended, or that it has not."""

    DONE = "done"
    ROLLED_BACK = "rolled-back"
    PENDING = "pending"
    PARTLY = "partly"
    NEEDS_PERSON = "needs-person"


class StepStatus(StrEnum):
    """How far a step came."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"  # and was taken back, where it had begun and could be
    UNDONE = "undone"
    NOT_RUN = "not-run"
    PENDING = "pending"


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`error` is the failure behind every result but DONE."""

    operation: Operation
    result: Result
    error: GpupassError | None = None

    @property
    def stands(self) -> bool:
        """Something that it has changed, or asked a guest for, is so now."""
        operation = self.operation
        return self.result is not Result.ROLLED_BACK and bool(operation.before.keys() - operation.undone)

    @property
    def statuses(self) -> tuple[StepStatus, ...]:
        """Of each step."""
        now = statuses(self.operation, back=self.result is Result.ROLLED_BACK)
        stopped = StepStatus.PENDING if self.result is Result.PENDING else StepStatus.FAILED
        if self.error is None or isinstance(self.error, Interrupted):
            return now
        first = next((n for n in range(len(now)) if n not in self.operation.done), None)
        return tuple(stopped if number == first else one for number, one in enumerate(now))


def statuses(operation: Operation, back: bool = False) -> tuple[StepStatus, ...]:
    """As the journal tells; `back`: all that had begun is undone, if there was room to write so or not."""
    undone = operation.undone | operation.before.keys() if back else operation.undone
    return tuple(
        StepStatus.UNDONE
        if number in undone
        else StepStatus.DONE
        if number in operation.done
        else StepStatus.NOT_RUN
        for number in range(len(operation.steps))
    )


def execute(
    plan: Plan,
    system: System,
    deadline: float,
    replaces: tuple[Operation, ...] = (),
    apply: str = "",
    on_step: Callable[[Deed], None] = lambda step: None,
) -> Outcome:
    """All steps in order. A failing step takes everything back; Pending keeps the rest for later.

    Pending operations that this one replaces end only when it is in the journal.
    """
    store = store_of(system)
    boot_id, time, user = system.boot_id(), system.now(), system.user()
    operation = journal.begin(store, plan, boot_id=boot_id, time=time, user=user, apply=apply)
    for old in replaces:
        journal.end(store, old, "replaced", f"by: {plan.title}")
    return proceed(operation, system, deadline, on_step)


def extend(
    operation: Operation,
    plan: Plan,
    system: System,
    deadline: float,
    on_step: Callable[[Deed], None] = lambda step: None,
) -> Outcome:
    """The next steps of an operation that continues. A failing one takes all of it back."""
    try:
        operation = journal.more(store_of(system), operation, plan)
    except GpupassError as error:
        return roll_back(operation, system, error)
    return proceed(operation, system, deadline, on_step)


def conclude(operation: Operation, system: System) -> Outcome:
    """A fresh look wants nothing more of one that continues; what cannot be said so would be taken back."""
    try:
        operation = journal.end(store_of(system), operation, Result.DONE)
    except GpupassError as error:
        return roll_back(operation, system, error)
    return Outcome(operation=operation, result=Result.DONE)


def resume(operation: Operation, system: System, deadline: float) -> Outcome:
    """After a crash or while pending: complete what has reached a guest, take back everything else.

    Half of an operation that continues is no state that anybody wanted: where a guest leaves no way back,
    it is done so far, and still open: whoever knows what was to follow plans on with it, or `leave_half`.
    """
    if goes_back(operation, system):
        return roll_back(operation, system, None)
    return proceed(operation, system, deadline)


def goes_back(operation: Operation, system: System) -> bool:
    """Whether `resume` takes it back; asked beforehand, too."""
    return operation.rolling_back or bool(operation.undone) or not _must_go_on(operation, system)


def leave_half(operation: Operation, system: System) -> Outcome:
    """The end of one that continues, where nobody knows (any more) what was to follow."""
    again = "apply the same profile again" if operation.apply else "type it again"
    half = NeedsPerson(
        f"only its first steps are done, the others take another look: {again}", "gpupass history"
    )
    ended = journal.end(store_of(system), operation, Result.PARTLY, half.message)
    return Outcome(operation=ended, result=Result.PARTLY, error=half)


def _must_go_on(operation: Operation, system: System) -> bool:
    """GpupassError when libvirt cannot be asked: then nobody may decide."""
    started = [step for number, step in enumerate(operation.steps) if number in operation.before]
    reached = [step.committed(system) for step in started]
    complete = len(operation.done) == len(operation.steps) and not operation.continues
    return complete or operation.pending is not None or any(reached)


def proceed(
    operation: Operation, system: System, deadline: float, on_step: Callable[[Deed], None] = lambda step: None
) -> Outcome:
    number, store = 0, store_of(system)
    try:
        for number, step in enumerate(operation.steps):
            if number in operation.done:
                continue
            interrupts.heed(operation.title)
            met = identities.meet(operation, step, system)
            if number not in operation.before:
                now = step.current(system)
                operation = journal.intent(store, operation, number, now, step.marks, step.forgets, met)
            on_step(step)
            step.do(system, deadline)
            operation = journal.done(store, operation, number, step.forgets)
    except Pending as error:
        with suppress(GpupassError):  # the journal's disk is full: the intent alone says as much
            operation = journal.pending(store, operation, number, error.message)
        return Outcome(operation=operation, result=Result.PENDING, error=error)
    except NeedsPerson as error:
        return _give_up(operation, system, (error,), error)
    except Exception as error:
        return roll_back(operation, system, as_error(error))
    if operation.continues:
        return Outcome(operation=operation, result=Result.DONE)
    with suppress(GpupassError):  # likewise: the next gpupass finds every step done
        operation = journal.end(store, operation, Result.DONE)
    return Outcome(operation=operation, result=Result.DONE)


def roll_back(operation: Operation, system: System, cause: GpupassError | None) -> Outcome:
    """Undo every step that was begun, last first.

    One that cannot be undone does not stop the others, but what it stands on stays: no driver is taken from
    a device that its guest still has, no way back forgotten that has not been gone.
    """
    why = cause.message if cause else "after a crash"
    store = store_of(system)
    try:
        operation = operation if operation.rolling_back else journal.rolling_back(store, operation, why)
    except GpupassError as full:
        if _reached_a_guest(operation, system):  # recover would go forward from a journal that ends here
            stuck = NeedsPerson(f"{why}; and cannot roll back: {full.message}", _FREE_SPACE)
            return Outcome(operation=operation, result=Result.NEEDS_PERSON, error=stuck)
    failures: list[GpupassError] = []
    kept: set[str] = set()
    for number in _backwards(operation):
        step = operation.steps[number]
        about = {root_of(carrier) for carrier in step.carriers}
        if kept & about:
            continue
        try:
            identities.require_same(operation, step, system)
            with interrupts.heeded():
                step.undo(operation.before[number], system)
        except Exception as failure:
            failures.append(as_error(failure))
            kept.update(operation.devices if _committed(step, system) else about)
            continue
        with suppress(GpupassError):  # undoing it once more changes nothing
            operation = journal.undone(store, operation, number)
    if failures:
        person = NeedsPerson(
            f"{cause.message if cause else operation.title}; and cannot roll back: "
            + "; ".join(failure.message for failure in failures),
            failures[0].hint,
        )
        if all(failure.retryable for failure in failures):  # recover goes on when libvirt can be asked again
            hint = f"{failures[0].hint}; then: gpupass recover" if failures[0].hint else "gpupass recover"
            later = NeedsPerson(person.message, hint)
            return Outcome(operation=operation, result=Result.NEEDS_PERSON, error=later)
        return _give_up(operation, system, tuple(failures), person)
    with suppress(GpupassError):
        operation = _end_undone(store, operation, why)
    return Outcome(operation=operation, result=Result.ROLLED_BACK, error=cause)


def _backwards(operation: Operation) -> list[int]:
    """Whoever reads what was written does so when all of it is back."""
    left = operation.before.keys() - operation.undone
    return sorted(
        left, key=lambda number: (True, number) if operation.steps[number].settles else (False, -number)
    )


def _end_undone(store: Store, operation: Operation, why: str) -> Operation:
    """Where the disk is full nobody may undo all of it once more, on a host that has gone on."""
    try:
        return journal.end(store, operation, Result.ROLLED_BACK, why)
    except GpupassError:
        return journal.unbegun(store, operation)


def _give_up(
    operation: Operation, system: System, failures: tuple[GpupassError, ...], error: NeedsPerson
) -> Outcome:
    """Quarantine first: once the journal is closed nobody else would remember."""
    try:
        for failure in failures:
            if isinstance(failure, NotClean):
                quarantine(system, failure)
        operation = journal.end(store_of(system), operation, Result.NEEDS_PERSON, error.message)
    except GpupassError as full:
        error = NeedsPerson(f"{error.message}; and {full.message}", _FREE_SPACE)
    return Outcome(operation=operation, result=Result.NEEDS_PERSON, error=error)


def quarantine(system: System, error: NotClean) -> None:
    """Nobody gets the devices until a person says so."""
    for address in error.addresses:
        mark = Quarantine(
            carrier=Address(address),
            why=error.why,
            boot_id=system.boot_id(),
            since=system.now(),
            identity=read_identity(system, address),
        )
        marks.set_mark(store_of(system), mark)


def _reached_a_guest(operation: Operation, system: System) -> bool:
    started = [step for number, step in enumerate(operation.steps) if number in operation.before]
    return operation.pending is not None or any(_committed(step, system) for step in started)


def _committed(step: Deed, system: System) -> bool:
    try:
        return step.committed(system)
    except GpupassError:
        return True
