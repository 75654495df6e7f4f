"""WriteFile, EnableUnit and Refresh by themselves; they come back from a journal."""

import json

import pytest

from gpupass import steps
from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.step import EnableUnit, FileReader, Refresh, Step, WriteFile, addresses_of
from gpupass.model.wire import from_json, to_json
from gpupass.system import System

PATH = "/etc/gpupass/deep/file"
STEPS = (
    WriteFile(path=PATH, text="\udcff\n", mode=0o600, why="because"),
    WriteFile(path=PATH, text=None, prune=True),
    EnableUnit(unit="gpupass.service", on=True),
    Refresh(what=FileReader.DRACUT, back=True),
)


@pytest.mark.parametrize("step", STEPS)
def test_they_come_back(step):
    assert from_json(to_json(step), Step) == step
    assert addresses_of(step) == ()
    assert not steps.committed(step, System("/nonexistent"))


@pytest.fixture
def system(tmp_path):
    (tmp_path / "etc").mkdir(mode=0o755)
    return System(str(tmp_path))


def through_json(value):
    return json.loads(json.dumps(value))


def test_a_new_file_and_its_directories(system, tmp_path):
    step = STEPS[0]
    before = through_json(steps.current(step, system))
    for _ in range(2):
        steps.do(step, system, 0)
        assert (tmp_path / "etc/gpupass/deep/file").read_bytes() == b"\xff\n"
    for _ in range(2):
        steps.undo(step, before, system)
        assert not (tmp_path / "etc/gpupass").exists() and (tmp_path / "etc").exists()


def test_undo_keeps_what_others_put_beside_it(system, tmp_path):
    before = steps.current(STEPS[0], system)
    steps.do(STEPS[0], system, 0)
    (tmp_path / "etc/gpupass/other").write_text("theirs")
    steps.undo(STEPS[0], before, system)
    assert [path.name for path in (tmp_path / "etc/gpupass").iterdir()] == ["other"]


def test_a_removed_file_comes_back_with_its_mode(system, tmp_path):
    steps.do(STEPS[0], system, 0)
    before = through_json(steps.current(STEPS[1], system))
    steps.do(STEPS[1], system, 0)
    assert not (tmp_path / "etc/gpupass/deep").exists() and (tmp_path / "etc/gpupass").exists()
    steps.undo(STEPS[1], before, system)
    file = tmp_path / "etc/gpupass/deep/file"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"\xff\n", 0o600)


def test_somebody_elses_change_is_not_undone(system, tmp_path):
    before = steps.current(STEPS[0], system)
    steps.do(STEPS[0], system, 0)
    (tmp_path / "etc/gpupass/deep/file").write_text("theirs\n")
    with pytest.raises(NeedsPerson, match="somebody else has changed it"):
        steps.undo(STEPS[0], before, system)
    assert (tmp_path / "etc/gpupass/deep/file").read_text() == "theirs\n"


class Recorder(System):
    def __init__(self, root):
        super().__init__(root)
        self.ran = []

    def run(self, *argv, timeout=60.0):
        self.ran.append(argv)
        return ""


def test_refresh_acts_on_one_way_only(tmp_path):
    system = Recorder(str(tmp_path))
    for back in (False, True):
        step = Refresh(what=FileReader.UDEV, back=back)
        steps.do(step, system, 0)
        assert len(system.ran) == (not back)
        steps.undo(step, steps.current(step, system), system)
        assert system.ran == [("udevadm", "control", "--reload")]
        system.ran.clear()


def test_a_unit_that_systemctl_did_not_enable(tmp_path):
    system = Recorder(str(tmp_path))
    assert steps.current(STEPS[2], system) is False
    with pytest.raises(GpupassError, match="systemctl has not done it"):
        steps.do(STEPS[2], system, 0)
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "gpupass.service").symlink_to("../gpupass.service")
    assert steps.current(STEPS[2], system) is True
    steps.do(STEPS[2], system, 0)
    assert len(system.ran) == 1
