"""What each verb comes to: the exit status an operator sees, and that a refusal changes nothing."""

import errno

import pytest

from gpupass import app
from gpupass.cli.report import show_reports
from gpupass.errors import GpupassError
from gpupass.model.domain import DomainState
from gpupass.system.libvirt import LibvirtFailure
from gpupass.system.locks import hold
from tests.simulated import (
    ACCEL,
    BUS_GPU,
    CONSOLE,
    DISK,
    GPU,
    GPU_AUDIO,
    LONE,
    NVIDIA,
    PF,
    STUBBORN,
    USB,
    VF0,
)
from tests.simulated_libvirt import REFUSES


def status(machine, verb):
    """The exit status, and what was said."""
    try:
        result = verb(machine)
    except GpupassError as error:
        assert error.message and "\n" not in error.message
        reasons = [message for message, _ in getattr(error, "reasons", ())]
        return error.exit_code, " | ".join([error.message, *reasons, error.hint or ""])
    reports = result if isinstance(result, tuple) else (result,)
    text = " | ".join(f"{report.ending.value} {report.note}" for report in reports)
    return show_reports(*reports, as_json=True), text


def fault(name, address, what):
    return lambda m: m.faults.__setitem__((name, address), what)


def guest(name="vm1", **values):
    def change(machine):
        for key, value in values.items():
            setattr(machine.libvirt.guests[name], key, value)

    return change


def libvirt_fails(call, *faults):
    return lambda m: m.libvirt.faults.__setitem__(call, list(faults))


def attached(device=LONE, domain="vm1"):
    return lambda m: app.attach(m, domain, device)


