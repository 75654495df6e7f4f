"""Run a plan step by step, roll back on failure, take a crashed or pending operation to its end."""

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from gpupass import steps
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.errors import GpupassError, NeedsPerson, Pending
from gpupass.model.plan import Plan
from gpupass.system import System


class Result(StrEnum):
    """How an operation ended, or that it has not."""

    DONE = "done"
    ROLLED_BACK = "rolled-back"
    PENDING = "pending"
    NEEDS_PERSON = "needs-person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`error` is the failure behind every result but DONE."""

    operation: Operation
    result: Result
    error: GpupassError | None = None


def execute(plan: Plan, system: System, deadline: float) -> Outcome:
    """All steps in order. A failing step takes everything back; Pending keeps the rest for later."""
    return proceed(journal.begin(system, plan), system, deadline)


def resume(operation: Operation, system: System, deadline: float) -> Outcome:
    """After a crash or while pending: complete what has reached a guest, take back everything else."""
    if operation.undone:
        return roll_back(operation, system, None)
    started = [step for number, step in enumerate(operation.steps) if number in operation.before]
    complete = len(operation.done) == len(operation.steps)
    if complete or operation.pending is not None or any(steps.committed(s, system) for s in started):
        return proceed(operation, system, deadline)
    return roll_back(operation, system, None)


def proceed(operation: Operation, system: System, deadline: float) -> Outcome:
    try:
        for number, step in enumerate(operation.steps):
            if number in operation.done:
                continue
            if number not in operation.before:
                operation = journal.intent(operation, number, steps.current(step, system))
            steps.do(step, system, deadline)
            operation = journal.done(operation, number)
        return Outcome(operation=journal.end(operation, Result.DONE), result=Result.DONE)
    except Pending as error:
        operation = journal.pending(operation, number, error.message)
        return Outcome(operation=operation, result=Result.PENDING, error=error)
    except NeedsPerson as error:
        operation = journal.end(operation, Result.NEEDS_PERSON, error.message)
        return Outcome(operation=operation, result=Result.NEEDS_PERSON, error=error)
    except GpupassError as error:
        return roll_back(operation, system, error)


def roll_back(operation: Operation, system: System, cause: GpupassError | None) -> Outcome:
    """Undo every step that was begun, last first; one that cannot be undone does not stop the others."""
    failures: list[GpupassError] = []
    for number in sorted(operation.before.keys() - operation.undone, reverse=True):
        try:
            steps.undo(operation.steps[number], operation.before[number], system)
            operation = journal.undone(operation, number)
        except GpupassError as failure:
            failures.append(failure)
    if failures:
        error: GpupassError | None = NeedsPerson(
            f"{cause.message if cause else operation.title}; and cannot roll back: "
            + "; ".join(failure.message for failure in failures),
            failures[0].hint,
        )
        result = Result.NEEDS_PERSON
    else:
        error, result = cause, Result.ROLLED_BACK
    with suppress(GpupassError):  # the journal's disk is full: the next recover finds everything undone
        operation = journal.end(operation, result, error.message if error else "after a crash")
    return Outcome(operation=operation, result=result, error=error)
