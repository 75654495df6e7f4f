"""Whose files root obeys, and what whoever is behind sudo gets to see of them."""

import os
import pwd

import pytest

from gpupass.app.profile_file import load_file, read_file
from gpupass.errors import Refused, Usage
from gpupass.system import System, trusted
from gpupass.system.state import ensure_directory

NOBODY = pwd.getpwnam("nobody").pw_uid
PROFILE = "version: 1\ngpus: []\n"
SECRET = "root:$6$7f3a$Q1w2:20228:0:99999:7:::\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root is who is to be protected")


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.yaml"
    path.write_text(PROFILE)
    return path


@pytest.fixture
def behind_sudo(monkeypatch):
    monkeypatch.setenv("SUDO_UID", str(NOBODY))


def test_roots_own(profile):
    assert load_file(System(), str(profile)).gpus == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.chown(path, NOBODY, NOBODY),
        lambda path: path.chmod(0o664),
        lambda path: path.chmod(0o646),
        lambda path: path.parent.chmod(0o777),
        lambda path: os.chown(path.parent, NOBODY, NOBODY),
    ],
    ids=["another's", "of a group", "of all", "in a directory of all", "in another's directory"],
)
def test_root_takes_no_orders_from_others(spoil, profile):
    spoil(profile)
    with pytest.raises(Refused, match="cannot take orders from"):
        load_file(System(), str(profile))
    outer = profile.parent.parent / f"{profile.parent.name}-outer.yaml"
    outer.write_text(f"version: 1\ninclude: [{profile}]\ngpus: []\n")
    with pytest.raises(Refused, match="cannot take orders from"):
        load_file(System(), str(outer))


@pytest.mark.parametrize(
    ("asker", "mode", "obeyed"),
    [(NOBODY, 0o644, True), (NOBODY, 0o664, False), (NOBODY + 1, 0o644, False)],
    ids=["his own", "of a group", "another's"],
)
def test_whoever_is_behind_sudo_gives_it_orders_of_his_own(asker, mode, obeyed, profile, monkeypatch):
    os.chown(profile, NOBODY, NOBODY)
    profile.chmod(mode)
    monkeypatch.setenv("SUDO_UID", str(asker))
    monkeypatch.setattr(trusted, "guarded", lambda *_: b"")  # as if the directories of the test let him in
    if obeyed:
        assert load_file(System(), str(profile)).gpus == ()
    else:
        with pytest.raises(Refused, match="cannot take orders from"):
            load_file(System(), str(profile))


def test_a_link_in_somebody_elses_directory(profile, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "link.yaml").symlink_to(profile)
    assert read_file(str(theirs / "link.yaml")) == PROFILE
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(Refused, match=f"others can change {theirs}"):
        read_file(str(theirs / "link.yaml"))


def test_others_may_read_what_is_theirs(profile, monkeypatch):
    os.chown(profile, NOBODY, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert load_file(System(), str(profile)).gpus == ()


@pytest.mark.parametrize(
    ("make", "why"),
    [(os.mkfifo, "it is no regular file"), (os.mkdir, "Is a directory")],
    ids=["a FIFO", "a directory"],
)
def test_no_regular_file(make, why, tmp_path):
    make(tmp_path / "odd")
    with pytest.raises(Usage, match=why):
        read_file(str(tmp_path / "odd"))
    (tmp_path / "outer.yaml").write_text("version: 1\ninclude: [odd]\ngpus: []\n")
    with pytest.raises(Usage, match=why):
        load_file(System(), str(tmp_path / "outer.yaml"))


def test_what_he_may_not_read_is_not_quoted_to_him(tmp_path, behind_sudo):
    secret, outer = tmp_path / "secret", tmp_path / "outer.yaml"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    outer.write_text(f"version: 1\ninclude: [{secret}]\ngpus: []\n")
    for path in (secret, outer):
        with pytest.raises(Usage, match="not yours to read") as told:
            load_file(System(), str(path))
        assert "7f3a" not in str(vars(told.value))


def test_what_he_may_read_is_quoted(tmp_path, behind_sudo, monkeypatch):
    monkeypatch.setattr(trusted, "guarded", lambda *_: b"")  # as if the directories of the test let him in
    (tmp_path / "open.yaml").write_text("version: 1\ngpus: [{nmae: a}]\n")
    with pytest.raises(Usage) as told:
        load_file(System(), str(tmp_path / "open.yaml"))
    assert "nmae" in str(told.value.reasons)


def test_tried_as_him(behind_sudo, tmp_path):
    assert trusted.readable_by_asker("/etc/passwd")
    assert not trusted.readable_by_asker("/etc/shadow")
    assert not trusted.readable_by_asker(str(tmp_path / "nothing"))


def test_state_in_a_directory_of_others(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    assert ensure_directory(theirs / "state") == theirs / "state"
    theirs.chmod(0o777)
    with pytest.raises(
        Refused, match=f"cannot trust {theirs / 'state'}: others than root can change {theirs}"
    ):
        ensure_directory(theirs / "state")


OUT = {
    "absolute": ("/etc/hostname", "is not below"),
    "above": ("../other.yaml", "is not below"),
    "above, in other words": ("parts/../../other.yaml", "is not below"),
    "by a link": ("link.yaml", "it leads out of"),
    "by a directory's link": ("elsewhere/other.yaml", "it leads out of"),
}


@pytest.mark.parametrize("name", OUT)
def test_includes_stay_below_the_profile(name, tmp_path):
    """Whoever may have root read a profile may not have it read any file."""
    include, words = OUT[name]
    (tmp_path / "other.yaml").write_text(SECRET)
    here = tmp_path / "here"
    (here / "parts").mkdir(parents=True)
    (here / "link.yaml").symlink_to(tmp_path / "other.yaml")
    (here / "elsewhere").symlink_to(tmp_path)
    (here / "p.yaml").write_text(f"version: 1\ninclude: [{include}]\ngpus: []\n")
    with pytest.raises(Usage) as refused:
        load_file(System(), str(here / "p.yaml"))
    told = str(refused.value) + str(refused.value.reasons)
    assert words in told and "7f3a" not in told


def test_includes_of_includes(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "p.yaml").write_text("version: 1\ninclude: [parts/a.yaml]\ngpus: []\n")
    (tmp_path / "parts/a.yaml").write_text("version: 1\ninclude: [../b.yaml]\ngpus: []\n")
    (tmp_path / "b.yaml").write_text(PROFILE)
    assert load_file(System(), str(tmp_path / "p.yaml")).gpus == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.chown(path, NOBODY, NOBODY),
        lambda path: path.chmod(0o664),
        lambda path: path.parent.chmod(0o777),
    ],
    ids=["his who is behind sudo", "of a group", "in a directory of all"],
)
def test_what_root_may_do_says_root_alone(spoil, profile, behind_sudo):
    assert System().read_order(str(profile)) == PROFILE.encode()
    spoil(profile)
    with pytest.raises(Refused, match="cannot take orders from"):
        System().read_order(str(profile))


def test_no_order_is_none(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert System().read_order(str(tmp_path / "none")) is None
    assert System().read_order(str(tmp_path / "fifo")) is None
