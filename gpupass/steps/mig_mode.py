"""MIG mode of an NVIDIA GPU, and the reset without which Ampere only says it will be switched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from gpupass.errors import GpupassError, Pending
from gpupass.model.address import Address
from gpupass.model.step import ResetGpu, SetMigMode, SetPersistence
from gpupass.steps import persistence
from gpupass.system import System, mig_change
from gpupass.system.holders import gpu_holders
from gpupass.system.nvml_library import LIBRARY

_BUSY = ("in use", "being used")  # as nvidia-smi words it


class Mode(TypedDict):
    """MIG mode now, and after the next reset."""

    on: bool
    pending: bool


def current(step: SetMigMode, system: System) -> Mode:
    on, pending = mig_change.mode(step.address)
    return {"on": on, "pending": pending}


def do(step: SetMigMode, system: System) -> None:
    """Pending, with those who hold the GPU, when the driver only promises it and no reset follows."""
    now = _set(step, step.on, system)
    if now["on"] != step.on and not step.reset_follows:
        raise Pending(*_waits(system, step.address, step.on))


def undo(step: SetMigMode, before: Any, system: System) -> None:
    if current(step, system) == before:
        return
    now = _set(step, before["pending"], system)
    if now != before and not step.reset_follows:
        message, hint = _waits(system, step.address, before["on"])
        raise GpupassError(message, hint)


def persistence_before(step: ResetGpu, system: System) -> bool:
    """What a reset needs off, and must not lose."""
    return persistence.current(_persistence(step), system)


def reset(step: ResetGpu, system: System) -> None:
    """Nothing to do when the driver has reset it by itself. Pending while somebody holds the GPU."""
    if not step.back:
        _reset(step, system)


def undo_reset(step: ResetGpu, before: Any, system: System) -> None:
    if step.back:
        _reset(step, system)
    if before and not persistence_before(step, system):
        persistence.do(_persistence(step, True), system)


def _set(step: SetMigMode, on: bool, system: System) -> Mode:
    now, waits = current(step, system), ""
    if now != {"on": on, "pending": on}:
        waits = mig_change.set_mode(step.address, on)
        now = current(step, system)
    if now["pending"] != on:
        held = ", ".join(_holders(system, step.address)) if waits else ""
        why = waits or "the driver says it has, and it has not"
        why += f"; it is held by {held}" if held else ""
        raise GpupassError(
            f"cannot switch MIG mode of {step.address} {_word(on)}: {why}", f"gpupass show {step.address}"
        )
    return now


def _reset(step: ResetGpu, system: System) -> None:
    on, pending = mig_change.mode(step.address)
    if on == pending:
        return
    with _let_go(step, system):
        if mig_change.users(system, step.address) or gpu_holders(system, step.address):
            raise Pending(*_waits(system, step.address, pending))
        try:
            with LIBRARY.silent():
                mig_change.reset(system, step.uuid)
        except GpupassError as error:
            if any(words in error.message for words in _BUSY):
                raise Pending(
                    f"MIG mode of {step.address} stays {_word(on)} until the GPU is free: {error.message}",
                    "end what uses it, then: gpupass recover",
                ) from None
            raise
    if mig_change.mode(step.address) != (pending, pending):
        raise Pending(*_waits(system, step.address, pending))


@contextmanager
def _let_go(step: ResetGpu, system: System) -> Iterator[None]:
    """Persistence mode keeps the GPU open."""
    persistent = persistence_before(step, system)
    if persistent:
        persistence.do(_persistence(step, False), system)
    try:
        yield
    finally:
        if persistent:
            persistence.do(_persistence(step, True), system)


def _persistence(step: ResetGpu, on: bool = False) -> SetPersistence:
    return SetPersistence(address=step.address, uuid=step.uuid, on=on)


def _waits(system: System, address: Address, wanted: bool) -> tuple[str, str]:
    """What is said of a mode that is pending, and what to do about it."""
    names = _holders(system, address)
    held = f"in use by {', '.join(names)}" if names else "the driver waits for a reset of the GPU"
    return (
        f"MIG mode of {address} is to be {_word(wanted)} and stays {_word(not wanted)}: {held}",
        "end what uses it, then: gpupass recover" if names else "gpupass recover, or reboot",
    )


def _holders(system: System, address: Address) -> tuple[str, ...]:
    """Whoever has its node open, and whoever works on it as far as the driver tells."""
    names = {f"{holder.name} (pid {holder.pid})": None for holder in gpu_holders(system, address)}
    try:
        users = mig_change.users(system, address)
    except GpupassError:
        users = ()
    return tuple(names | {user.words: None for user in users})


def _word(on: bool) -> str:
    return "on" if on else "off"
