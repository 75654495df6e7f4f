"""MIG mode of an NVIDIA GPU, and the reset without which Ampere only says it will be switched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, Pending
from gpupass.methods.mig.steps import cut_after
from gpupass.model.address import Address
from gpupass.model.host import Host
from gpupass.model.mig import MigState
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.steps.persistence import is_persistent, set_persistence
from gpupass.system import System, mig_change
from gpupass.system.holders import gpu_holders

UNTOLD = "told when its MIG mode is on"  # of some GPUs: which profiles they have
_BUSY = ("in use", "being used")  # as nvidia-smi words it


class Mode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MIG mode now, and after the next reset; persistence mode, which a reset must not lose."""

    on: bool
    pending: bool
    persistent: bool = False


class SetMigMode(Step, frozen=True, kw_only=True):
    """MIG mode of one NVIDIA GPU, with the reset that makes it true before Hopper (`reset`).

    `calls_off`: the mode is only pending, and stays as it is. Persistence mode, which keeps the GPU open, is
    off while it is reset.
    """

    address: Address
    uuid: str
    on: bool
    reset: bool = False
    calls_off: bool = False

    Before: ClassVar[Any] = Mode
    beside: ClassVar[str] = "its MIG mode cannot change"

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        return facts((Kind.MIG_MODE, self.address)) if self.on else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.on else facts((Kind.MIG_MODE, self.address))

    @property
    def without(self) -> Facts:
        if self.calls_off:
            return NOTHING
        return facts(*((kind, self.address) for kind in (Kind.VFS, Kind.CUT, Kind.INSTANCE, Kind.AT_WORK)))

    @property
    def resets(self) -> tuple[Address, ...]:
        return (self.address,) if self.reset else ()

    @property
    def needs_leave(self) -> tuple[Address, ...]:
        return self.resets

    def words(self) -> str:
        with_reset = ", and reset it" if self.reset else ""
        return f"switch MIG mode of {self.address} {_word(self.on)}{with_reset}"

    def seconds(self) -> float:
        return 12.0 if self.reset else 2.0

    def after(self, host: Host) -> Host:
        return cut_after(host, self.address, self._changed)

    def _changed(self, cut: MigState) -> MigState:
        if self.calls_off:
            return replace(cut, pending=self.on)
        gpu = replace(cut.gpu, instances=()) if cut.gpu is not None else None
        if self.on and gpu is not None and not gpu.profiles:
            return replace(cut, on=True, pending=True, gpu=None, unseen=UNTOLD)
        return replace(cut, on=self.on, pending=self.on, gpu=gpu)

    def current(self, system: System) -> Mode:
        on, pending = mig_change.mode(system, self.address)
        persistent = self.reset and is_persistent(system, self.address, self.uuid)
        return Mode(on=on, pending=pending, persistent=persistent)

    def do(self, system: System, deadline: float) -> None:
        """Pending, with those who hold the GPU, while the driver only promises it."""
        _switch(self, self.on, system)
        if self.reset:
            _reset(self, system)
        elif _now(self, system) != (self.on, self.on):
            raise Pending(*_waits(system, self.address, self.on))

    def undo(self, before: Any, system: System) -> None:
        if _now(self, system) != (before.on, before.pending):
            _switch(self, before.pending, system)
            if self.reset and _now(self, system) != (before.on, before.pending):
                _reset(self, system)
            if _now(self, system) != (before.on, before.pending):
                message, hint = _waits(system, self.address, before.on)
                raise GpupassError(message, hint)
        if before.persistent and not is_persistent(system, self.address, self.uuid):
            set_persistence(system, self.address, self.uuid, True)


def _now(step: SetMigMode, system: System) -> tuple[bool, bool]:
    return mig_change.mode(system, step.address)


def _switch(step: SetMigMode, on: bool, system: System) -> None:
    """As far as the driver does it at once: what it promises is pending."""
    waits = mig_change.set_mode(system, step.address, on) if _now(step, system) != (on, on) else ""
    if _now(step, system)[1] != on:
        held = ", ".join(_holders(system, step.address)) if waits else ""
        why = waits or "the driver says it has, and it has not"
        why += f"; it is held by {held}" if held else ""
        raise GpupassError(
            f"cannot switch MIG mode of {step.address} {_word(on)}: {why}", f"gpupass show {step.address}"
        )


def _reset(step: SetMigMode, system: System) -> None:
    """Nothing to do when the driver has reset it by itself. Pending while somebody holds the GPU."""
    on, pending = _now(step, system)
    if on == pending:
        return
    with _let_go(step, system):
        if mig_change.users(system, step.address) or gpu_holders(system, step.address):
            raise Pending(*_waits(system, step.address, pending))
        try:
            with system.nvml.silent():
                mig_change.reset(system, step.address, step.uuid)
        except GpupassError as error:
            if any(words in error.message for words in _BUSY):
                raise Pending(
                    f"MIG mode of {step.address} stays {_word(on)} until the GPU is free: {error.message}",
                    "end what uses it, then: gpupass recover",
                ) from None
            raise
    if _now(step, system) != (pending, pending):
        raise Pending(*_waits(system, step.address, pending))


@contextmanager
def _let_go(step: SetMigMode, system: System) -> Iterator[None]:
    persistent = is_persistent(system, step.address, step.uuid)
    if persistent:
        set_persistence(system, step.address, step.uuid, False)
    try:
        yield
    finally:
        if persistent:
            set_persistence(system, step.address, step.uuid, True)


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
