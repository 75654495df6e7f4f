"""Give a function to a running domain and ask for it back; the live XML decides, no API return does."""

import shlex
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError, NeedsPerson, Pending
from gpupass.lending.domain_xml import hostdev_of
from gpupass.lending.failures import hint_for, rom_remedy
from gpupass.lending.hostdev_xml import hostdev_xml, mdev_xml
from gpupass.model.address import Address, bus_of, sysfs
from gpupass.model.atom import groups as shared
from gpupass.model.domain import Domain, Hostdev
from gpupass.model.host import B, Host
from gpupass.model.mark import Claim
from gpupass.model.mdev import Mdev
from gpupass.model.options import DEFAULT, UNSAID, VFIO, Options
from gpupass.model.user import User, UserKind
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.steps.bind import BindDriver
from gpupass.system import System, interrupts
from gpupass.system.libvirt import DEVICE_MISSING, NO_DOMAIN, OPERATION_INVALID, LibvirtFailure

_ASK_AGAIN = 20.0  # a request sent before the guest's ACPI is up is lost (QEMU pcihp.c): send it again
_BUSY = 6.0  # the 5 s button window of native PCIe hot-plug (QEMU pcie.c)
_LOOK_AGAIN = 1.0
_UNDO_SECONDS = 30.0

_FORBIDDEN = (3, 29, 45, 88)  # VIR_ERR_NO_SUPPORT, OPERATION_DENIED, AUTH_FAILED, ACCESS_DENIED
_PERMANENT = (
    "multifunction PCI guest address",
    "unsupported by the port device",
    "not allowed by controller",
    "hotplug is disabled",
)


class _Plug(Step, frozen=True, kw_only=True):
    """One function of `address`, or with `mdev` that mediated device (UUID) of it, and a running domain."""

    address: Address
    mdev: str | None = None
    domain: str
    uuid: str
    alias: str
    exposed: bool
    connect: str

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def _lent(self) -> Facts:
        of = ((Kind.LENT, self.of),) if self.of is not None else ()
        return facts((Kind.LENT, self.mdev or self.address), *of)

    @property
    def _owned(self) -> Facts:
        """What the guest sees comes last, and goes first: libvirt then owns all of its group."""
        return facts((Kind.OWNED, self.uuid))

    @property
    def needs(self) -> Facts:
        part = facts((Kind.PART, self.mdev or self.address))
        return super().needs | part | (self._owned if self.exposed else NOTHING)

    @property
    def what(self) -> str:
        return f"the mediated device {self.mdev}" if self.mdev else self.address

    def written(self, system: System) -> str:
        """Its element in the running domain's XML, "" where it does not have it."""
        found = self._found(system)
        return found[0] if found is not None else ""

    def has(self, system: System) -> bool:
        return self._found(system) is not None

    def _found(self, system: System) -> tuple[str, Hostdev] | None:
        xml = system.hypervisor(self.connect).live_xml(self.uuid)
        return found_in(xml, self.domain, self.address, self.mdev) if xml is not None else None

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _Plug.__struct_fields__ if name != "why"}


