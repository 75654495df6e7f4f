"""MIG mode of an NVIDIA GPU, and the reset without which Ampere only says it will be switched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, Pending
from gpupass.model.address import Address
from gpupass.model.host import Host
from gpupass.model.mig import MigState
from gpupass.step import Step
from gpupass.steps.mig import cut_after
from gpupass.steps.persistence import is_persistent, set_persistence
from gpupass.system import System, mig_change
from gpupass.system.holders import gpu_holders
from gpupass.system.nvml_library import LIBRARY

_BUSY = ("in use", "being used")  # as nvidia-smi words it


class Mode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MIG mode now, and after the next reset."""

    on: bool
    pending: bool


class SetMigMode(Step, frozen=True, kw_only=True):
    """MIG mode of one NVIDIA GPU. `reset_follows`: the plan resets the GPU, so that it may stay pending."""

    address: Address
    uuid: str
    on: bool
    reset_follows: bool = False

    Before: ClassVar[Any] = Mode

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    def words(self) -> str:
        return f"switch MIG mode of {self.address} {_word(self.on)}"

    def seconds(self) -> float:
        return 2.0

    def after(self, host: Host) -> Host:
        return cut_after(
            host,
            self.address,
            lambda cut: replace(cut, on=cut.on if cut.resets else self.on, pending=self.on),
        )

    def current(self, system: System) -> Mode:
        on, pending = mig_change.mode(self.address)
        return Mode(on=on, pending=pending)

    def do(self, system: System, deadline: float) -> None:
        """Pending, with those who hold the GPU, when the driver only promises it and no reset follows."""
        now = _set(self, self.on, system)
        if now.on != self.on and not self.reset_follows:
            raise Pending(*_waits(system, self.address, self.on))

    def undo(self, before: Any, system: System) -> None:
        if self.current(system) == before:
            return
        now = _set(self, before.pending, system)
        if now != before and not self.reset_follows:
            message, hint = _waits(system, self.address, before.on)
            raise GpupassError(message, hint)


class ResetGpu(Step, frozen=True, kw_only=True):
    """Reset an NVIDIA GPU through its driver, if its MIG mode is pending. `back`: only on the way back.

    Persistence mode, which keeps the GPU open, is off meanwhile. Steps are undone last first, so the reset
    that a rollback needs must stand before the mode.
    """

    address: Address
    uuid: str
    back: bool = False

    Before: ClassVar[Any] = bool
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def resets(self) -> tuple[Address, ...]:
        return () if self.back else (self.address,)

    @property
    def needs_leave(self) -> tuple[Address, ...]:
        return self.resets

    @property
    def only_back(self) -> bool:
        return self.back

    def words(self) -> str:
        return f"reset the GPU {self.address}"

    def seconds(self) -> float:
        return 0.0 if self.back else 10.0

    def after(self, host: Host) -> Host:
        return host if self.back else cut_after(host, self.address, _as_pending)

    def current(self, system: System) -> bool:
        """Persistence mode, which a reset needs off, and must not lose."""
        return is_persistent(system, self.uuid)

    def do(self, system: System, deadline: float) -> None:
        """Nothing to do when the driver has reset it by itself. Pending while somebody holds the GPU."""
        if not self.back:
            _reset(self, system)

    def undo(self, before: Any, system: System) -> None:
        if self.back:
            _reset(self, system)
        if before and not self.current(system):
            set_persistence(system, self.uuid, True)


def _as_pending(cut: MigState) -> MigState:
    gpu = replace(cut.gpu, instances=()) if cut.gpu is not None else None
    return replace(cut, on=cut.pending, gpu=gpu)


def _set(step: SetMigMode, on: bool, system: System) -> Mode:
    now, waits = step.current(system), ""
    if now != Mode(on=on, pending=on):
        waits = mig_change.set_mode(step.address, on)
        now = step.current(system)
    if now.pending != on:
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
    persistent = step.current(system)
    if persistent:
        set_persistence(system, step.uuid, False)
    try:
        yield
    finally:
        if persistent:
            set_persistence(system, step.uuid, True)


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
