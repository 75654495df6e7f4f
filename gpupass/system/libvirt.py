"""libvirt: the connection, its events, and the calls that change a domain. Imported only when needed."""

import os
import threading
from contextlib import suppress
from typing import Any

from msgspec import Struct

from gpupass.errors import GpupassError, Refused
from gpupass.model.domain import DomainState
from gpupass.model.wire import from_json


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
    """A libvirt call that failed; `code` is virErrorNumber."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


NO_CONNECTION = 38  # VIR_ERR_SYSTEM_ERROR, as for a socket that nobody serves
NO_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
OPERATION_INVALID = 55  # VIR_ERR_OPERATION_INVALID: among others, the domain is not running
DEVICE_MISSING = 99  # VIR_ERR_DEVICE_MISSING

_JOBS = {1: "a bounded job", 2: "a running job"}  # virDomainJobType


class Hypervisor:
    """One connection with its event loop in a daemon thread."""

    def __init__(self, uri: str) -> None:
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
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._loop, name="libvirt-events", daemon=True).start()
        self._uri = uri
        self._connect()

    def _connect(self) -> None:
        opener = self._libvirt.open if os.geteuid() == 0 else self._libvirt.openReadOnly
        try:
            self._connection = opener(self._uri)
            with suppress(self._libvirt.libvirtError):  # the test driver has none
                self._connection.setKeepAlive(5, 3)
            self._register()
        except self._libvirt.libvirtError as error:
            raise Refused(
                f"cannot connect to libvirt at {self._uri}: {_text(error)}", "systemctl start libvirtd"
            ) from None

    def _loop(self) -> None:
        while True:
            self._libvirt.virEventRunDefaultImpl()

    def _register(self) -> None:
        for name in ("LIFECYCLE", "DEVICE_ADDED", "DEVICE_REMOVED", "DEVICE_REMOVAL_FAILED", "REBOOT"):
            event = getattr(self._libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
            self._connection.domainEventRegisterAny(None, event, self._on_event, None)

    def _on_event(self, *_: object) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def events(self) -> int:
        """How many events came so far; take it before a request and give it to `wait_event`."""
        with self._changed:
            return self._count

    def wait_event(self, seen: int, seconds: float) -> None:
        """Until an event later than `seen` came, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen, timeout=seconds)

    def domains(self) -> tuple[DomainText, ...]:
        """Every domain, sorted by name; one that vanishes while being read is left out.

        Any other failure is told: a domain left out because libvirt went away could have the device.
        """
        found = []
        for domain in self._call(self._alive().listAllDomains):
            try:
                found.append(self._call(self._describe, domain))
            except LibvirtFailure as failure:
                if failure.code != NO_DOMAIN:
                    raise
        return tuple(sorted(found, key=lambda text: text.name))

    def _describe(self, domain: Any) -> DomainText:
        active = bool(domain.isActive())
        try:
            live = domain.XMLDesc(0) if active else None
            job = _JOBS.get(domain.jobInfo()[0]) if active else None
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != OPERATION_INVALID:
                raise
            active, live, job = False, None, None  # it has stopped just now
        resident = None
        if active:
            with suppress(self._libvirt.libvirtError):  # a monitor that hangs does not hide the domain
                resident = domain.memoryStats().get("rss")
        state = {1: DomainState.RUNNING, 3: DomainState.PAUSED, 5: DomainState.SHUT_OFF}.get(
            domain.state()[0], DomainState.OTHER
        )
        return DomainText(
            name=domain.name(),
            uuid=domain.UUIDString(),
            state=state,
            autostart=bool(domain.isPersistent() and domain.autostart()),
            live=None if state is DomainState.SHUT_OFF else live,
            config=domain.XMLDesc(self._libvirt.VIR_DOMAIN_XML_INACTIVE) if domain.isPersistent() else None,
            job=job,
            resident=resident,
        )

    def version(self) -> tuple[int, int, int]:
        """Of the daemon: major * 1,000,000 + minor * 1,000 + release (virConnectGetLibVersion)."""
        number = int(self._call(self._alive().getLibVersion))
        return number // 1_000_000, number // 1_000 % 1_000, number % 1_000

    def live_xml(self, uuid: str) -> str | None:
        """The running domain's XML; None when it does not run or no longer exists."""
        try:
            domain = self._alive().lookupByUUIDString(uuid)
            xml = str(domain.XMLDesc(0))
            return xml if domain.isActive() else None  # asked last: a stopped one tells its persistent XML
        except self._libvirt.libvirtError as error:
            if error.get_error_code() in (NO_DOMAIN, OPERATION_INVALID):  # gone, or stopped just now
                return None
            raise LibvirtFailure(_text(error), error.get_error_code()) from None

    def attach(self, uuid: str, xml: str) -> None:
        """attachDeviceFlags, live only. An error does not prove that nothing was attached: look again."""
        domain = self._call(self._alive().lookupByUUIDString, uuid)
        self._call(domain.attachDeviceFlags, xml, self._libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def detach(self, uuid: str, alias: str) -> None:
        """detachDeviceAlias, live only: sends the request and does not wait for the guest."""
        domain = self._call(self._alive().lookupByUUIDString, uuid)
        self._call(domain.detachDeviceAlias, alias, self._libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def query_pci(self, uuid: str) -> Any:
        """QEMU's own answer to `query-pci` (bridge windows); None where the monitor cannot be asked."""
        try:
            import libvirt_qemu

            domain = self._connection.lookupByUUIDString(uuid)
            answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-pci"}', 0)
        except (ImportError, self._libvirt.libvirtError):
            return None
        return from_json(answer, Any).get("return")

    def _alive(self) -> Any:
        """The connection; a new one where libvirtd has been restarted. LibvirtFailure while it is away."""
        if not self._connection.isAlive():
            try:
                self._connect()
            except Refused as refused:
                raise LibvirtFailure(refused.message, NO_CONNECTION) from None
        return self._connection

    def _call(self, function: Any, *arguments: object) -> Any:
        try:
            return function(*arguments)
        except self._libvirt.libvirtError as error:
            raise LibvirtFailure(_text(error), error.get_error_code()) from None


def _ignore(*_: object) -> None:
    """libvirt prints errors on stderr unless somebody takes them."""


def _text(error: Any) -> str:
    return str(error.get_error_message() or error)
