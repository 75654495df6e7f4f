"""Before each write and each undo: is it still the device that was meant? Another one there is left alone."""

from collections.abc import Iterator

from gpupass.engine.journal import Operation
from gpupass.errors import NeedsPerson, Refused
from gpupass.model.address import Address, root_of
from gpupass.model.identity import Identity
from gpupass.step import Deed
from gpupass.system import System
from gpupass.system.identity import read_identity


def meet(operation: Operation, step: Deed, system: System) -> dict[Address, Identity]:
    """Those at the step's addresses whom nobody has met yet; Refused where another device has come."""
    for address, was, now in _changed(operation, step, system):
        raise Refused(
            f"cannot {step.words()}: {address} is {now.beside(was)} now, the plan was for {was.beside(now)}",
            f"gpupass show {address}",
        )
    new = {a: read_identity(system, a) for a in _addresses(step) if a not in operation.identities}
    return {address: found for address, found in new.items() if found is not None}


def require_same(operation: Operation, step: Deed, system: System) -> None:
    """NeedsPerson where another device has come since: nothing is put back on it that it never had."""
    for address, was, now in _changed(operation, step, system):
        raise NeedsPerson(
            f"cannot take back: {step.words()}: {address} is {now.beside(was)} now, it was {was.beside(now)}",
            f"gpupass show {address}",
        )


def _changed(
    operation: Operation, step: Deed, system: System
) -> Iterator[tuple[Address, Identity, Identity]]:
    for address in _addresses(step):
        was = operation.identities.get(address)
        now = read_identity(system, address, serial=bool(was.serial)) if was is not None else None
        if was is not None and now is not None and now.contradicts(was):
            yield address, was, now


def _addresses(step: Deed) -> tuple[Address, ...]:
    marked = (mark.carrier for mark in step.marks)
    above = (step.of,) if step.of is not None else ()
    return tuple(dict.fromkeys(map(root_of, (*step.carriers, *above, *marked))))
