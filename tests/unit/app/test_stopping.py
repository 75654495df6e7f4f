"""Who holds a device for the host is stopped before a change, and started again when the device is back."""

import errno

import pytest

from gpupass import app
from gpupass.errors import GpupassError, NeedsPerson, Refused
from gpupass.model.mark import Stopped
from gpupass.store import store_of
from gpupass.store.marks import read_marks_of
from tests.profile_trips import apply, endings, kinds, plan, rollback
from tests.simulated import CONSOLE, GPU, LONE, NVIDIA

DCGM = "nvidia-dcgm.service"
MANAGER = "sddm.service"
LENT = f"gpus: [{{name: a, select: {{address: '{NVIDIA}'}}, use: passthrough, stop: [dcgm]}}]"
HOME = f"gpus: [{{name: a, select: {{address: '{NVIDIA}'}}, use: host}}]"


@pytest.fixture
def dcgm(machine):
    """It has the GPU open."""
    return machine.systemd.add(DCGM, "nv-hostengine", {NVIDIA: "/dev/nvidia0"})


@pytest.fixture
def desktop(machine):
    """A card with a screen on it: the display manager's server draws, and the kernel's console below."""
    machine.node_of(LONE, "drm", "card0")
    machine.draw(LONE)
    return machine.systemd.display_manager(MANAGER, {LONE: "/dev/dri/card0"})


def stopped(machine):
    return [(mark.carrier, mark.part) for mark in read_marks_of(store_of(machine), Stopped)]


def did(machine):
    """The commands and writes about services and screens, in their order."""
    words = ("systemctl stop", "systemctl start", "vtconsole", "framebuffer")
    return [f"{what} {value}".strip() for what, value in machine.log if any(word in what for word in words)]


def test_whoever_is_not_named_is_not_stopped(machine, dcgm):
    with pytest.raises(Refused, match="nv-hostengine") as refused:
        app.bind(machine, NVIDIA)
    assert "--stop dcgm" in refused.value.hint
    assert dcgm.active


def test_from_the_host_and_back(machine, dcgm):
    app.bind(machine, NVIDIA, stop=("dcgm",))
    assert (machine.driver(NVIDIA), dcgm.active) == ("vfio-pci", False)
    assert stopped(machine) == [(NVIDIA, DCGM)]
    app.unbind(machine, NVIDIA)
    assert (machine.driver(NVIDIA), dcgm.active) == ("nvidia", True)
    assert stopped(machine) == []


def test_to_a_guest_and_back(machine, dcgm):
    app.attach(machine, "vm1", NVIDIA, stop=("dcgm",))
    app.move(machine, NVIDIA, "vm2", stop=("dcgm",))
    app.detach(machine, "vm2", NVIDIA)
    assert (dcgm.active, stopped(machine)) == (False, [(NVIDIA, DCGM)])
    app.unbind(machine, NVIDIA)
    assert (dcgm.active, stopped(machine)) == (True, [])


def test_a_socket_that_would_start_it_again_goes_before_it_and_is_back_before_it(machine, dcgm):
    socket = machine.systemd.socket("nvidia-dcgm.socket", dcgm)
    with pytest.raises(Refused) as refused:
        app.bind(machine, NVIDIA)
    assert f"systemctl stop nvidia-dcgm.socket {DCGM}" in refused.value.hint
    app.bind(machine, NVIDIA, stop=("dcgm",))
    assert (machine.driver(NVIDIA), dcgm.active, socket.active) == ("vfio-pci", False, False)
    app.unbind(machine, NVIDIA)
    assert (machine.driver(NVIDIA), dcgm.active, socket.active) == ("nvidia", True, True)
    assert stopped(machine) == []
    units = [line.removeprefix("systemctl ") for line in did(machine)]
    assert [unit for unit in units if "dcgm" in unit] == [
        *("stop -- nvidia-dcgm.socket", f"stop -- {DCGM}", "start -- nvidia-dcgm.socket", f"start -- {DCGM}")
    ]


def test_a_profile_names_them(machine, dcgm):
    assert "SetUnit" in kinds(plan(machine, LENT))
    apply(machine, LENT)
    assert (machine.driver(NVIDIA), dcgm.active) == ("vfio-pci", False)
    assert plan(machine, LENT).to_do == ()
    apply(machine, HOME)
    assert (machine.driver(NVIDIA), dcgm.active, stopped(machine)) == ("nvidia", True, [])


def test_rollback_of_an_apply(machine, dcgm):
    apply(machine, LENT)
    rollback(machine)
    assert (machine.driver(NVIDIA), dcgm.active, stopped(machine)) == ("nvidia", True, [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda machine, dcgm: machine.faults.update({("unbind", NVIDIA): errno.EBUSY}),
        lambda machine, dcgm: setattr(dcgm, "breaks", "stop"),
        lambda machine, dcgm: setattr(dcgm, "lasts", 100.0),
    ],
    ids=["the kernel refuses", "it does not stop", "its processes live on"],
)
def test_a_failure_starts_it_again(machine, dcgm, spoil):
    spoil(machine, dcgm)
    with pytest.raises(GpupassError):
        app.bind(machine, NVIDIA, stop=("dcgm",))
    assert (machine.driver(NVIDIA), dcgm.active, stopped(machine)) == ("nvidia", True, [])


