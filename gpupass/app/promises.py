"""A domain is promised a device: given when it starts, back when it stops, by the unit that listens."""

from collections.abc import Iterator
from typing import ClassVar

from msgspec.structs import replace

from gpupass.app.boot import OfBoot
from gpupass.app.consent import Consent
from gpupass.app.intents import Detach, OfDevice, Receives, alone
from gpupass.app.look import look_around
from gpupass.app.report import Ending, Report
from gpupass.app.session import Session
from gpupass.app.trip import require_ready, require_root
from gpupass.app.verbs import hand_over, single
from gpupass.boot.plan import listen_plan, unlisten_plan
from gpupass.boot.units import PROMISES, unit_path
from gpupass.errors import GpupassError, Refused
from gpupass.lending import promises
from gpupass.model.address import BOOT, parse_address
from gpupass.model.boot import BootState
from gpupass.model.domain import QEMU, Domain, DomainState, Manager
from gpupass.model.host import Host
from gpupass.model.mark import Heir, Promise
from gpupass.model.options import UNSAID, Options
from gpupass.model.profile import Profile
from gpupass.model.slot import Slot
from gpupass.observe.boot import read_boot
from gpupass.plan import Draft, Finding, HostPlan, Plan
from gpupass.planner.draft import plan_of
from gpupass.planner.find import domain_called, require_libvirt
from gpupass.store import store_of
from gpupass.store.marks import forget, read_marks_of, set_marks
from gpupass.system import Reader, System
from gpupass.system.executable import own_executable
from gpupass.system.identity import read_identity
from gpupass.system.locks import hold

_SECONDS = 30.0


class Promised(Receives, frozen=True, kw_only=True):
    """The domain gets the slot whenever it starts; where it runs, also now."""

    def plan(self, sight: Host) -> HostPlan:
        slot, domain = self.its_slot(sight), domain_called(sight, self.domain)
        slots = self.slots(sight, slot)
        heir = Heir(
            domain=domain.name,
            uuid=domain.uuid,
            given=promises.run_of(sight.boot_id, domain) if domain.active else "",
            stop=self.stop,
            options=self.options,
            even_of=self.even_of,
        )
        when = "now and at each start" if domain.active else "at each start"
        title = f"attach {', '.join(one.what for one in slots)} to {domain.name} {when}"

        def whole(host: Host) -> Draft:
            said = promises.promise(host, slots, heir)
            return said + (self.given(host.after(said.steps), domain, slot) if domain.active else Draft())

        return self.around(sight, title, whole)


class Unpromised(Detach, frozen=True, kw_only=True):
    """The domain does not get the slot any more; where it has it, it is taken from it."""

    def plan(self, sight: Host) -> HostPlan:
        slot = self.its_slot(sight)
        owner = self.owner(sight, slot)
        back = promises.take_back(sight, slot, owner.uuid)
        title = f"detach {slot.what} from {owner.name}, also at its starts"
        made = plan_of(title, back + self.taken(sight, owner, slot), sight)
        return alone(replace(made, continues=False), sight)

    def owner(self, sight: Host, slot: Slot) -> Domain:
        """One that is gone may still be promised it."""
        heir = promises.heir_called(sight, slot, self.domain)
        if heir is not None and sight.domain(self.domain) is None:
            require_libvirt(sight)
            return Domain(name=heir.domain, uuid=heir.uuid, state=DomainState.SHUT_OFF)
        return super().owner(sight, slot)


class Kept(OfDevice, frozen=True, kw_only=True):
    """Whoever is promised it and runs has it; what has stopped has left nothing in it."""

    rounds: ClassVar[int] = 2

    connect: str = QEMU
    mdev: str | None = None
    domains: tuple[str, ...] = ()  # UUIDs of those who may get it
    roms: tuple[str, ...] = ()  # files that they are to see of it
    settings: bool = False  # something of the device is set for one of them
    gives: bool = False

    @property
    def action(self) -> str:
        return "attach" if self.gives else "detach"

    def look(self, system: Reader) -> Host:
        return look_around(
            system, self.group, self.connect, windows=self.domains, roms=self.roms, settings=self.settings
        )

    def fixed(self, sight: Host) -> "Kept":
        require_libvirt(sight)
        due = promises.ahead(sight, self.device(sight), self.mdev, self.connect)
        return replace(self, gives=due.gives, stop=due.stop)

    def plan(self, sight: Host) -> HostPlan:
        require_libvirt(sight)
        device = self.device(sight)
        title = promises.ahead(sight, device, self.mdev, self.connect).title

        def draft(host: Host) -> Draft:
            return promises.ahead(host, self.device(host), self.mdev, self.connect).draft

        return self.around(sight, title, draft)


class Listening(OfBoot, frozen=True, kw_only=True):
    """A unit listens to libvirt."""

    executable: str

    def look(self, system: System) -> BootState:
        return _unit_now(system)

    def plan(self, sight: BootState) -> HostPlan:
        return self.agreed(listen_plan(sight, self.executable))


