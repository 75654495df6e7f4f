"""The double behaves as NVIDIA's library: asked through real pynvml in a process of its own."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.nvml.double import Double, NvmlError, Session

PUBLISHED = Path(__file__).parent / "published"
VM = "1b4e28ba-0000-4000-8000-000000000001"
BOARDS = ("A30", "A100-40", "A100-80", "H100-80", "H200", "RTX-PRO-6000")
INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 2, 3, 4, 6
RESET_REQUIRED, IN_USE, INSUFFICIENT_RESOURCES = 16, 19, 23


@pytest.fixture
def asking(tmp_path):
    """Machines to ask: `asking("A100-40", mig=True, faults=…)` → (double, session)."""
    with ExitStack() as stack:

        def ask(boards, mig=True, **double):
            machine = Double(tmp_path / "state", boards, **double)
            if not machine.state.exists() and mig:
                _switch_on(machine)
            session = stack.enter_context(Session(machine))
            session.init()
            return machine, session

        yield ask


def _switch_on(machine):
    with Session(replace(machine, faults="", unprivileged=False, delay_ms=0)) as session:
        session.init()
        for gpu in range(session.count()):
            session.set_mode(gpu, 1)
            machine.resets_gpu(gpu)


def rows(name):
    lines = (PUBLISHED / name).read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def refused(code):
    return pytest.raises(NvmlError, check=lambda error: error.code == code)


@pytest.mark.parametrize("board", BOARDS)
def test_profiles_and_places_are_the_published_ones(asking, board):
    _, nvml = asking(board, mig=False)
    found = []
    for id_, name, most, mib, *engines, _ in nvml.profiles(0):
        starts, sizes = zip(*nvml.placements(0, id_), strict=True)
        row = (id_, name.removeprefix("MIG "), most, f"{mib / 1024:.2f}", *engines)
        found.append([*map(str, row), ",".join(map(str, starts)), *map(str, set(sizes))])
    told = sorted(rows(board))
    for row, ours in zip(told, sorted(found), strict=True):
        assert [seen for seen in zip(row, ours, strict=True) if seen[0] not in ("-", seen[1])] == []


@pytest.mark.parametrize(("board", "profiles", "starts"), rows("choices"))
def test_places_the_driver_chooses_are_the_published_ones(asking, board, profiles, starts):
    _, nvml = asking(board)
    found = []
    for profile in profiles.split(","):
        try:
            found.append(str(nvml.create(0, int(profile))[2]))
        except NvmlError as error:
            found.append({INSUFFICIENT_RESOURCES: "-"}[error.code])
    assert ",".join(found) == starts


def test_what_gpupass_asks_of_every_gpu(asking):
    double, nvml = asking("A100-40,H100-80@0000:3b:00.0,T4", mig=False)
    double.starts(1, pid=7, mib=300)
    assert nvml.count() == 3
    assert nvml.gpu(0)["address"] == "00000000:07:00.0"
    gpu = nvml.gpu(1)
    assert nvml.index_by_uuid(gpu["uuid"]) == nvml.index_by_address("0000:3b:00.0") == 1
    assert gpu == {
        "address": "00000000:3B:00.0",
        "pci_id": "233010de",
        "uuid": "GPU-00002330-0000-4000-8000-000000000001",
        "name": "NVIDIA H100 80GB HBM3",
        "serial": "1320021000001",
        "minor": 1,
        "total": 81559,
        "used": 300,
        "total_v2": 81559,
        "persistence": 0,
    }
    nvml.set_persistence(1, 1)
    assert nvml.gpu(1)["persistence"] == 1
    with refused(NOT_FOUND):
        nvml.index_by_uuid("GPU-none")
    with refused(NOT_SUPPORTED):
        nvml.mode(2)
    assert nvml.error_string(23) == "Insufficient Resources"


def test_gpupass_itself_reads_the_double(tmp_path):
    double = Double(tmp_path / "state", "A100-40,T4")
    code = "from gpupass.system import System; from gpupass.system.nvml import Asked, read_gpus; print(*read_gpus(System(), Asked())[0], sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **double.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert "bus_id='00000000:07:00.0'" in first and "mig=False" in first and "memory_total=40960" in first
    assert "bus_id='00000000:0F:00.0'" in second and "mig=None" in second


def test_the_mode_of_ampere_is_pending_until_a_reset(asking):
    double, nvml = asking("A100-40", mig=False)
    assert nvml.set_mode(0, 1) == RESET_REQUIRED
    assert nvml.mode(0) == [0, 1]
    with refused(NOT_SUPPORTED):
        nvml.create(0, 19)
    double.resets_gpu(0)
    assert nvml.mode(0) == [1, 1]
    nvml.create(0, 19)
    double.reboots()
    assert nvml.mode(0) == [1, 1] and nvml.instances(0) == []


def test_a_driver_that_resets_ampere_by_itself_does_so_only_when_nobody_is_there(asking):
    double, nvml = asking("A100-40", mig=False, resets=True)
    double.starts(0, pid=7)
    assert nvml.set_mode(0, 1) == IN_USE and nvml.mode(0) == [0, 1]
    double.ends(pid=7)
    assert nvml.set_mode(0, 1) == 0 and nvml.mode(0) == [1, 1]


def test_the_mode_of_hopper_changes_at_once_and_is_lost_at_reboot(asking):
    double, nvml = asking("H100-80", mig=False)
    assert nvml.set_mode(0, 1) == 0 and nvml.mode(0) == [1, 1]
    gi = nvml.create(0, 19)[0]
    assert nvml.set_mode(0, 0) == IN_USE and nvml.mode(0) == [1, 0]
    nvml.destroy(0, gi)
    assert nvml.set_mode(0, 0) == 0 and nvml.mode(0) == [0, 0]
    nvml.set_mode(0, 1)
    double.reboots()
    assert nvml.mode(0) == [0, 0]


def test_instances_do_not_overlap_and_ids_say_nothing_of_places(asking):
    _, nvml = asking("A100-40")
    assert nvml.create(0, 9, 0, 4) == [1, 9, 0, 4]
    with refused(INSUFFICIENT_RESOURCES):
        nvml.create(0, 19, 3, 1)
    with refused(INVALID_ARGUMENT):
        nvml.create(0, 14, 1, 2)
    with refused(INVALID_ARGUMENT):
        nvml.create(0, 14, 4, 1)
    with refused(NOT_SUPPORTED):
        nvml.create(0, 99)
    assert nvml.create(0, 19, 5, 1) == [7, 19, 5, 1]
    assert [nvml.capacity(0, profile) for profile in (19, 20, 15, 14, 9, 5, 0)] == [2, 1, 1, 0, 0, 0, 0]
    assert nvml.instances(0) == [[1, 9, 0, 4], [7, 19, 5, 1]]


@pytest.mark.parametrize(("board", "first", "second"), [("A100-40", 20, 20), ("A30", 21, 6), ("A30", 6, 21)])
def test_media_engines_are_given_once(asking, board, first, second):
    _, nvml = asking(board)
    nvml.create(0, first)
    assert nvml.capacity(0, second) == 0
    with refused(INSUFFICIENT_RESOURCES):
        nvml.create(0, second)


def test_compute_instances(asking):
    """The profiles of a 3g.20gb: `nvidia-smi mig -lcip` in NVIDIA's MIG User Guide."""
    double, nvml = asking("A100-40")
    gi = nvml.create(0, 9)[0]
    assert nvml.compute_profiles(0, gi) == [
        [0, "MIG 1c.3g.20gb", 1, 3, 14, [0, 1, 2]],
        [1, "MIG 2c.3g.20gb", 2, 1, 28, [0]],
        [2, "MIG 3g.20gb", 3, 1, 42, [0]],
    ]
    first = nvml.create_compute(0, gi, 1)
    assert first[:4] == [0, 1, 0, 2]
    assert [nvml.compute_capacity(0, gi, profile) for profile in (0, 1, 2)] == [1, 0, 0]
    with refused(INSUFFICIENT_RESOURCES):
        nvml.create_compute(0, gi, 2)
    with refused(INSUFFICIENT_RESOURCES):
        nvml.create_compute(0, gi, 0, 1, 1)
    second = nvml.create_compute(0, gi, 0, 2, 1)
    assert second[:4] == [1, 0, 2, 1] and nvml.compute_instances(0, gi) == [first, second]
    double.starts(0, pid=4242, gi=gi, ci=1)
    assert nvml.mig_devices(0) == [
        [first[4], gi, 0, 28, 3, 19968, []],
        [second[4], gi, 1, 14, 3, 19968, [4242]],
    ]
    assert nvml.processes(0) == [[4242, gi, 1, 256]]
    for refuse in (lambda: nvml.destroy(0, gi), lambda: nvml.destroy_compute(0, gi, 1)):
        with refused(IN_USE):
            refuse()
    nvml.destroy_compute(0, gi, 0)
    double.ends(4242)
    nvml.destroy_compute(0, gi, 1)
    nvml.destroy(0, gi)
    assert nvml.instances(0) == [] and nvml.mig_devices(0) == []
    with refused(NOT_FOUND):
        nvml.destroy(0, gi)


