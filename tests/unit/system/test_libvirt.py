"""The libvirt calls against a stand-in for its Python module: what goes wrong there is told in our words."""

import sys
import threading
from types import SimpleNamespace

import pytest

from gpupass.errors import GpupassError, Refused
from gpupass.model.domain import DomainState
from gpupass.system.libvirt import NO_DOMAIN, OPERATION_INVALID, Hypervisor, LibvirtFailure

LIVE = "<domain type='kvm' id='1'>0</domain>"


class LibvirtError(Exception):
    def __init__(self, code, text="it failed"):
        super().__init__(text)
        self.code, self.text = code, text

    def get_error_code(self):
        return self.code

    def get_error_message(self):
        return self.text


class Domain:
    """`fails` maps a call's name to the error it ends with."""

    def __init__(self, name, state=1, fails=None, job=0):
        self._name, self._state, self.fails, self._job = name, state, fails or {}, job
        self.calls = []

    def _may(self, call, value):
        if call in self.fails:
            raise LibvirtError(self.fails[call])
        return value

    def name(self):
        return self._name

    def UUIDString(self):
        return f"uuid-{self._name}"

    def state(self):
        return self._may("state", [self._state, 0])

    def isPersistent(self):
        return True

    def autostart(self):
        return 0

    def XMLDesc(self, flags):
        running = " id='1'" if not flags and self._state != 5 else ""
        return self._may("XMLDesc", f"<domain type='kvm'{running}>{flags}</domain>")

    def jobInfo(self):
        return self._may("jobInfo", [self._job])

    def memoryStats(self):
        return self._may("memoryStats", {"rss": 5})

    def attachDeviceFlags(self, xml, flags):
        self.calls.append(("attach", xml, flags))
        self._may("attachDeviceFlags", None)

    def detachDeviceAlias(self, alias, flags):
        self.calls.append(("detach", alias, flags))
        self._may("detachDeviceAlias", None)


class Connection:
    def __init__(self, domains):
        self.domains, self.alive, self.callbacks = domains, True, {}

    def setKeepAlive(self, *_):
        raise LibvirtError(3, "not supported")

    def isAlive(self):
        return self.alive

    def registerCloseCallback(self, callback, opaque):
        self.callbacks["close"] = callback

    def unregisterCloseCallback(self):
        del self.callbacks["close"]

    def domainEventRegisterAny(self, domain, event, callback, opaque):
        self.callbacks[event] = callback
        return event

    def domainEventDeregisterAny(self, event):
        del self.callbacks[event]

    def close(self):
        self.alive = bool(self.callbacks)  # each holds it

    def listAllDomains(self):
        if not self.alive:
            raise LibvirtError(38, "broken pipe")
        return self.domains

    def lookupByUUIDString(self, uuid):
        for domain in self.domains:
            if domain.UUIDString() == uuid:
                return domain
        raise LibvirtError(NO_DOMAIN, "no domain")


@pytest.fixture
def libvirt(monkeypatch):
    """`module.domains` is what a new connection sees; `module.fails` keeps it from being made."""
    never = threading.Event()
    module = SimpleNamespace(
        libvirtError=LibvirtError,
        registerErrorHandler=lambda *_: None,
        virEventRegisterDefaultImpl=lambda: None,
        virEventRunDefaultImpl=never.wait,
        VIR_DOMAIN_AFFECT_LIVE=1,
        VIR_DOMAIN_XML_INACTIVE=2,
        domains=[],
        fails=None,
        connections=[],
    )
    for number, name in enumerate(("LIFECYCLE", "DEVICE_ADDED", "DEVICE_REMOVED", "REBOOT")):
        setattr(module, f"VIR_DOMAIN_EVENT_ID_{name}", number)
    module.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED = 9

    def connect(uri):
        if module.fails:
            raise LibvirtError(38, module.fails)
        module.connections.append(Connection(module.domains))
        return module.connections[-1]

    module.open = module.openReadOnly = connect
    monkeypatch.setitem(sys.modules, "libvirt", module)
    return module


def test_without_the_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(Refused, match="not installed") as refused:
        Hypervisor("qemu:///system")
    assert "python3-libvirt" in refused.value.hint


def test_without_a_daemon(libvirt):
    libvirt.fails = "no such file"
    with pytest.raises(Refused, match="qemu:///system: no such file"):
        Hypervisor("qemu:///system")


def test_domains_sorted_with_what_matters(libvirt):
    libvirt.domains += [Domain("b", state=3, job=2), Domain("a", state=5)]
    a, b = Hypervisor("test:///default").domains()
    assert (a.name, a.state, a.live, a.job, a.resident) == ("a", DomainState.SHUT_OFF, None, None, None)
    assert (b.state, b.live, b.config) == (DomainState.PAUSED, LIVE, "<domain type='kvm'>2</domain>")
    assert (b.job, b.resident) == ("a running job", 5)
    a, b = Hypervisor("test:///default").domains(sized=("a",))
    assert b.resident is None  # QEMU was not asked


@pytest.mark.parametrize(
    ("fails", "live"),
    [
        ({"memoryStats": 68}, True),
        ({"jobInfo": OPERATION_INVALID}, False),
    ],
)
def test_a_domain_that_answers_half_is_not_hidden(fails, live, libvirt):
    libvirt.domains.append(Domain("a", fails=fails))
    (domain,) = Hypervisor("test:///default").domains()
    assert (domain.live is not None) is live


