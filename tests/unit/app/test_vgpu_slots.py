"""vGPUs of both frameworks as slots: lent, moved, taken back, made anew for the next guest; and what the driver refuses."""

import errno

import pytest

from gpupass import app, inspect
from gpupass.app.recovery import recover
from gpupass.cli.tables import print_slots
from gpupass.errors import GpupassError, Refused
from gpupass.steps.mdev import SetMdev
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply, endings, kinds, plan
from tests.simulated_libvirt import REFUSES
from tests.simulated_vgpu import CARD

TYPES = "{A100-5C: 2, A100-10C: 1}"
FRAMEWORKS = ("vendor", "mdev")
TOLD = "frame_rate_limiter=0"
SOLD_OUT = {"vendor": errno.EINVAL, "mdev": errno.ENOSPC}
OPEN = {"vendor": errno.EPERM, "mdev": errno.EBUSY}


def wish(types=TYPES, more="", attachments=""):
    rule = f"{{name: card, select: {{address: '{CARD}'}}, use: vgpu, types: {types}{more}}}"
    return f"gpus: [{rule}]\n{attachments}"


@pytest.fixture(params=FRAMEWORKS)
def machine(request, nvml, new_state):
    made = vgpu_machine(new_state(), request.param)
    apply(made, wish(more=", params: {frame_rate_limiter: 0}"))
    made.log.clear()
    return made


def holder(machine, part):
    """Which function has the vGPU of this name, and what libvirt calls it."""
    records = machine.records()
    (key,) = (key for key, record in records.items() if record.get("name") == part)
    vf, _, mdev = key.split()[1].partition("+")
    return vf, mdev or vf


def anew(machine, vf):
    """How often it was made since the log was cleared."""
    made = ("current_vgpu_type", "create")
    return sum(
        path.endswith(made) and value != "0" for path, value in machine.log if vf in machine.files.real(path)
    )


def claims(machine):
    return [name for name in machine.records() if name.startswith("claim")]


def test_lent_moved_and_taken_back(machine):
    vf, slot = holder(machine, "A100-10C-0")
    before = machine.vgpu.snapshot()
    app.attach(machine, "vm1", "card/A100-10C-0")
    assert list(machine.libvirt.guests["vm1"].live) == [slot] and machine.vgpu.in_use(vf)
    assert len(claims(machine)) == 1 and anew(machine, vf) == 0
    app.attach(machine, "vm1", "card/A100-10C-0")
    with pytest.raises(Refused, match="attached to vm1"):
        app.attach(machine, "vm2", "card/A100-10C-0")
    app.move(machine, "card/A100-10C-0", "vm2")
    assert list(machine.libvirt.guests["vm2"].live) == [slot] and not machine.libvirt.guests["vm1"].live
    assert len(claims(machine)) == 1 and anew(machine, vf) == 1
    app.detach(machine, "vm2", "card/A100-10C-0")
    assert claims(machine) == [] and anew(machine, vf) == 2 and not machine.vgpu.in_use(vf)
    assert machine.vgpu.snapshot() == before, "with the params it was told"


def test_what_somebody_has_opened_since_is_not_removed(nvml, new_state):
    """The kernel would wait for him, and whoever wrote with it."""
    machine = vgpu_machine(new_state(), "mdev")
    apply(machine, wish())
    vf, slot = holder(machine, "A100-10C-0")
    machine.process("qemu-system-x86", f"/dev/vfio/{machine.vgpu.group(slot)}")
    step = SetMdev(address=vf, uuid=slot, type="nvidia-471", present=False)
    with pytest.raises(GpupassError, match=r"qemu-system-x86 .* has /dev/vfio/3.. open"):
        step.do(machine, 0)
    assert machine.vgpu.snapshot() and slot in {one.mdev for one in machine.vgpu.vgpus.values()}


def test_recover_after_a_guest_was_destroyed(machine):
    vf, _ = holder(machine, "A100-5C-1")
    before = machine.vgpu.snapshot()
    app.attach(machine, "vm1", "card/A100-5C-1")
    machine.libvirt.stop("vm1")
    assert len(claims(machine)) == 1
    (report,) = recover(machine)
    assert report.ending == "done" and "vm1" in report.title
    assert claims(machine) == [] and anew(machine, vf) == 1 and machine.vgpu.snapshot() == before
    assert recover(machine) == ()


def test_pending_until_the_guest_lets_go(machine):
    vf, _ = holder(machine, "A100-5C-0")
    app.attach(machine, "vm1", "card/A100-5C-0")
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(GpupassError, match="has not let go"):
        app.detach(machine, "vm1", "card/A100-5C-0", timeout=5)
    assert machine.vgpu.in_use(vf) and anew(machine, vf) == 0
    machine.libvirt.reboot("vm1")
    recover(machine)
    assert claims(machine) == [] and anew(machine, vf) == 1 and not machine.vgpu.in_use(vf)


