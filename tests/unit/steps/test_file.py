"""WriteFile, EnableUnit and Refresh by themselves; they come back from a journal."""

import pytest

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.kinds import AnyStep
from gpupass.model.wire import from_json, to_json
from gpupass.steps.file import WriteFile
from gpupass.steps.refresh import FileReader, Refresh
from gpupass.steps.unit import EnableUnit
from gpupass.system import System

PATH = "/etc/gpupass/deep/file"
STEPS = (
    WriteFile(path=PATH, text="\udcff\n", mode=0o600, why="because"),
    WriteFile(path=PATH, text=None, prune=True),
    EnableUnit(unit="gpupass.service", on=True),
    Refresh(what=FileReader.DRACUT),
)


@pytest.mark.parametrize("step", STEPS)
def test_they_come_back(step):
    assert from_json(to_json(step), AnyStep) == step
    assert step.carriers == ()
    assert not step.committed(Recorder("/nonexistent"))


@pytest.fixture
def system(tmp_path):
    (tmp_path / "etc").mkdir(mode=0o755)
    return Recorder(str(tmp_path))


def through_json(value):
    return from_json(to_json(value), WriteFile.Before)


def test_a_new_file_and_its_directories(system, tmp_path):
    step = STEPS[0]
    before = through_json(step.current(system))
    for _ in range(2):
        step.do(system, 0)
        assert (tmp_path / "etc/gpupass/deep/file").read_bytes() == b"\xff\n"
    for _ in range(2):
        step.undo(before, system)
        assert not (tmp_path / "etc/gpupass").exists() and (tmp_path / "etc").exists()


def test_undo_keeps_what_others_put_beside_it(system, tmp_path):
    before = STEPS[0].current(system)
    STEPS[0].do(system, 0)
    (tmp_path / "etc/gpupass/other").write_text("theirs")
    STEPS[0].undo(before, system)
    assert [path.name for path in (tmp_path / "etc/gpupass").iterdir()] == ["other"]


def test_a_removed_file_comes_back_with_its_mode(system, tmp_path):
    STEPS[0].do(system, 0)
    before = through_json(STEPS[1].current(system))
    STEPS[1].do(system, 0)
    assert not (tmp_path / "etc/gpupass/deep").exists() and (tmp_path / "etc/gpupass").exists()
    STEPS[1].undo(before, system)
    file = tmp_path / "etc/gpupass/deep/file"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"\xff\n", 0o600)


def test_somebody_elses_change_is_not_undone(system, tmp_path):
    before = STEPS[0].current(system)
    STEPS[0].do(system, 0)
    (tmp_path / "etc/gpupass/deep/file").write_text("theirs\n")
    with pytest.raises(NeedsPerson, match="somebody else has changed it"):
        STEPS[0].undo(before, system)
    assert (tmp_path / "etc/gpupass/deep/file").read_text() == "theirs\n"


class Recorder(System):
    def __init__(self, root):
        super().__init__()
        self.root, self.ran = root, []

    def run(self, *argv, timeout=60.0):
        self.ran.append(argv)
        return ""


def test_refresh_has_the_files_read_on_the_way_back_too(tmp_path):
    system = Recorder(str(tmp_path))
    step = Refresh(what=FileReader.UDEV)
    step.do(system, 0)
    step.undo(step.current(system), system)
    assert system.ran == [("udevadm", "control", "--reload")] * 2


def test_a_unit_that_systemctl_did_not_enable(tmp_path):
    system = Recorder(str(tmp_path))
    assert STEPS[2].current(system) is False
    with pytest.raises(GpupassError, match="systemctl has not done it"):
        STEPS[2].do(system, 0)
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "gpupass.service").symlink_to("../gpupass.service")
    assert STEPS[2].current(system) is True
    STEPS[2].do(system, 0)
    assert len(system.ran) == 1