class Unlistening(OfBoot, frozen=True, kw_only=True):
    """None does, where nobody is promised anything any more; `then`: as it will be so."""

    then: bool = False

    def look(self, system: System) -> tuple[bool, BootState]:
        promised = not self.then and bool(read_marks_of(store_of(system), Promise))
        return promised, _unit_now(system)

    def plan(self, sight: tuple[bool, BootState]) -> HostPlan:
        promised, unit = sight
        return self.agreed(Plan(title="", devices=(BOOT,)) if promised else unlisten_plan(unit))


def promise(
    system: Reader,
    domain: str,
    together: tuple[tuple[str, ...], ...],
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    even_of: Manager | None = None,
    stop: tuple[str, ...] = (),
    options: Options = UNSAID,
    disruption: bool = False,
    dry_run: bool = False,
) -> tuple[Report, ...]:
    """Hand the slots to the domain whenever it starts, and now where it runs; what one IOMMU group has
    `together`. The unit that does so comes last: it is there if anybody is promised anything.
    """
    _require_system(connect)
    if not dry_run:
        require_root()
    reports: list[Report] = []
    for rehearsed in (True,) if dry_run else (True, False):
        reports = []
        for first, *shown in together:
            with Session(system) as session:
                said = hand_over(
                    session,
                    Promised,
                    domain,
                    first,
                    connect,
                    timeout,
                    rehearsed,
                    even_of,
                    tuple(shown),
                    stop=stop,
                    options=options,
                    consent=Consent(disruption=disruption),
                )
                reports.append(said)
    if not isinstance(system, System):
        return tuple(reports)
    with Session(system) as session:
        return (*reports, *_unit(session, Listening(executable=own_executable()), dry_run))


def take_back(
    system: Reader,
    domain: str,
    slot: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    even_of: Manager | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> tuple[Report, ...]:
    """The domain has the slot neither now nor at its next start."""
    _require_system(connect)
    if isinstance(system, System) and not dry_run:
        require_root()
    with Session(system) as session:
        report = _of_what_is_gone(session, domain, slot, dry_run) or hand_over(
            session, Unpromised, domain, slot, connect, timeout, dry_run, even_of, force=force
        )
    if not isinstance(system, System):
        return (report,)
    with Session(system) as session:
        return (report, *_unit(session, Unlistening(), dry_run))


def _of_what_is_gone(session: Session, domain: str, slot: str, dry_run: bool) -> Report | None:
    """A promise of what has left the host, or whose address another device has."""
    if not isinstance(session.reader, System):
        return None
    system, name = session.system, parse_address(slot) or slot.strip().lower()
    for mark in read_marks_of(session.store, Promise):
        heir = next((one for one in mark.to if domain in (one.domain, one.uuid)), None)
        now = read_identity(system, mark.carrier)
        other = now is not None and mark.identity is not None and now.contradicts(mark.identity)
        if heir is None or name != (mark.part or mark.carrier) or (now is not None and not other):
            continue
        title = f"detach {name} from {heir.domain}, also at its starts"
        report = Report(title=title, ending=Ending.PLANNED, plan=Plan(title=title), changed=True)
        if dry_run:
            session.store.require_readable()
            return report
        require_ready(session)
        left = tuple(one for one in mark.to if one != heir)
        with hold(system.state, (mark.carrier,)):
            forget(session.store, mark.key)
            set_marks(session.store, (replace(mark, to=left),) if left else ())
        return replace(report, ending=Ending.DONE, note="it has left the host")
    return None


def listen_as_promised(
    session: Session, profile: Profile, made: HostPlan | None = None
) -> tuple[tuple[Finding, ...], tuple[Report, ...]]:
    """After an apply the unit is there where anybody is promised anything, and only there.

    `made`: before one that is only rehearsed.
    """
    said = any(attachment.at_start for attachment in profile.attachments)
    if not (said or session.system.exists(unit_path(PROMISES))):
        return (), ()
    keys = {mark.key for mark in read_marks_of(session.store, Promise)}
    for step in (step for plan in (made.to_do if made is not None else ()) for step in plan.steps):
        keys |= {mark.key for mark in step.marks if isinstance(mark, Promise)}
        keys -= {*step.forgets}
    try:
        intent = Listening(executable=own_executable()) if keys else Unlistening(then=True)
        return (), tuple(_unit(session, intent, dry_run=made is not None))
    except GpupassError as error:
        silent = f"nobody listens for the starts of domains: {error.message}"
        return (Finding(message=silent, remedy=error.hint or "", fatal=False),), ()


def keep(session: Session, wanted: Kept) -> Report:
    """What is due now."""
    return single(session, wanted, wanted.group)


def _unit(session: Session, intent: Listening | Unlistening, dry_run: bool) -> Iterator[Report]:
    report = single(session, intent, (BOOT,), seconds=_SECONDS, dry_run=dry_run)
    if report.ending is not Ending.NOTHING:
        yield report


def _unit_now(system: System) -> BootState:
    return read_boot(system, paths=(unit_path(PROMISES),), units=(PROMISES,), services=(PROMISES,))


def _require_system(connect: str) -> None:
    if connect != QEMU:
        raise Refused(f"cannot promise anything to domains of {connect}: the unit listens to {QEMU}", QEMU)
