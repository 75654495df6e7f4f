"""Whole files on a real file system: atomic, exact, and never through a path that is not root's alone."""

import os

import pytest

from gpupass.errors import GpupassError, Refused
from gpupass.model.boot import HostFile
from gpupass.system import System, files

PATH = "/etc/gpupass/profile.yaml"


@pytest.fixture
def system(tmp_path):
    (tmp_path / "etc").mkdir(mode=0o755)
    system = System()
    system.root = str(tmp_path)
    return system


def listed(tmp_path):
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))


def test_written_read_and_removed(system, tmp_path):
    assert system.read_file(PATH) is None
    old = os.umask(0o077)
    try:
        for mode, text in ((0o600, "one\n"), (0o755, "two\udcff\n")):
            file = HostFile(path=PATH, text=text, mode=mode)
            system.write_file(file)
            assert system.read_file(PATH) == file
    finally:
        os.umask(old)
    assert (tmp_path / "etc/gpupass/profile.yaml").read_bytes() == b"two\xff\n"
    assert (tmp_path / "etc/gpupass").stat().st_mode & 0o777 == 0o755
    assert listed(tmp_path) == ["etc", "etc/gpupass", "etc/gpupass/profile.yaml"]
    system.remove_directory("/etc/gpupass")
    assert system.read_file(PATH) is not None
    for _ in range(2):
        system.remove_file(PATH)
        system.remove_directory("/etc/gpupass")
    assert listed(tmp_path) == ["etc"]


def test_what_a_crash_left_beside_it_goes(system, tmp_path):
    system.write_file(HostFile(path=PATH, text="one\n"))
    beside = tmp_path / "etc/gpupass/.profile.yaml.gpupass-new"
    beside.write_text("ha")
    system.write_file(HostFile(path=PATH, text="two\n"))
    assert not beside.exists()
    beside.write_text("ha")
    system.remove_file(PATH)
    assert listed(tmp_path) == ["etc", "etc/gpupass"]


def test_a_write_that_fails_leaves_the_old_file(system, tmp_path, monkeypatch):
    system.write_file(HostFile(path=PATH, text="one\n"))

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files.os, "rename", full)
    with pytest.raises(GpupassError, match=r"cannot write /etc/gpupass/profile.yaml: No space left"):
        system.write_file(HostFile(path=PATH, text="two\n"))
    assert system.read_file(PATH).text == "one\n"
    assert listed(tmp_path) == ["etc", "etc/gpupass", "etc/gpupass/profile.yaml"]


def attacks(etc, elsewhere):
    """How each prepares the file's path, and what is said of it."""
    return {
        "the file is a link": (
            lambda: (etc / "gpupass/profile.yaml").symlink_to(elsewhere / "x"),
            "symbolic link",
        ),
        "its directory is a link": (
            lambda: (
                (etc / "gpupass").rename(elsewhere / "g") and (etc / "gpupass").symlink_to(elsewhere / "g")
            ),
            "symbolic link",
        ),
        "anyone may write there": (lambda: (etc / "gpupass").chmod(0o777), "others than root"),
        "its group may write above": (lambda: etc.chmod(0o775), "/etc can be changed"),
        "a pipe": (lambda: os.mkfifo(etc / "gpupass/profile.yaml"), "no ordinary file"),
        "a directory": (lambda: (etc / "gpupass/profile.yaml").mkdir(), "no ordinary file"),
    }


@pytest.mark.parametrize("name", attacks(None, None))
def test_attacks_on_the_path(name, system, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "etc/gpupass").mkdir(mode=0o755)
    attack, words = attacks(tmp_path / "etc", elsewhere)[name]
    attack()
    before = listed(tmp_path)
    for deed in (
        lambda: system.read_file(PATH),
        lambda: system.write_file(HostFile(path=PATH, text="mine\n")),
        lambda: system.remove_file(PATH),
    ):
        with pytest.raises(Refused, match=words) as refused:
            deed()
        assert refused.value.message.startswith("cannot trust /etc/gpupass/profile.yaml")
        assert refused.value.hint.startswith("ls -ld /etc")
    assert listed(tmp_path) == before


def test_somebody_elses_directory(system, tmp_path):
    directory = tmp_path / "etc/gpupass"
    directory.mkdir()
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    os.chown(directory, 1234, -1)
    with pytest.raises(Refused, match="others than root"):
        system.write_file(HostFile(path=PATH, text="mine\n"))


def test_a_directory_that_cannot_be_written(system, monkeypatch):
    real = os.open

    def closed(path, flags, *rest, **more):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(files.os, "open", closed)
    with pytest.raises(
        Refused, match=r"cannot write /etc/gpupass/profile.yaml: Permission denied"
    ) as refused:
        system.write_file(HostFile(path=PATH, text="mine\n"))
    assert "sudo" in refused.value.hint


def test_a_huge_file_is_not_ours(system, tmp_path):
    (tmp_path / "etc/gpupass").mkdir(mode=0o755)
    (tmp_path / "etc/gpupass/profile.yaml").write_bytes(b"x" * (2 << 20))
    with pytest.raises(Refused, match="more than 1 MiB"):
        system.read_file(PATH)
