"""Who works with a device for the host lets go of it, and has it back: services, consoles, framebuffers."""

from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.host import Device, Host
from gpupass.model.mark import Stopped
from gpupass.model.user import User
from gpupass.step import NOTHING, Facts, Kind, Rank, Step, facts
from gpupass.system import System, interrupts, services
from gpupass.system.holders import host_holders

_LOOK_AGAIN = 0.25
_CLOSING = 20.0  # a login session goes some seconds after its display manager


class _Holding(Step, frozen=True, kw_only=True):
    """`handle` as `User.handle` has it: what holds these devices, or may have them again (`on`)."""

    addresses: tuple[Address, ...]
    handle: str
    on: bool

    Before: ClassVar[Any] = bool

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def _at_work(self) -> Facts:
        return facts(*((Kind.AT_WORK, address) for address in self.addresses))

    @property
    def needs(self) -> Facts:
        return super().needs if self.on else NOTHING

    @property
    def gives(self) -> Facts:
        return self._at_work if self.on else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.on else self._at_work

    def after(self, host: Host) -> Host:
        for address in self.addresses if not self.on else ():
            host = host.altered(address, self._left)
        return host

    def _left(self, device: Device) -> Device:
        return replace(device, users=tuple(user for user in device.users if not self.holds(user)))

    def holds(self, user: User) -> bool:
        return user.handle == self.handle

    def current(self, system: System) -> bool:
        raise NotImplementedError

    def _set(self, on: bool, system: System) -> None:
        raise NotImplementedError

    def do(self, system: System, deadline: float) -> None:
        if self.current(system) is not self.on:
            self._set(self.on, system)

    def undo(self, before: Any, system: System) -> None:
        if self.current(system) is not before:
            self._set(bool(before), system)


class SetUnit(_Holding, frozen=True, kw_only=True):
    """A service of systemd's, or what would start it again, is stopped, or started again."""

    @property
    def rank(self) -> Rank:
        """A display manager that goes gives its screen to the console.

        A socket goes before its service, which would be back; it is not started any more when that runs.
        """
        first = 0 if self.handle.endswith(".service") else 1
        return (1, first) if self.on else (3, first)

    def words(self) -> str:
        return f"{'start' if self.on else 'stop'} {self.handle}"

    def seconds(self) -> float:
        return 3.0

    def holds(self, user: User) -> bool:
        return user.handle.endswith(f" {self.handle}")

    def current(self, system: System) -> bool:
        """Is it active?"""
        return services.is_active(system, self.handle)

    def do(self, system: System, deadline: float) -> None:
        """One that does not start is a person's affair: the device is where it shall be."""
        try:
            super().do(system, deadline)
        except GpupassError as error:
            if not self.on:
                raise
            raise NeedsPerson(error.message, error.hint) from None

    def _set(self, on: bool, system: System) -> None:
        if on:
            services.start(system, self.handle)
        else:
            services.stop(system, self.handle)


class SetConsole(_Holding, frozen=True, kw_only=True):
    """The kernel's text console (/sys/class/vtconsole) draws on a framebuffer, or not."""

    @property
    def rank(self) -> Rank:
        return (2,)

    @property
    def _bind(self) -> str:
        return f"/sys/class/vtconsole/{self.handle}/bind"

    def words(self) -> str:
        what = "give the console back to" if self.on else "take the console off"
        return f"{what} {', '.join(self.addresses)} ({self.handle})"

    def current(self, system: System) -> bool:
        return system.read(self._bind) == "1"

    def _set(self, on: bool, system: System) -> None:
        system.write(self._bind, "1" if on else "0", *self.addresses, what=self.words())
        if self.current(system) is not on:
            raise GpupassError(f"cannot {self.words()}: the kernel has not done it", f"cat {self._bind}")


class SetFramebuffer(_Holding, frozen=True, kw_only=True):
    """The framebuffer of the firmware has its driver (simple-framebuffer, efi-framebuffer), or none."""

    @property
    def rank(self) -> Rank:
        """Its console has left it before."""
        return (3,) if self.on else (1,)

    def words(self) -> str:
        what = "give the framebuffer back to" if self.on else "take the framebuffer off"
        return f"{what} {', '.join(self.addresses)}"

    def current(self, system: System) -> bool:
        return system.exists(self.handle)

    def _set(self, on: bool, system: System) -> None:
        driver, _, name = self.handle.rpartition("/")
        system.write(f"{driver}/{'bind' if on else 'unbind'}", name, *self.addresses, what=self.words())
        if self.current(system) is not on:
            raise GpupassError(f"cannot {self.words()}: the kernel has not done it", f"ls {driver}")


class AwaitIdle(Step, frozen=True, kw_only=True):
    """Until no process has the files open that these functions have under their host drivers."""

    addresses: tuple[Address, ...]

    Before: ClassVar[Any] = type(None)
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def needs(self) -> Facts:
        return NOTHING

    @property
    def ends(self) -> Facts:
        return facts(*((Kind.AT_WORK, address) for address in self.addresses))

    def words(self) -> str:
        return f"see that nobody has {', '.join(self.addresses)} open"

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when somebody goes on holding them: who comes back by himself, or has come since."""
        until = system.monotonic() + _CLOSING
        while found := [one for address in self.addresses for one in host_holders(system, address)]:
            if system.monotonic() >= until:
                who = f"{found[0].name} (process {found[0].pid})"
                raise GpupassError(
                    f"cannot go on with {', '.join(self.addresses)}: {who} still has {found[0].node} open",
                    f"systemctl status {found[0].pid}",
                )
            interrupts.heed(self.words())
            system.sleep(_LOOK_AGAIN)

    def undo(self, before: Any, system: System) -> None:
        """It has changed nothing."""


def remembered(step: _Holding, boot_id: str) -> _Holding:
    """Stopped for these devices: started again when one of them is back."""
    marks = tuple(
        Stopped(carrier=address, part=step.handle, step=type(step).__name__, boot_id=boot_id)
        for address in step.addresses
    )
    return replace(step, marks=marks)
