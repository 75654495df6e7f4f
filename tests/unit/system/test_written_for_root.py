"""What gpupass writes where a person says: for its owner alone, and through nobody's links."""

import os
import stat
from pathlib import Path

import pytest

from gpupass.errors import GpupassError, Refused, Usage
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost, environment
from gpupass.system.environment import only_ours
from gpupass.system.store import Store
from gpupass.system.texts import write_text

HOST = Path(__file__).parents[2] / "hosts/desktop"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="root is who is to be protected")


@pytest.fixture
def open_to_all():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_saved_plan_is_its_owners(tmp_path, open_to_all):
    plan = tmp_path / "plan.json"
    write_text(str(plan), "one")
    write_text(str(plan), "two")
    assert (plan.read_text(), mode(plan)) == ("two", 0o600)
    assert list(tmp_path.iterdir()) == [plan]


@pytest.mark.parametrize("what", ["link", "link to nowhere", "FIFO", "directory"])
def test_what_is_no_ordinary_file_stays_what_it_is(what, tmp_path):
    plan, other = tmp_path / "plan.json", tmp_path / "other"
    other.write_text("theirs")
    make = {
        "link": lambda: plan.symlink_to(other),
        "link to nowhere": lambda: plan.symlink_to(tmp_path / "nowhere"),
        "FIFO": lambda: os.mkfifo(plan),
        "directory": plan.mkdir,
    }
    make[what]()
    with pytest.raises(GpupassError, match="it is no ordinary file"):
        write_text(str(plan), "ours")
    assert other.read_text() == "theirs" and sorted(tmp_path.iterdir()) == [other, plan]


def test_a_record_is_its_owners(tmp_path, open_to_all):
    """Names of processes, serial numbers, domains."""
    where = tmp_path / "new" / "record"
    record_host(RecordedHost(HOST), where, "qemu:///system")
    assert mode(where) == 0o700
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o777)
    record_host(RecordedHost(HOST), empty, "qemu:///system")
    assert mode(empty) == 0o700 and (empty / "proc").is_dir()
    with pytest.raises(Usage, match="is not empty"):
        record_host(RecordedHost(HOST), empty, "qemu:///system")


@ROOT
def test_a_record_is_not_written_where_others_could_leave_links(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with pytest.raises(Refused, match="somebody else's"):
        record_host(RecordedHost(HOST), theirs, "qemu:///system")
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(GpupassError, match="cannot record into"):
        record_host(RecordedHost(HOST), link, "qemu:///system")
    assert list(theirs.iterdir()) == []


def test_a_record_stays_where_it_was_begun(tmp_path):
    """Its directory may be moved away meanwhile, and a link be left in its place."""
    where, victim = tmp_path / "record", tmp_path / "victim"
    victim.mkdir()
    store = Store(RecordedHost(HOST), where)
    where.rename(tmp_path / "moved")
    where.symlink_to(victim)
    store.text("/etc/modprobe.d/recorded.conf", "")
    store.close()
    assert list(victim.iterdir()) == [] and (tmp_path / "moved/etc/modprobe.d/recorded.conf").exists()


def test_what_root_takes_over_from_its_caller(monkeypatch, open_to_all):
    monkeypatch.setenv("LIBVIRT_LOG_OUTPUTS", "1:file:/etc/cron.d/x")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu+ext:///system?command=/x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    only_ours()
    assert os.environ["LIBVIRT_DEFAULT_URI"] and os.umask(0) == 0
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    only_ours()
    assert not [name for name in os.environ if name.startswith("LIBVIRT_")] and os.environ["LANG"]
    assert os.umask(0) == 0o077