@pytest.mark.parametrize(
    ("profile", "counts"),
    [
        (19, {"1": 1}),
        (14, {"1": 2, "2": 1}),
        (9, {"1": 3, "2": 1, "3": 1}),
        (5, {"1": 4, "2": 2, "4": 1}),
        (0, {"1": 7, "2": 3, "3": 2, "4": 1, "7": 1}),
    ],
)
def test_counts_of_compute_profiles(asking, profile, counts):
    """NVIDIA MIG User Guide, "Compute Instance Profiles"; go-nvlib's rule for the names."""
    _, nvml = asking("A100-40")
    gi = nvml.create(0, profile)[0]
    assert {str(slices): most for _, _, slices, most, *_ in nvml.compute_profiles(0, gi)} == counts


def test_a_vgpu_is_active_while_its_guest_runs(asking):
    double, nvml = asking("H100-80,H100-80")
    assert nvml.active(0) == []
    gi = nvml.create(0, 9)[0]
    double.boots(0, VM, gi=gi, vgpu=7)
    double.boots(0, VM, vgpu=8)
    uuids = [f"0000000{vgpu}-0000-4000-9000-000000000000" for vgpu in (7, 8)]
    assert nvml.active(0) == [[7, gi, VM, 1, uuids[0]], [8, 0xFFFFFFFF, VM, 1, uuids[1]]]
    assert nvml.active(1) == []
    with refused(IN_USE):
        nvml.destroy(0, gi)
    double.boots(1, VM, vgpu=9)
    assert nvml.set_mode(1, 0) == IN_USE
    double.shuts_down(VM)
    assert nvml.set_mode(1, 0) == 0
    for vgpu, error in ((7, NOT_FOUND), (0, INVALID_ARGUMENT)):
        with refused(error):
            nvml.vgpu_instance(vgpu)
    nvml.destroy(0, gi)


