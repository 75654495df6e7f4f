"""Old images and snapshots go; what is in use, and what was used last before it, stays."""

import json
import os
from pathlib import Path

import pytest

from gpupass.lab import prune
from gpupass.lab.image import Image
from gpupass.lab.snapshots import Store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gpupass/lab"


def _aged(parent: Path, *names: str) -> None:
    """One folder each, with something in it, the first used the longest ago."""
    for age, name in enumerate(names):
        (parent / name / "snapshots").mkdir(parents=True)
        os.utime(parent / name, (1000 + age, 1000 + age))


def _lab(cache: Path, name: str, image: str, *, disk: bool) -> None:
    folder = cache / "instances" / name
    folder.mkdir(parents=True)
    about = {"topology": "simple", "image": image, "accelerator": "tcg", "qemu": "10", "argv": []}
    (folder / "record.json").write_text(json.dumps({**about, "follow": None, "started_from": "boot"}))
    if disk:
        (folder / "disk.qcow2").touch()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_two_images_used_last_are_kept(cache: Path) -> None:
    _aged(cache / "images", "a", "b", "c", "d")
    prune.used(cache / "images/b")
    assert prune.images(cache) == ("a", "c")
    assert _names(cache / "images") == ["b", "d"]
    assert prune.images(cache) == ()


def test_an_image_that_a_labs_disk_stands_on_is_kept(cache: Path) -> None:
    _aged(cache / "images", "a", "b", "c", "d", "building-x")
    _lab(cache, "lost", "a", disk=True)
    _lab(cache, "down", "b", disk=False)
    assert prune.images(cache) == ("b",)
    assert _names(cache / "images") == ["a", "building-x", "c", "d"], "another build is none of ours"


def test_the_snapshots_of_the_first_version_go(cache: Path) -> None:
    _aged(cache / "images", "a")
    _aged(cache / "snapshots", "0123456789abcdef")
    prune.images(cache)
    assert _names(cache) == ["images"]


def test_snapshots_of_a_topologys_last_two_machines_are_kept(cache: Path) -> None:
    image = Image(key="a", root=cache / "images/a")
    machines = [Store(image, "simple", machine).root for machine in ("one", "two", "three")]
    _aged(image.snapshots, *(root.name for root in machines), "simple-two-0123456789abcdef")
    other = Store(image, "mixed", "one").root
    _aged(image.snapshots, other.name)
    prune.snapshots(image.snapshots, "simple")
    assert [root.exists() for root in (*machines, other)] == [False, True, True, True]