# what is changed first, the verb, the exit status, words it must say
CASES = {
    "bind": ([], lambda m: app.bind(m, LONE), 0, "done"),
    "bind again": ([lambda m: app.bind(m, LONE)], lambda m: app.bind(m, LONE), 0, "nothing to do"),
    "bind by short address": ([], lambda m: app.bind(m, "02:00.0"), 0, "done"),
    "bind by serial": ([], lambda m: app.bind(m, "00-01-02-03-04-05-06-07"), 0, "done"),
    "bind by UUID": ([], lambda m: app.bind(m, "GPU-11111111"), 0, "done"),
    "malformed address": ([], lambda m: app.bind(m, "02:00"), 2, "cannot find a device 02:00"),
    "unknown device": ([], lambda m: app.bind(m, "0000:ee:00.0"), 2, "gpupass list --all"),
    "unknown driver": ([], lambda m: app.bind(m, LONE, driver="nosuch"), 2, "modprobe nosuch"),
    "a path as driver": ([], lambda m: app.bind(m, LONE, driver="../../x"), 2, "no name of a driver"),
    "unknown VFIO driver": (
        [lambda m: setattr(m, "run", lambda *a, **k: _fails("cannot run modprobe: not found"))],
        lambda m: app.bind(m, LONE, driver="no_vfio_pci"),
        1,
        "not found",
    ),
    "a stranger as companion": ([], lambda m: app.bind(m, LONE, agreed=(USB,)), 2, "not in the IOMMU group"),
    "companions not agreed": ([], lambda m: app.bind(m, ACCEL), 4, f"--with {USB}"),
    "root disk": ([], lambda m: app.bind(m, DISK), 4, "root disk"),
    "boot display": ([], lambda m: app.bind(m, CONSOLE), 4, "--allow-boot-display"),
    "boot display, allowed": ([], lambda m: app.bind(m, CONSOLE, allow_boot_display=True), 0, "done"),
    "virtual functions": ([], lambda m: app.bind(m, PF), 4, "sriov_numvfs"),
    "a virtual function": ([], lambda m: app.bind(m, VF0), 0, "done"),
    "a process has it": (
        [lambda m: m.process("X", "/dev/nvidia0")],
        lambda m: app.bind(m, NVIDIA),
        4,
        "X (pid 4001, /dev/nvidia0)",
    ),
    "a root port": ([], lambda m: app.bind(m, "00:01.0"), 4, "bridge"),
    "unbind what is at home": ([], lambda m: app.unbind(m, LONE), 0, "nothing to do"),
    "unbind while attached": ([attached()], lambda m: app.unbind(m, LONE), 4, "gpupass detach vm1"),
    "kernel refuses the unbind": (
        [fault("unbind", LONE, errno.EBUSY)],
        lambda m: app.bind(m, LONE),
        1,
        "cannot unbind",
    ),
    "kernel leaves it without a driver": (
        [fault("drivers_probe", LONE, errno.EINVAL)],
        lambda m: app.bind(m, LONE),
        1,
        "cannot probe",
    ),
    "the device is gone": (
        [fault("driver_override", LONE, errno.ENODEV)],
        lambda m: app.bind(m, LONE),
        1,
        "cannot override",
    ),
    "unbind hangs": ([fault("unbind", LONE, "hang")], lambda m: app.bind(m, LONE), 5, "process 4242"),
    "unbind hangs, link gone": (
        [fault("after unbind", LONE, "hang")],
        lambda m: app.bind(m, LONE),
        5,
        "does not return",
    ),
    "probe hangs, link made": (
        [fault("after drivers_probe", LONE, "hang")],
        lambda m: app.bind(m, LONE),
        5,
        "does not return",
    ),
    "attach": ([], lambda m: app.attach(m, "vm1", GPU), 0, "done"),
    "attach again": ([attached()], lambda m: app.attach(m, "vm1", LONE), 0, "nothing to do"),
    "attach by domain UUID": (
        [],
        lambda m: app.attach(m, "00000000-0000-0000-0000-000000000001", LONE),
        0,
        "done",
    ),
    "unknown domain": ([], lambda m: app.attach(m, "vm9", LONE), 2, "vm1, vm2"),
    "libvirt is not running": (
        [lambda m: setattr(m, "libvirt_runs", False)],
        lambda m: app.attach(m, "vm1", LONE),
        4,
        "systemctl start",
    ),
    "libvirt goes away in between": (
        [libvirt_fails("domains", LibvirtFailure("connection reset", 38))],
        lambda m: app.attach(m, "vm1", LONE),
        4,
        "connection reset",
    ),
    "domain is off": (
        [lambda m: m.libvirt.stop("vm1")],
        lambda m: app.attach(m, "vm1", LONE),
        4,
        "virsh start vm1",
    ),
    "a bridge": (
        [],
        lambda m: app.attach(m, "vm1", "00:01.0"),
        4,
        "cannot hand out 00:01.0: it is a bridge, which cannot be assigned",
    ),
    "no reset": ([], lambda m: app.attach(m, "vm1", STUBBORN), 4, "cannot be reset"),
    "somebody else has it": ([attached()], lambda m: app.attach(m, "vm2", LONE), 4, "is attached to vm1"),
    "a process drives it without libvirt": (
        [lambda m: app.bind(m, LONE), lambda m: m.process("spdk", "/dev/vfio/13")],
        lambda m: app.attach(m, "vm1", LONE),
        4,
        "spdk",
    ),
    "attach returns an error": (
        [libvirt_fails("attach", LibvirtFailure("no", 1))],
        lambda m: app.attach(m, "vm1", LONE),
        1,
        "cannot attach",
    ),
    "attach lies": (
        [libvirt_fails("attach", "lies")],
        lambda m: app.attach(m, "vm1", LONE),
        1,
        "does not show it",
    ),
    "attach fails though attached": (
        [libvirt_fails("after attach", LibvirtFailure("cannot refresh the device list", 1))],
        lambda m: app.attach(m, "vm1", LONE),
        0,
        "done",
    ),
    "domain vanishes in between": (
        [libvirt_fails("attach", LibvirtFailure("Domain not found", 42))],
        lambda m: app.attach(m, "vm1", LONE),
        1,
        "Domain not found",
    ),
    "reset fails": ([fault("reset", LONE, errno.EIO)], lambda m: app.attach(m, "vm1", LONE), 5, "its reset"),
    "reset hangs": ([fault("reset", LONE, "hang")], lambda m: app.attach(m, "vm1", LONE), 5, "from reset"),
    "dead after the reset": (
        [fault("after reset", LONE, "break")],
        lambda m: app.attach(m, "vm1", LONE),
        5,
        "does not answer after the reset",
    ),
    "slot reset fails": (
        [fault("hot_reset", BUS_GPU, errno.EBUSY)],
        lambda m: app.attach(m, "vm1", BUS_GPU),
        5,
        "reset of its slot",
    ),
    "detach": ([attached()], lambda m: app.detach(m, "vm1", LONE), 0, "done"),
    "detach what is not there": ([], lambda m: app.detach(m, "vm1", LONE), 0, "nothing to do"),
    "detach from the wrong domain": ([attached()], lambda m: app.detach(m, "vm2", LONE), 0, "nothing"),
    "guest refuses": (
        [attached(), guest(lets_go=REFUSES)],
        lambda m: app.detach(m, "vm1", LONE),
        6,
        "recover --wait",
    ),
    "paused": (
        [attached(), guest(state=DomainState.PAUSED)],
        lambda m: app.detach(m, "vm1", LONE),
        6,
        "pending",
    ),
    "guest is slow": ([attached(), guest(lets_go=20)], lambda m: app.detach(m, "vm1", LONE), 0, "done"),
    "slower than asked": (
        [attached(), guest(lets_go=20)],
        lambda m: app.detach(m, "vm1", LONE, timeout=5),
        6,
        "pending",
    ),
    "QEMU closes late": ([attached(), guest(closes=1.5)], lambda m: app.detach(m, "vm1", LONE), 0, "done"),
    "QEMU does not close": (
        [attached(), guest(closes=1e6)],
        lambda m: app.detach(m, "vm1", LONE),
        6,
        "still has /dev/vfio/13 open",
    ),
    "already being unplugged": (
        [attached(), libvirt_fails("detach", LibvirtFailure("already in the process of unplug", 1))],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "guest is busy": (
        [attached(), libvirt_fails("detach", LibvirtFailure("guest is busy (power indicator blinking)", 1))],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "libvirt restarts while waiting": (
        [
            attached(),
            guest(lets_go=3),
            libvirt_fails("live_xml", None, None, None, *[LibvirtFailure("broken pipe", 38)] * 3),
        ],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "not allowed to": (
        [attached(), libvirt_fails("detach", LibvirtFailure("access denied", 88))],
        lambda m: app.detach(m, "vm1", LONE),
        1,
        "access denied",
    ),
    "port without hot-plug": (
        [attached(), guest(hotplug_off=(1, 2, 3, 4))],
        lambda m: app.detach(m, "vm1", LONE),
        4,
        "virsh shutdown vm1",
    ),
    "unsupported by the port": (
        [
            attached(),
            libvirt_fails("detach", LibvirtFailure("Hot-unplug failed: unsupported by the port device", 1)),
        ],
        lambda m: app.detach(m, "vm1", LONE),
        1,
        "only shutting vm1 down",
    ),
    "multifunction": (
        [
            lambda m: app.bind(m, GPU),
            lambda m: m.libvirt.plug("vm1", GPU),
            lambda m: m.libvirt.plug("vm1", GPU_AUDIO, function="1"),
        ],
        lambda m: app.detach(m, "vm1", GPU),
        4,
        "multifunction",
    ),
    "guest dies while asked": (
        [attached(), guest(lets_go=REFUSES), lambda m: m.at(3, m.libvirt.stop, "vm1")],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "transient guest dies while asked": (
        [attached(), guest(lets_go=REFUSES, transient=True), lambda m: m.at(3, m.libvirt.stop, "vm1")],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "detach from a transient guest that is gone": (
        [attached(), guest(transient=True), lambda m: m.libvirt.stop("vm1")],
        lambda m: app.detach(m, "vm1", LONE),
        0,
        "done",
    ),
    "dirty after the guest": (
        [attached(), fault("reset", LONE, errno.EIO)],
        lambda m: app.detach(m, "vm1", LONE),
        5,
        "quarantine clear",
    ),
    "move": ([attached()], lambda m: app.move(m, LONE, "vm2"), 0, "done"),
    "move from nobody": ([], lambda m: app.move(m, LONE, "vm2"), 0, "done"),
    "move to where it is": ([attached()], lambda m: app.move(m, LONE, "vm1"), 0, "nothing to do"),
    "move, guest refuses": (
        [attached(), guest(lets_go=REFUSES)],
        lambda m: app.move(m, LONE, "vm2"),
        6,
        "vm1 has not let go",
    ),
    "move, second domain takes nothing": (
        [attached(), libvirt_fails("attach", LibvirtFailure("no", 1))],
        lambda m: app.move(m, LONE, "vm2"),
        1,
        "cannot attach",
    ),
    "move, nobody takes it any more": (
        [attached(), libvirt_fails("attach", LibvirtFailure("no", 1), LibvirtFailure("no", 1))],
        lambda m: app.move(m, LONE, "vm2"),
        5,
        "cannot roll back",
    ),
    "recover nothing": ([], lambda m: app.recover(m), 0, ""),
    "clear no quarantine": ([], lambda m: app.quarantine_clear(m, LONE), 0, "nothing to do"),
}


def _fails(text):
    raise GpupassError(text)


@pytest.mark.parametrize("name", CASES)
def test_exit_status(name, machine):
    before, verb, wanted, words = CASES[name]
    for change in before:
        change(machine)
    for key, value in machine.faults.items():
        if value == "break":
            machine.faults[key] = lambda: machine.break_config(LONE)
    old = machine.snapshot()
    machine.log.clear()
    code, said = status(machine, verb)
    assert (code, words in said) == (wanted, True), said
    if code in (2, 4):
        assert machine.snapshot() == old
        assert machine.log == []
    if code == 1:
        assert machine.snapshot() == old, "failed, and not everything is as before"
    assert len(machine.open_journals()) == (code == 6)
    with hold(machine.state, machine.functions, wait=0.0):
        pass
    if code == 5 and "roll back" not in said:
        assert [r for r in machine.records() if r.startswith("quarantine")]


def test_not_root(machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for verb in (app.bind, app.unbind):
        with pytest.raises(GpupassError, match="you are not root") as refused:
            verb(machine, LONE)
        assert refused.value.exit_code == 4
    assert app.bind(machine, LONE, dry_run=True).ending == "planned"
    with pytest.raises(GpupassError, match="you are not root"):
        app.recover(machine)


@pytest.mark.parametrize(
    "verb",
    [
        lambda m: app.bind(m, GPU, dry_run=True),
        lambda m: app.attach(m, "vm1", GPU, dry_run=True),
        lambda m: app.move(m, LONE, "vm2", dry_run=True),
        lambda m: app.detach(m, "vm1", LONE, dry_run=True),
    ],
)
def test_a_dry_run_writes_nothing(verb, machine):
    app.attach(machine, "vm1", LONE)
    machine.log.clear()
    old = machine.snapshot()
    report = verb(machine)
    assert report.ending == "planned" and report.plan.steps
    assert machine.log == [] and machine.snapshot() == old and machine.open_journals() == []
