"""A snapshot's disk holds everything its lab's disk held, however many layers that had."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gpupass.lab import snapshots
from gpupass.lab.instance import Instance

pytestmark = pytest.mark.skipif(shutil.which("qemu-io") is None, reason="needs qemu-utils")


def _write(disk: Path, kind: str, *patterns: str) -> None:
    for pattern in patterns:
        subprocess.run(["qemu-io", "-f", kind, "-c", pattern, str(disk)], check=True, capture_output=True)


@pytest.mark.parametrize("restored", [False, True])
def test_every_layer_is_in_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored: bool) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    instance = Instance("x")
    instance.folder.mkdir(parents=True)
    image = tmp_path / "root.img"
    with image.open("wb") as file:
        file.truncate(4 << 20)
    _write(image, "raw", "write -P 1 0 2M")
    instance.fresh_disk(image, "raw")
    _write(instance.disk, "qcow2", "write -P 2 64k 64k", "write -P 3 1M 64k")
    if restored:
        saved = tmp_path / "saved.qcow2"
        shutil.copyfile(instance.disk, saved)
        instance.fresh_disk(saved, "qcow2")
        _write(instance.disk, "qcow2", "write -P 4 64k 4k", "write -P 0 1M 64k", "write -P 5 3M 4k")
    work = tmp_path / "work"
    work.mkdir()
    snapshots._copy_disk(instance, work)
    assert [path.name for path in work.iterdir()] == ["disk.qcow2"]
    same = subprocess.run(["qemu-img", "compare", str(instance.disk), str(work / "disk.qcow2")], check=False)
    assert same.returncode == 0
    shutil.rmtree(instance.folder)
    subprocess.run(["qemu-img", "check", str(work / "disk.qcow2")], check=True)