class AttachDevice(_Plug, frozen=True, kw_only=True):
    """Give it to the domain, live only; `exposed` False: owned but not seen by the guest."""

    options: Options | None = None  # what the domain's XML is to say of it besides

    Before: ClassVar[Any] = bool

    def current(self, system: System) -> bool:
        return self.has(system)

    @property
    def needs(self) -> Facts:
        clean = ((Kind.CLEAN, self.address),) if self.mdev is None else ()
        claims = (mark for mark in self.marks if isinstance(mark, Claim))
        groups = (group for claim in claims for group in shared(claim.atoms))
        free = ((Kind.FREE, name) for name in (self.mdev or self.address, *groups))
        return super().needs | facts((Kind.CLOSED, self.address), (Kind.TUNED, self.address), *free, *clean)

    @property
    def gives(self) -> Facts:
        return self._lent | (NOTHING if self.exposed else self._owned)

    def words(self) -> str:
        how = f" with {self.options.words}" if self.options is not None else ""
        return f"attach {self.mdev or self.address} to {self.domain}{how}"

    def seconds(self) -> float:
        return 2.0

    def after(self, host: Host) -> Host:
        host = host.altered_parent(self.address, lambda carrier: _lent(carrier, self))
        return host.altered_domain(self.uuid, lambda domain: _with(domain, self))

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the domain's live XML does not show it afterwards, whatever the call returned,
        or shows it otherwise than asked for."""
        self._require_rom(system)
        self.plug(system)
        found = self._found(system)
        lacking = found[1].lacks(self.options or UNSAID).words if found is not None else ""
        if lacking:
            raise GpupassError(
                f"cannot attach {self.what} to {self.domain} with {lacking}: its live XML says otherwise",
                f"virsh dumpxml {shlex.quote(self.domain)}",
            )

    def _require_rom(self, system: System) -> None:
        """Somebody may have changed the file since it was looked at."""
        path = self.options.rom_file if self.options is not None else None
        why = system.why_no_rom(path) if path is not None else ""
        if path is not None and why:
            told = f"cannot attach {self.what} to {self.domain} with the ROM {path}: {why}"
            raise GpupassError(told, rom_remedy(path))

    def plug(self, system: System, xml: str | None = None) -> None:
        """As gpupass does, or as `xml` says."""
        if self.has(system):
            return
        hypervisor, log = system.hypervisor(self.connect), system.kernel_log()
        why = "libvirt reported success but its live XML does not show it"
        try:
            hypervisor.attach(self.uuid, xml or _xml(self))
        except LibvirtFailure as failure:
            why = failure.message
        if not self.has(system):
            said = log.since(self.address, "vfio", 'apparmor="DENIED"')
            why += f"; kernel: {said}" if said else ""
            hint = hint_for(why, self.mdev or self.address, self.domain, sysfs(self.address))
            raise GpupassError(f"cannot attach {self.what} to {self.domain}: {why}", hint)
        log.close()

    def undo(self, before: Any, system: System) -> None:
        if before or not self.has(system):
            return
        back = DetachDevice(**self._fields())
        try:
            back.do(system, system.monotonic() + _UNDO_SECONDS)
        except Pending as pending:
            raise NeedsPerson(f"cannot take {self.what} back: {pending.message}", pending.hint) from None

    def committed(self, system: System) -> bool:
        """A device the guest has, it keeps."""
        return self.has(system)


class DetachDevice(_Plug, frozen=True, kw_only=True):
    """Ask the domain to let go of it, and wait until it has; with `force` until a later step ends it."""

    managed: bool = False  # libvirt itself gives it back to the host then
    force: bool = False

    Before: ClassVar[Any] = str | bool  # as its XML was; True: as gpupass would plug it

    def current(self, system: System) -> str:
        return self.written(system)

    @property
    def gives(self) -> Facts:
        return facts((Kind.ASKED, self.address))

    @property
    def ends(self) -> Facts:
        return self._lent | (NOTHING if self.exposed else self._owned)

    @property
    def leaves_open(self) -> tuple[Address, ...]:
        return (self.address,) if self.managed else ()

    def words(self) -> str:
        return f"ask {self.domain} to let go of {self.mdev or self.address}"

    def seconds(self) -> float:
        """A guest unloads its driver."""
        return 3.0

    def after(self, host: Host) -> Host:
        host = host.altered_parent(self.address, lambda carrier: _returned(carrier, self))
        for address in self.leaves_open:
            host = _given_back(host, address)
        return host.altered_domain(self.uuid, lambda domain: _without(domain, self))

    def do(self, system: System, deadline: float) -> None:
        """Ask, wait, ask again; Pending at the deadline, GpupassError when it can never work."""
        hypervisor = system.hypervisor(self.connect)
        ask_at = system.monotonic()
        trouble = ""
        while True:
            seen = hypervisor.events()
            now = system.monotonic()
            try:
                if not self.has(system):
                    return
                if now >= ask_at:
                    ask_at = now + _BUSY  # where asking fails
                    wait, trouble = _ask(self, system)
                    ask_at = now + wait
                    if not self.has(system):
                        return
            except LibvirtFailure as failure:  # libvirt is away; the guest may have been asked already
                trouble = f" ({failure.message})"
            except GpupassError:
                if self.force:  # what can never work needs no patience
                    return
                raise
            if self.force and now >= deadline:
                return
            if now >= deadline or interrupts.asked():
                raise Pending(f"{self.domain} has not let go of {self.what} yet{trouble}", self._what_next())
            hypervisor.wait_event(seen, min(_LOOK_AGAIN, max(0.05, deadline - now)))

    def _what_next(self) -> str:
        if self.force:
            return (
                f"gpupass recover goes on, and destroys {self.domain} in the end; "
                f"to call that off: gpupass detach {self.domain} {self.mdev or self.address}"
            )
        return "gpupass recover --wait, or shut the guest down; --force --yes destroys it"

    def undo(self, before: Any, system: System) -> None:
        if not before or self.has(system):
            return
        if system.hypervisor(self.connect).live_xml(self.uuid) is None:  # stopped: it cannot have it back
            return
        AttachDevice(**self._fields()).plug(system, before if isinstance(before, str) else None)

    def committed(self, system: System) -> bool:
        """An unplug request cannot be cancelled (QEMU, qapi/qdev.json)."""
        self.has(system)  # while libvirt cannot be asked, nobody may go on or back
        return True


def found_in(xml: str, domain: str, address: Address, mdev: str | None) -> tuple[str, Hostdev] | None:
    """Its element in the live XML of that domain; GpupassError when nobody can read it."""
    try:
        return hostdev_of(xml, address, mdev)
    except ValueError as error:
        raise GpupassError(f"cannot read the live XML of {domain}: {error}") from None


def _xml(step: AttachDevice) -> str:
    options = step.options or UNSAID
    if step.mdev is not None:
        return mdev_xml(step.mdev, step.alias, options)
    return hostdev_xml(step.address, step.alias, step.exposed, options)


def _ask(step: DetachDevice, system: System) -> tuple[float, str]:
    """Send the request; how many seconds until it may be sent again, and what was wrong with it."""
    try:
        system.hypervisor(step.connect).detach(step.uuid, step.alias)
    except LibvirtFailure as error:
        if error.code in (NO_DOMAIN, DEVICE_MISSING, OPERATION_INVALID) and not step.has(system):
            return 0.0, ""
        if error.code in _FORBIDDEN:
            raise GpupassError(f"cannot detach {step.what} from {step.domain}: {error.message}") from None
        if any(text in error.message for text in _PERMANENT):
            raise GpupassError(
                f"cannot detach {step.what} from {step.domain}: {error.message}",
                f"only shutting {step.domain} down frees it",
            ) from None
        if "in the process of unplug" not in error.message:
            return _BUSY, f" ({error.message})"
    return _ASK_AGAIN, ""


# ── the host after it ──────────────────────────────────────────────────────────────────────────────────────


def _lent(device: B, step: AttachDevice) -> B:
    user = User(kind=UserKind.DOMAIN, name=step.domain, detail=step.alias)
    if step.mdev is None:
        return replace(device, users=(*device.users, user))
    through = replace(user, detail=f"mdev {step.mdev}")
    return _change_mdev(
        replace(device, users=(*device.users, through)), step.mdev, lambda users: (*users, user)
    )


def _returned(device: B, step: DetachDevice) -> B:
    """With the domain its QEMU lets go, too."""
    if step.mdev is None:
        return replace(device, users=_released(device.users, step.domain))
    through = User(kind=UserKind.DOMAIN, name=step.domain, detail=f"mdev {step.mdev}")
    gone = {through, *_processes_of(device.facts.mdevs, step.mdev)}
    users = tuple(user for user in device.users if user not in gone)
    return _change_mdev(replace(device, users=users), step.mdev, lambda users: _released(users, step.domain))


def _processes_of(mdevs: tuple[Mdev, ...], uuid: str | None) -> Iterator[User]:
    users = (user for mdev in mdevs if mdev.uuid == uuid for user in mdev.users)
    return (user for user in users if user.kind is UserKind.PROCESS)


def _given_back(host: Host, address: Address) -> Host:
    """By libvirt, once a managed one has left its domain (virHostdevReAttachPCIDevices)."""
    device = host.device(address)
    driver = device.facts.host_driver if device is not None else None
    return BindDriver(address=address, driver=driver, override=None).after(host)


def _released(users: tuple[User, ...], domain: str) -> tuple[User, ...]:
    gone = (UserKind.DOMAIN, UserKind.PROCESS)
    return tuple(u for u in users if u.kind not in gone or (u.kind is gone[0] and u.name != domain))


def _change_mdev(device: B, uuid: str, change: Callable[[tuple[User, ...]], tuple[User, ...]]) -> B:
    mdevs = tuple(
        replace(mdev, users=change(mdev.users)) if mdev.uuid == uuid else mdev for mdev in device.facts.mdevs
    )
    return replace(device, detail=replace(device.facts, mdevs=mdevs))


def _with(domain: Domain, step: AttachDevice) -> Domain:
    address = step.address if step.mdev is None else None
    options = step.options or UNSAID
    hostdev = Hostdev(
        address=address,
        mdev=step.mdev,
        alias=step.alias,
        unassigned=not step.exposed,
        rom=options.rom or DEFAULT,
        driver=options.driver or VFIO,
    )
    asked = bus_of(options.guest_address) if options.guest_address is not None else None
    open_ports = (port for port in domain.ports if port.hotplug and not port.occupied)
    free = next((port for port in open_ports if asked in (None, port.index)), None)
    ports = domain.ports
    if step.exposed and free is not None:
        ports = tuple(replace(port, occupied=True) if port == free else port for port in ports)
        hostdev = replace(hostdev, guest=Address(f"0000:{free.index:02x}:00.0"))
    return replace(domain, live=(*domain.live, hostdev), ports=ports)


def _without(domain: Domain, step: DetachDevice) -> Domain:
    gone = next((hostdev for hostdev in domain.live if hostdev.is_of(step.address, step.mdev)), None)
    if gone is None:
        return domain
    bus = bus_of(gone.guest) if gone.guest else None
    ports = tuple(replace(p, occupied=False) if p.index == bus else p for p in domain.ports)
    return replace(domain, live=tuple(h for h in domain.live if h != gone), ports=ports)