def test_a_domain_that_vanishes_is_left_out_but_a_lost_connection_is_told(libvirt):
    libvirt.domains += [Domain("a", fails={"state": NO_DOMAIN}), Domain("b")]
    hypervisor = Hypervisor("test:///default")
    assert [domain.name for domain in hypervisor.domains()] == ["b"]
    libvirt.domains[1].fails["XMLDesc"] = 38
    with pytest.raises(LibvirtFailure):
        hypervisor.domains()


def test_a_restarted_daemon_is_found_again_with_its_events(libvirt):
    libvirt.domains.append(Domain("a"))
    hypervisor = Hypervisor("test:///default")
    libvirt.connections[0].alive = False
    libvirt.fails = "no such file"
    with pytest.raises(GpupassError, match="no such file"):
        hypervisor.live_xml("uuid-a")
    libvirt.fails = None
    assert hypervisor.live_xml("uuid-a") == LIVE
    seen = hypervisor.events()
    for callback in libvirt.connections[1].callbacks.values():
        callback(None, None, None)
    assert hypervisor.events() - seen == 6
    hypervisor.wait_event(seen, 10)  # at once: it came already


class DyingDomain(Domain):
    """Its first answer is the end of the connection."""

    def XMLDesc(self, flags):
        if self.connection.alive and self.connection is self.libvirt.connections[0]:
            self.connection.alive = False
            raise LibvirtError(38, "Cannot recv data")
        return super().XMLDesc(flags)


@pytest.fixture
def dying(libvirt):
    libvirt.domains.append(DyingDomain("a"))
    hypervisor = Hypervisor("test:///default")
    DyingDomain.libvirt, DyingDomain.connection = libvirt, libvirt.connections[0]
    return hypervisor


def test_a_question_is_asked_once_more_where_the_connection_dies_of_it(dying, libvirt):
    assert dying.live_xml("uuid-a") == LIVE
    assert len(libvirt.connections) == 2


def test_it_says_where_there_is_no_new_connection(dying, libvirt):
    libvirt.fails = "no such file"
    with pytest.raises(LibvirtFailure, match="cannot connect to libvirt at test:///default: no such file"):
        dying.live_xml("uuid-a")


def test_one_that_hangs_may_answer_later(libvirt, monkeypatch):
    """Whoever repeats what may be repeated, a play of Ansible for one, is told that this may."""
    monkeypatch.setattr("gpupass.system.libvirt._SECONDS", 0.05)
    libvirt.open = libvirt.openReadOnly = lambda uri: threading.Event().wait()
    with pytest.raises(LibvirtFailure, match="libvirt does not answer") as silent:
        Hypervisor("test:///default").live_xml("uuid-a")
    assert (silent.value.kind, silent.value.retryable) == ("no-answer", True)
    assert silent.value.hint == "systemctl status libvirtd virtqemud"


def test_a_change_is_not_asked_for_twice(libvirt):
    domain = Domain("a", fails={"attachDeviceFlags": 38})
    libvirt.domains.append(domain)
    hypervisor = Hypervisor("test:///default")
    for connection in libvirt.connections:
        connection.isAlive = lambda: not domain.calls
    with pytest.raises(LibvirtFailure):
        hypervisor.attach("uuid-a", "<hostdev/>")
    assert [call for call, *_ in domain.calls] == ["attach"]


def test_a_closed_one_holds_nothing(libvirt):
    Hypervisor("test:///default").close()
    assert [(one.alive, one.callbacks) for one in libvirt.connections] == [(False, {})]


def test_one_thread_runs_the_events_of_all_connections(libvirt):
    """The default loop is libvirt's one of the process: run by two threads, both wait for the same files."""
    turns = []
    libvirt.virEventRunDefaultImpl = lambda: (turns.append(threading.get_ident()), threading.Event().wait())
    for _ in range(3):
        Hypervisor("test:///default").close()
    assert len(set(turns)) == 1


def test_who_waits_for_events_hears_that_the_connection_has_died(libvirt):
    hypervisor = Hypervisor("test:///default")
    heard = hypervisor.events()
    libvirt.connections[-1].callbacks["close"](None, 1, None)
    assert hypervisor.events() > heard
    libvirt.connections[-1].alive = False
    hypervisor.require_answer()
    assert len(libvirt.connections) == 2 and set(libvirt.connections[-1].callbacks) >= {0, "close"}


@pytest.mark.parametrize(
    ("state", "fails", "xml"),
    [(1, {}, LIVE), (5, {}, None), (1, {"XMLDesc": NO_DOMAIN}, None)],
)
def test_live_xml(state, fails, xml, libvirt):
    libvirt.domains.append(Domain("a", state=state, fails=fails))
    assert Hypervisor("test:///default").live_xml("uuid-a") == xml
    assert Hypervisor("test:///default").live_xml("uuid-b") is None


def test_attach_and_detach_are_live_only_and_their_errors_keep_the_code(libvirt):
    domain = Domain("a")
    libvirt.domains.append(domain)
    hypervisor = Hypervisor("test:///default")
    hypervisor.attach("uuid-a", "<hostdev/>")
    hypervisor.detach("uuid-a", "ua-1")
    assert domain.calls == [("attach", "<hostdev/>", 1), ("detach", "ua-1", 1)]
    domain.fails = {"attachDeviceFlags": 1, "detachDeviceAlias": 99}
    for call, code in ((hypervisor.attach, 1), (hypervisor.detach, 99)):
        with pytest.raises(LibvirtFailure) as failed:
            call("uuid-a", "x")
        assert failed.value.code == code
    with pytest.raises(LibvirtFailure) as failed:
        hypervisor.detach("uuid-b", "x")
    assert failed.value.code == NO_DOMAIN