def test_its_processes_may_take_their_time(machine, dcgm):
    dcgm.lasts = 5.0
    app.bind(machine, NVIDIA, stop=("dcgm",))
    assert machine.driver(NVIDIA) == "vfio-pci"


def test_one_that_does_not_start_again_needs_a_person(machine, dcgm):
    app.bind(machine, NVIDIA, stop=("dcgm",))
    dcgm.breaks = "start"
    with pytest.raises(NeedsPerson, match=f"cannot start {DCGM}:"):
        app.unbind(machine, NVIDIA)
    assert (machine.driver(NVIDIA), stopped(machine)) == ("nvidia", [(NVIDIA, DCGM)])
    dcgm.breaks = ""
    app.unbind(machine, NVIDIA)
    assert (dcgm.active, stopped(machine)) == (True, [])


def test_one_that_was_removed_is_forgotten(machine, dcgm):
    app.bind(machine, NVIDIA, stop=("dcgm",))
    dcgm.there = False
    app.unbind(machine, NVIDIA)
    assert stopped(machine) == []


def test_recover_starts_what_somebody_else_has_brought_home(machine, dcgm):
    app.bind(machine, NVIDIA, stop=("dcgm",))
    machine.set_driver(NVIDIA, "nvidia")
    app.recover(machine)
    assert (dcgm.active, stopped(machine)) == (True, [])


def test_a_service_that_holds_nothing_of_it_goes_on(machine, dcgm):
    other = machine.systemd.add("ollama.service", "ollama", {LONE: "/dev/dri/renderD128"})
    app.bind(machine, NVIDIA, stop=("dcgm", "ollama"))
    assert other.active


def test_no_step_no_stop(machine, dcgm):
    app.bind(machine, GPU)
    machine.log.clear()
    app.bind(machine, GPU, stop=("dcgm",))
    assert did(machine) == []


def test_an_unknown_name(machine, dcgm):
    with pytest.raises(Refused) as refused:
        app.bind(machine, NVIDIA, stop=("dcmg",))
    assert "dcmg is nothing that may be stopped" in str(refused.value.reasons)


def test_the_administrators_file(machine):
    mine = machine.systemd.add("render-farm.service", "render", {NVIDIA: "/dev/nvidia0"})
    with pytest.raises(Refused) as refused:
        app.bind(machine, NVIDIA, stop=("farm",))
    assert "farm is nothing that may be stopped" in str(refused.value.reasons)
    machine.put("/etc/gpupass/stoppable", "# ours\nfarm render-farm.service\n")
    app.bind(machine, NVIDIA, stop=("farm",))
    assert (machine.driver(NVIDIA), mine.active) == ("vfio-pci", False)


def test_what_no_file_can_name(machine):
    machine.systemd.add("sshd.service", "sshd", {NVIDIA: "/dev/nvidia0"})
    machine.put("/etc/gpupass/stoppable", "shell sshd.service\n")
    with pytest.raises(Refused) as refused:
        app.bind(machine, NVIDIA, stop=("shell",))
    assert "shell is nothing that may be stopped" in str(refused.value.reasons)


def test_devices_of_one_service_change_together(machine, dcgm):
    """Started again for one that fails, it would open the other while that is unbound."""
    dcgm.nodes[LONE] = "/dev/dri/card1"
    machine.node_of(LONE, "drm", "card1", "226:1")
    machine.process(dcgm.name, "/dev/dri/card1", pid=dcgm.pids[0])
    both = (
        f"gpus: [{{name: a, select: {{address: '{NVIDIA}'}}, use: passthrough, stop: [dcgm]}}, "
        f"{{name: b, select: {{address: '{LONE}'}}, use: passthrough, stop: [dcgm]}}]"
    )
    (one,) = plan(machine, both).to_do
    assert [type(step).__name__ for step in one.steps].count("SetUnit") == 1
    machine.faults["unbind", LONE] = errno.EBUSY
    assert endings(apply(machine, both)) == ["failed"]
    assert (machine.driver(NVIDIA), machine.driver(LONE), dcgm.active) == ("nvidia", "bochs-drm", True)


def test_the_desktop_goes_and_comes_back(machine, desktop):
    app.bind(machine, LONE, stop=("display-manager", "console"))
    assert did(machine) == [f"systemctl stop -- {MANAGER}", "/sys/class/vtconsole/vtcon1/bind 0"]
    assert machine.driver(LONE) == "vfio-pci"
    machine.log.clear()
    app.unbind(machine, LONE)
    assert did(machine) == ["/sys/class/vtconsole/vtcon1/bind 1", f"systemctl start -- {MANAGER}"]
    assert desktop.active


def test_the_framebuffer_of_the_firmware_goes_too(machine):
    machine.draw(CONSOLE, firmware="simple-framebuffer")
    app.bind(machine, CONSOLE, stop=("console",), allow_boot_display=True)
    assert [line.rpartition("/")[2] for line in did(machine)] == ["bind 0", "unbind simple-framebuffer.0"]


def test_the_desktop_is_told_what_it_loses(machine, desktop):
    report = app.bind(machine, LONE, stop=("display-manager",), dry_run=True)
    assert any("the desktop ends" in finding.message for finding in report.plan.findings)