def test_a_uuid_is_new_with_every_creation(asking):
    _, nvml = asking("H100-80")
    gi = nvml.create(0, 0)[0]
    before = nvml.create_compute(0, gi, 4)
    nvml.destroy_compute(0, gi, 0)
    after = nvml.create_compute(0, gi, 4)
    assert before[:4] == after[:4] and before[4] != after[4] and after[4].startswith("MIG-")


def test_all_processes_see_one_machine(asking):
    _, one = asking("A100-40,A100-40")
    _, other = asking("A100-40,A100-40")
    one.create(1, 9)
    assert other.instances(1) == one.instances(1) != [] and other.instances(0) == []


def test_users_may_look_but_not_change(asking):
    double, root = asking("A100-40")
    gi = root.create(0, 19)[0]
    root.create_compute(0, gi, 0)
    with Session(replace(double, unprivileged=True)) as user:
        user.init()
        assert user.profiles(0) and user.mode(0) == [1, 1] and len(user.mig_devices(0)) == 1
        for call in ("instances", "placements", "create", "capacity", "set_mode"):
            with refused(NO_PERMISSION):
                getattr(user, call)(*([0] if call == "instances" else [0, 1 if call == "set_mode" else 19]))


def test_faults(asking):
    double, nvml = asking("A100-40", faults="nvmlDeviceCreateGpuInstance:2:999,nvmlGpuInstanceDestroy:*:19")
    gi = nvml.create(0, 19)[0]
    with refused(999):
        nvml.create(0, 19)
    nvml.create(0, 19)
    for _ in range(2):
        with refused(IN_USE):
            nvml.destroy(0, gi)
    assert sum(line.startswith("gi ") for line in double.lines()) == 2


@pytest.mark.parametrize("error", [9, 18])
def test_no_driver(tmp_path, error):
    with (
        Session(Double(tmp_path / "state", "A30", faults=f"nvmlInitWithFlags:1:{error}")) as nvml,
        refused(error),
    ):
        nvml.init()


def test_asked_before_init(tmp_path):
    with Session(Double(tmp_path / "state", "A30")) as nvml:
        nvml.init()
        nvml.shutdown()
        with refused(1):
            nvml.count()


def test_a_process_can_be_killed_at_a_call(asking):
    double, nvml = asking("A100-40", faults="nvmlDeviceCreateGpuInstance:2:kill")
    nvml.create(0, 19)
    with pytest.raises(ConnectionError, match="-9"):
        nvml.create(0, 19)
    assert sum(line.startswith("gi ") for line in double.lines()) == 1


def test_changes_of_one_gpu_take_turns(asking):
    machine, _ = asking("A100-40,A100-40")
    slow = replace(machine, delay_ms=300)
    with Session(slow) as one, Session(slow) as other, ThreadPoolExecutor() as threads:
        one.init()
        other.init()

        def took(gpus):
            begin = time.monotonic()
            list(threads.map(lambda nvml, gpu: nvml.create(gpu, 19), (one, other), gpus))
            return time.monotonic() - begin

        assert took((0, 0)) >= 0.6
        assert took((0, 1)) >= 0.3
