"""libvirt: the connection, its events, and the calls that change a domain. Imported only when needed."""

import os
import re
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, NoLibvirt, Refused
from gpupass.model.domain import DomainState
from gpupass.model.wire import from_json
from gpupass.system.in_time import NoAnswer, in_time
from gpupass.system.libvirt_uri import require_local
from gpupass.system.patience import lost, patience

T = TypeVar("T")


_STATES = {  # virDomainState
    1: DomainState.RUNNING,
    2: DomainState.RUNNING,  # blocked on something: so Xen says most of the time
    3: DomainState.PAUSED,
    4: DomainState.SHUTTING_DOWN,
    5: DomainState.SHUT_OFF,
    6: DomainState.CRASHED,
    7: DomainState.PMSUSPENDED,
}


class DomainText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One domain as libvirt tells it: XML texts (None: not running, not persistent), resident KiB, job."""

    name: str
    uuid: str
    state: DomainState
    autostart: bool = False
    live: str | None = None
    config: str | None = None
    job: str | None = None
    resident: int | None = None


class LibvirtFailure(GpupassError):
    """A libvirt call that failed; `code` is virErrorNumber, NO_ANSWER for one that never ended."""

    kind = "libvirt-failed"

    def __init__(self, text: str, code: int, hint: str | None = None) -> None:
        super().__init__(text, hint)
        self.code = code


class LibvirtSilent(LibvirtFailure):
    """It took the question, and said nothing in time: it may later."""

    kind = "no-answer"
    retryable = True


class LibvirtAway(LibvirtFailure):
    """It has gone since: who is restarted comes back."""

    kind = "no-libvirt"
    retryable = True


NO_ANSWER = -1
NO_CONNECTION = 38  # VIR_ERR_SYSTEM_ERROR, as for a socket that nobody serves
NO_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
OPERATION_INVALID = 55  # VIR_ERR_OPERATION_INVALID: among others, the domain is not running
DEVICE_MISSING = 99  # VIR_ERR_DEVICE_MISSING

_SECONDS = 10.0  # it answers from what it knows
_QEMU_SECONDS = 3.0  # here it asks QEMU, which may be at something else
_CHANGE_SECONDS = 600.0  # QEMU pins and maps all of the guest's memory for its first device
_CLOSING_SECONDS = 2.0
_DESTROY_SECONDS = 60.0  # its QEMU is killed after 10 s, and unpins its memory
_SILENT_SECONDS = 30.0  # one that has not answered is not asked again at once
_loops: dict[int, threading.Thread] = {}  # by the module that it is of
_JOBS = {1: "a bounded job", 2: "a running job"}  # virDomainJobType


class Hypervisor:
    """One connection with its event loop in a daemon thread."""

    def __init__(self, uri: str) -> None:
        require_local(uri)
        try:
            import libvirt
        except ImportError:
            raise Refused(
                "cannot talk to libvirt: its Python module is not installed",
                "apt install python3-libvirt, or libvirt-dev and pip install libvirt-python",
            ) from None
        self._libvirt: Any = libvirt
        self._changed = threading.Condition()
        self._count = 0
        self._events: list[int] = []  # what is registered; each holds the connection
        self._silent_until, self._silent = 0.0, LibvirtFailure("libvirt does not answer", NO_ANSWER)
        self._connection: Any = None
        _run_events(libvirt)
        self._uri = uri
        with suppress(LibvirtFailure):  # whoever asks it something is told
            self._connect()

    def _connect(self) -> None:
        """Refused when there is no libvirt, LibvirtFailure when it does not answer."""
        try:
            self._connection = self._in_time(self._opened, _SECONDS)
        except self._libvirt.libvirtError as error:
            raise NoLibvirt(
                f"cannot connect to libvirt at {self._uri}: {_text(error)}", "systemctl start libvirtd"
            ) from None

    def _opened(self) -> Any:
        opener = self._libvirt.open if os.geteuid() == 0 else self._libvirt.openReadOnly
        connection, self._events = opener(self._uri), []
        with suppress(self._libvirt.libvirtError):  # the test driver has none
            connection.setKeepAlive(5, 3)
        with suppress(self._libvirt.libvirtError):
            connection.registerCloseCallback(self._on_event, None)
        for name in ("LIFECYCLE", "DEVICE_ADDED", "DEVICE_REMOVED", "DEVICE_REMOVAL_FAILED", "REBOOT"):
            event = getattr(self._libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
            self._events.append(connection.domainEventRegisterAny(None, event, self._on_event, None))
        return connection

    def _on_event(self, *_: object) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def events(self) -> int:
        """How many events came so far; take it before a request and give it to `wait_event`."""
        with self._changed:
            return self._count

    def require_answer(self) -> None:
        """LibvirtFailure while it is away; where it is back, its events are heard again."""
        self._alive()

    def wait_event(self, seen: int, seconds: float) -> None:
        """Until an event later than `seen` came, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen, timeout=seconds)

    def domains(self, sized: Collection[str] | None = None) -> tuple[DomainText, ...]:
        """Every domain, sorted by name; one that vanishes while being read is left out.

        Any other failure is told: a domain left out because libvirt went away could have the device.
        QEMU is asked what memory those in `sized`, names or UUIDs, have; None: all.
        """
        found = self._asked(lambda libvirt: [self._described(domain) for domain in libvirt.listAllDomains()])
        texts = [
            self._with_memory(domain, text) if sized is None or {text.name, text.uuid} & {*sized} else text
            for domain, text in filter(None, found)
        ]
        return tuple(sorted(texts, key=lambda text: text.name))

    def _described(self, domain: Any) -> tuple[Any, DomainText] | None:
        try:
            return domain, self._describe(domain)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != NO_DOMAIN:
                raise
            return None

    def _with_memory(self, domain: Any, text: DomainText) -> DomainText:
        """A monitor that hangs does not hide the domain, nor ask for patience twice."""
        if text.live is None or time.monotonic() < self._silent_until:
            return text
        try:
            stats = self._call(domain.memoryStats, seconds=_QEMU_SECONDS)
        except LibvirtFailure:
            return text
        return replace(text, resident=stats.get("rss"))

    def _describe(self, domain: Any) -> DomainText:
        state, persistent, job = self._state(domain), domain.isPersistent(), None
        live = _running(domain.XMLDesc(0)) if state is not DomainState.SHUT_OFF else None
        try:
            job = _JOBS.get(domain.jobInfo()[0]) if live is not None else None
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != OPERATION_INVALID:
                raise
            live = None
        if live is None and state is not DomainState.SHUT_OFF:
            state = self._state(domain)  # it may have stopped just now
        return DomainText(
            name=domain.name(),
            uuid=domain.UUIDString(),
            state=state,
            autostart=bool(persistent and domain.autostart()),
            live=live,
            config=domain.XMLDesc(self._libvirt.VIR_DOMAIN_XML_INACTIVE) if persistent else None,
            job=job,
        )

    def _state(self, domain: Any) -> DomainState:
        return _STATES.get(domain.state()[0], DomainState.OTHER)

    def version(self) -> tuple[int, int, int]:
        """Of the daemon: major * 1,000,000 + minor * 1,000 + release (virConnectGetLibVersion)."""
        return _version(int(self._asked(lambda libvirt: libvirt.getLibVersion())))

    def emulator_version(self) -> tuple[int, int, int]:
        """Of the QEMU that it starts domains with (virConnectGetVersion)."""
        return _version(int(self._asked(lambda libvirt: libvirt.getVersion())))

    def live_xml(self, uuid: str) -> str | None:
        """The running domain's XML; None when it does not run or no longer exists."""
        try:
            return _running(self._asked(lambda libvirt: libvirt.lookupByUUIDString(uuid).XMLDesc(0)))
        except LibvirtFailure as failure:
            if failure.code in (NO_DOMAIN, OPERATION_INVALID):  # gone, or stopped just now
                return None
            raise

    def definition(self, uuid: str, secret: bool = False) -> str | None:
        """The persistent XML, with passwords only where somebody says so; None: it has none."""

        def ask(libvirt: Any) -> str | None:
            domain = libvirt.lookupByUUIDString(uuid)
            how = self._libvirt.VIR_DOMAIN_XML_INACTIVE | (secret and self._libvirt.VIR_DOMAIN_XML_SECURE)
            return str(domain.XMLDesc(how)) if domain.isPersistent() else None

        try:
            return self._asked(ask)
        except LibvirtFailure as failure:
            if failure.code == NO_DOMAIN:
                return None
            raise

    def define(self, xml: str) -> None:
        """The persistent definition is this from the next start on; refused where it is no valid one."""
        connection, validate = self._alive(), self._libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        self._call(lambda: connection.defineXMLFlags(xml, validate))

    def attach(self, uuid: str, xml: str) -> None:
        """attachDeviceFlags, live only. An error does not prove that nothing was attached: look again."""
        connection, live = self._alive(), self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._call(
            lambda: connection.lookupByUUIDString(uuid).attachDeviceFlags(xml, live), seconds=_CHANGE_SECONDS
        )

    def detach(self, uuid: str, alias: str) -> None:
        """detachDeviceAlias, live only: sends the request and does not wait for the guest."""
        connection, live = self._alive(), self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._call(
            lambda: connection.lookupByUUIDString(uuid).detachDeviceAlias(alias, live),
            seconds=_CHANGE_SECONDS,
        )

    def destroy(self, uuid: str) -> None:
        """As if its plug were pulled. Nothing where it does not run any more."""
        connection = self._alive()
        try:
            self._call(lambda: connection.lookupByUUIDString(uuid).destroy(), seconds=_DESTROY_SECONDS)
        except LibvirtFailure as failure:
            if failure.code not in (NO_DOMAIN, OPERATION_INVALID):
                raise

    def query_pci(self, uuid: str) -> Any:
        """QEMU's own answer to `query-pci` (bridge windows); None where the monitor cannot be asked."""
        try:
            import libvirt_qemu
        except ImportError:
            return None

        def ask(libvirt: Any) -> Any:
            domain = libvirt.lookupByUUIDString(uuid)
            return libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-pci"}', 0)

        try:
            return from_json(self._asked(ask, seconds=_QEMU_SECONDS), Any).get("return")
        except LibvirtFailure:
            return None

    def close(self) -> None:
        """One that does not answer is left behind."""
        connection, self._connection = self._connection, None
        if connection is not None and time.monotonic() >= self._silent_until:
            with suppress(NoAnswer, self._libvirt.libvirtError):
                in_time(lambda: self._end(connection), _CLOSING_SECONDS)

    def _end(self, connection: Any) -> None:
        with suppress(self._libvirt.libvirtError):
            connection.unregisterCloseCallback()
        for event in self._events:
            connection.domainEventDeregisterAny(event)
        connection.close()

    def _asked(self, question: Callable[[Any], T], seconds: float = _SECONDS) -> T:
        """The answer; asked once more, as only questions may be, where the connection has died meanwhile."""
        connection = self._alive()
        try:
            return self._call(lambda: question(connection), seconds)
        except LibvirtFailure as failure:
            if failure.code == NO_ANSWER or connection.isAlive():
                raise
        anew = self._alive()
        return self._call(lambda: question(anew), seconds)

    def _alive(self) -> Any:
        """The connection; a new one where libvirtd has been restarted. LibvirtFailure while it is away."""
        if self._connection is None or not self._connection.isAlive():
            try:
                self._connect()
            except Refused as refused:
                raise LibvirtAway(refused.message, NO_CONNECTION) from None
        return self._connection

    def _call(self, function: Callable[[], T], seconds: float = _SECONDS) -> T:
        try:
            return self._in_time(function, seconds)
        except self._libvirt.libvirtError as error:
            raise LibvirtFailure(_text(error), error.get_error_code()) from None

    def _in_time(self, function: Callable[[], T], seconds: float) -> T:
        if time.monotonic() < self._silent_until:
            raise self._silent
        seconds = patience(seconds) if seconds <= _SECONDS else seconds
        try:
            return in_time(function, seconds)
        except NoAnswer:
            lost(seconds)
            self._silent_until = time.monotonic() + _SILENT_SECONDS
            why = f"libvirt does not answer (asked for {seconds:g} s)"
            self._silent = LibvirtSilent(why, NO_ANSWER, "systemctl status libvirtd virtqemud")
            raise self._silent from None


def _version(number: int) -> tuple[int, int, int]:
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000


def _run_events(libvirt: Any) -> None:
    """On one thread of the process, however many connections it has: two would wait for the same files."""
    if id(libvirt) in _loops:
        return
    libvirt.registerErrorHandler(_ignore, None)
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    _loops[id(libvirt)] = threading.Thread(target=loop, name="libvirt-events", daemon=True)
    _loops[id(libvirt)].start()


def _running(xml: str) -> str | None:
    """A stopped domain tells its persistent XML, which has no id (formatdomain.html, General metadata)."""
    return xml if re.match(r"\s*<domain\b[^>]*\sid=", xml) else None


def _ignore(*_: object) -> None:
    """libvirt prints errors on stderr unless somebody takes them."""


def _text(error: Any) -> str:
    return str(error.get_error_message() or error)