def test_what_a_guest_has_is_not_taken(machine):
    app.attach(machine, "vm1", "card/A100-10C-0")
    machine.log.clear()
    before = machine.snapshot()
    with pytest.raises(Refused, match="in use by domain vm1"):
        apply(machine, wish("{A100-5C: 2}"), allow_disruption=True)
    assert machine.snapshot() == before and machine.log == []


def test_attached_by_a_profile_and_left_by_it(machine):
    lent = wish(attachments="attachments: [{domain: vm1, device: card/A100-10C-0}]")
    _, slot = holder(machine, "A100-10C-0")
    assert endings(apply(machine, lent)) == ["done"] and kinds(plan(machine, lent)) == []
    assert list(machine.libvirt.guests["vm1"].live) == [slot]
    fewer = wish("{A100-5C: 2}")
    assert endings(apply(machine, fewer, allow_disruption=True)) == ["done"]
    assert not machine.libvirt.guests["vm1"].live and claims(machine) == []
    assert [name for name, *_ in machine.vgpu.snapshot()["vgpus"].values()] == ["A100-5C"] * 2


def refused(deed, *arguments):
    with pytest.raises(OSError) as caught:
        deed(*arguments)
    return caught.value.errno


def files(machine, vf, kind):
    """What makes a vGPU of that type on the function, and what removes it: path and value each."""
    path = machine.tree.path(vf)
    if machine.vgpu.framework == "vendor":
        current = f"{path}/nvidia/current_vgpu_type"
        return (current, str(kind)), (current, "0")
    mdev = machine.vgpu.vgpus[vf].mdev if vf in machine.vgpu.vgpus else "0f0f0f0f-0000-4000-8000-000000000000"
    return (f"{path}/mdev_supported_types/nvidia-{kind}/create", mdev), (
        f"/sys/bus/mdev/devices/{mdev}/remove",
        "1",
    )


def test_the_driver_refuses(machine):
    """What these tests stand on: the double says no where NVIDIA's driver does."""
    framework, vf = machine.vgpu.framework, holder(machine, "A100-5C-0")[0]
    free = machine.sriov.address(CARD, 3)
    assert refused(machine._write, *files(machine, free, 473)[0]) == SOLD_OUT[framework], (
        "40 GB beside others"
    )
    app.attach(machine, "vm1", "card/A100-5C-0")
    assert refused(machine._write, *files(machine, vf, 470)[1]) == OPEN[framework], "a guest has it"
    for verb in ("-e", "-d"):
        with pytest.raises(GpupassError, match="unbindLock"):
            machine.run("/usr/lib/nvidia/sriov-manage", verb, CARD)
    with pytest.raises(GpupassError, match="in use"):
        machine.vgpu.set_mixed(False)
    assert machine.vgpu.set_mig(True) == "it is in use"
    machine.vgpu.mixed = False  # as if the two sizes were there by mistake: now only one may be added to
    assert machine.vgpu.creatable(free) == ()


def test_functions_without_a_vgpu_are_no_free_slots(machine):
    """Nobody can have them, in either framework."""
    found = inspect.list_slots(machine, None, "qemu:///system").offers
    states = {
        offer.slot.part: offer.state.value for offer in found if offer.slot.kind.value in ("vf", "vgpu")
    }
    assert states == {"vf3": "no type", "A100-5C-0": "free", "A100-5C-1": "free", "A100-10C-0": "free"}


def test_the_name_of_a_slot_is_shown_whole(nvml, new_state, capsys):
    """It is what people type: who uses it is shortened first."""
    machine, uuid = vgpu_machine(new_state(), "mdev"), "0f0f0f0f-0000-4000-8000-000000000000"
    machine.vgpu.manage("-e", CARD)
    path = machine.tree.path(machine.sriov.address(CARD, 0))
    machine.vgpu.store(f"{path}/mdev_supported_types/nvidia-470/create", uuid)
    app.attach(machine, "vm1", uuid)
    print_slots(inspect.list_slots(machine, None, "qemu:///system"))
    assert f"{CARD}/{uuid} " in capsys.readouterr().out


def test_a_gpu_instance_with_a_vgpu_is_no_free_slot(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, wish("{A100-1-5C: 1}", ", layout: [1g.5gb, 2g.10gb]"), allow_reset=True)
    found = inspect.list_slots(machine, None, "qemu:///system").offers
    states = {offer.slot.size: offer.state.value for offer in found if offer.slot.kind.value == "mig"}
    assert states == {"1g.5gb": "cut", "2g.10gb": "free"}
