"""/etc/cdi/gpupass.yaml on the simulated machine: written once, refreshed by every apply, or left alone."""

import json

import pytest
import yaml
from click.testing import CliRunner

from gpupass.app.cdi import cdi, preview
from gpupass.cdi.specification import PATH
from gpupass.cli.main import cli
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.observe import observe
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost
from gpupass.system.nvml import GpuAnswer
from tests.memory_tree import Link
from tests.mig_boards import cut
from tests.profile_trips import apply, apply_in, endings, plan, profile_of, rollback
from tests.simulated import BUS_GPU, NIC, NVIDIA

THEIRS = "/etc/cdi/nvidia.yaml"
VFS = f"gpus: [{{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 2, vf: {{driver: vfio-pci}}}}]\n"
MADE = ["0000:0a:10.0", "0000:0a:10.2"]


@pytest.fixture
def nodes(machine):
    for path in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128", THEIRS):
        machine.put(path, "")
    machine.files.put("/sys/class/drm/renderD128", Link(f"{machine.tree.path(BUS_GPU)}/drm/renderD128"))
    machine.files.put(f"{machine.tree.path(BUS_GPU)}/drm/renderD128/device", Link(machine.tree.path(BUS_GPU)))
    return machine


def told(machine):
    return [device["name"] for device in yaml.safe_load(machine.read(PATH))["devices"]]


def written(machine):
    return [path for path, _ in machine.log if path.startswith("/etc")]


def test_written_once(nodes):
    assert preview(nodes).ending == "planned" and written(nodes) == []
    assert cdi(nodes).ending == "done"
    assert nodes.modes[PATH] == 0o644 and BUS_GPU in told(nodes)
    assert cdi(nodes).ending == "nothing to do"
    assert written(nodes) == [PATH] and nodes.open_journals() == []


def test_an_apply_leaves_it_alone_where_nobody_asked_for_it(nodes):
    apply(nodes, VFS)
    rollback(nodes)
    assert written(nodes) == [] and not nodes.exists(PATH)


def test_every_apply_refreshes_it(nodes):
    cdi(nodes)
    before = told(nodes)
    applied = apply(nodes, VFS)
    assert endings(applied) == ["done"] and applied.warnings == ()
    assert told(nodes) == before + MADE
    nodes.put(PATH, "changed\n")
    assert apply(nodes, VFS).reports == () and told(nodes) == before + MADE
    rollback(nodes)
    assert told(nodes) == before
    assert nodes.read(THEIRS) == ""


def test_the_profile_asks_for_it(nodes):
    apply(nodes, f"{VFS}containers: cdi\n")
    assert set(MADE) < set(told(nodes))


def test_what_is_attached_is_left_out(nodes):
    cdi(nodes)
    apply(nodes, f"{VFS}attachments: [{{domain: vm1, device: nic/vf0}}]\n")
    assert MADE[0] not in told(nodes) and MADE[1] in told(nodes)


def test_a_failed_refresh_is_a_warning(nodes):
    cdi(nodes)
    before = told(nodes)

    def read_only():
        raise GpupassError(f"cannot write {PATH}: Read-only file system")

    nodes.faults["write_file", PATH] = read_only
    applied = apply(nodes, VFS)
    assert endings(applied) == ["done"] and told(nodes) == before
    assert nodes.driver(MADE[0]) == "vfio-pci"
    assert [(w.fatal, "not up to date" in w.message) for w in applied.warnings] == [(False, True)]


def test_nvidia_ctk(nodes, monkeypatch):
    cdi(nodes)
    ran = []
    monkeypatch.setattr(nodes, "run", lambda *argv, **more: ran.append(argv) or "")
    nodes.put("/usr/bin/nvidia-ctk", "")
    applied = apply(nodes, "containers: nvidia-ctk\n")
    assert applied.warnings == ()
    assert ran == [("nvidia-ctk", "cdi", "generate", f"--output={THEIRS}")]
    assert NVIDIA not in told(nodes) and BUS_GPU in told(nodes)
    assert cdi(nodes).ending == "nothing to do"  # it goes on leaving out what they cover
    apply(nodes, "containers: cdi\n")
    assert len(ran) == 1 and "nvidia-ctk" not in nodes.read(PATH)


def test_without_nvidia_ctk_nothing_is_touched(nodes):
    wish = f"{VFS}containers: nvidia-ctk\n"
    with pytest.raises(Refused, match="cannot apply this profile: nvidia-ctk is not installed") as refused:
        apply(nodes, wish)
    assert refused.value.hint == "apt install nvidia-container-toolkit; or containers: cdi"
    assert nodes.log == []
    nodes.put("/usr/local/bin/nvidia-ctk", "")
    assert plan(nodes, wish).refusals == ()


def test_at_boot_devices_are_restored_without_nvidia_ctk(nodes):
    """Nobody waits for it, either."""
    wish, began = profile_of(f"{VFS}containers: nvidia-ctk\n"), nodes.monotonic()
    applied = apply_in(nodes, wish, 300, partly=True)
    assert endings(applied) == ["done"] and nodes.driver(MADE[0]) == "vfio-pci"
    assert applied.plan.refusals == () and nodes.monotonic() - began < 100
    assert [(w.fatal, w.message) for w in applied.warnings] == [(False, "nvidia-ctk is not installed")]
    assert BUS_GPU in told(nodes)


@pytest.mark.parametrize("there", [True, False])
def test_a_record_knows_whether_nvidia_ctk_is_installed(there, nodes, tmp_path):
    if there:
        nodes.put("/usr/sbin/nvidia-ctk", "")
    record_host(nodes, tmp_path / "record", "qemu:///system")
    recorded = RecordedHost(str(tmp_path / "record"))
    assert observe(recorded, programs=True).nvidia_ctk is there
    (tmp_path / "record/gpupass/programs.json").unlink()
    assert observe(recorded, programs=True).nvidia_ctk is None, "recorded before that was asked"


def test_nvidia_ctk_that_fails(nodes, monkeypatch):
    def fails(*argv, **more):
        raise GpupassError("cannot run nvidia-ctk: no driver")

    monkeypatch.setattr(nodes, "run", fails)
    nodes.put("/usr/bin/nvidia-ctk", "")
    applied = apply(nodes, "containers: nvidia-ctk\n")
    assert "no driver" in applied.warnings[0].message


def test_access_nodes_of_instances_are_made_like_the_drivers_own_programs_do(nodes, monkeypatch):
    found = cut("A100-40", ("3g.20gb", 4))
    answer = GpuAnswer(bus_id=NVIDIA, uuid="GPU-1", minor=0, mig=True, mig_pending=True, mig_gpu=found)
    monkeypatch.setattr("gpupass.observe.nvidia.read_gpus", lambda system, asked: ((answer,), ""))
    gi = f"gpu0/gi{found.instances[0].id}"
    nodes.put("/proc/driver/nvidia-caps/mig-minors", f"{gi}/access 12\n{gi}/ci0/access 13\n")
    ran = []

    def run(program, *words, timeout=60.0):
        ran.append((program, *words))
        nodes.put(f"/dev/nvidia-caps/nvidia-cap{11 + len(ran)}", "")
        return ""

    monkeypatch.setattr(nodes, "run", run)
    assert "is left out" in cdi(nodes).warnings[0].message and NVIDIA not in told(nodes)
    nodes.put("/usr/bin/nvidia-modprobe", "")
    assert preview(nodes).warnings and ran == []
    assert cdi(nodes).warnings == ()
    files = [f"/proc/driver/nvidia/capabilities/{gi.replace('/', '/mig/')}{ci}/access" for ci in ("", "/ci0")]
    assert ran == [("nvidia-modprobe", "-f", file) for file in files]
    assert f"{NVIDIA}-3g.20gb-4" in told(nodes)


def test_the_verb(nodes, monkeypatch, tmp_path):
    monkeypatch.setattr("gpupass.cli.cdi.reader_at", lambda directory: nodes)
    monkeypatch.setattr("gpupass.cli.cdi.System", lambda: nodes)
    printed = CliRunner().invoke(cli, ["cdi", "--print"])
    assert printed.exit_code == 0 and printed.stderr == "" and written(nodes) == []
    planned = CliRunner().invoke(cli, ["cdi", "--dry-run", "--json"])
    assert json.loads(planned.stdout)["changes"][0]["result"] == "planned" and written(nodes) == []
    assert CliRunner().invoke(cli, ["cdi"]).stdout == f"done: write {PATH}\n"
    assert nodes.read(PATH) + "\n" == printed.stdout
    assert "nothing to do" in CliRunner().invoke(cli, ["cdi"]).stdout
    refused = CliRunner().invoke(cli, ["cdi", "--host", str(tmp_path)])
    assert isinstance(refused.exception, Usage) and "--print" in refused.exception.hint
