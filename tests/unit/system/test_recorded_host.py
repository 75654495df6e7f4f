"""A recorded host from a stranger: nothing leads out of it, nothing in it waits, and it has no writers."""

import os
from pathlib import Path

import pytest

from gpupass.errors import Usage
from gpupass.system import Reader, RecordedHost, System


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_text("secret\n")
    top = tmp_path / "host"
    (top / "sys/devices/gpu").mkdir(parents=True)
    (top / "sys/bus").mkdir()
    (top / "sys/devices/gpu/vendor").write_text("0x10de\n")
    (top / "sys/bus/gpu").symlink_to("../devices/gpu")
    return top


def test_links_within_it_are_followed(tree):
    host = RecordedHost(tree)
    (tree / "sys/absolute").symlink_to("/sys/bus/gpu/vendor")
    assert host.read("/sys/bus/gpu/vendor") == host.read("/sys/absolute") == "0x10de"
    assert host.resolve("/sys/bus/gpu") == host.resolve("/sys/bus/../bus/./gpu") == "/sys/devices/gpu"
    assert host.names("/sys/bus/gpu") == ("vendor",) and host.names("/sys") == ("absolute", "bus", "devices")
    assert host.target("/sys/bus/gpu") == "../devices/gpu" and host.link("/sys/bus/gpu") == "gpu"
    assert host.exists("/sys/bus/gpu/vendor") and host.exists("/") and host.recorded


@pytest.mark.parametrize("target", ["/../../out", "../../../../out", "../../../out", "/{out}"])
def test_no_link_leads_out_of_it(target, tree, tmp_path):
    host = RecordedHost(tree)
    (tree / "sys/bus/away").symlink_to(target.format(out=tmp_path / "out"))
    assert host.read("/sys/bus/away/secret") is None and host.names("/sys/bus/away") == ()
    assert host.resolve("/sys/bus/away/secret") is None and not host.exists("/sys/bus/away/secret")
    assert host.read("/../../out/secret") is host.read("/sys/../../out/secret") is None


def test_a_directory_that_becomes_a_link_is_not_followed(tree, tmp_path):
    host = RecordedHost(tree)
    assert host.resolve("/sys/devices/gpu/vendor") == "/sys/devices/gpu/vendor"
    (tree / "sys/devices/gpu/vendor").unlink()
    (tree / "sys/devices/gpu").rmdir()
    (tree / "sys/devices/gpu").symlink_to(tmp_path / "out")
    assert host.read("/sys/devices/gpu/secret") is None


def test_odd_files_neither_hang_nor_crash(tree):
    os.mkfifo(tree / "sys/fifo")
    (tree / "sys/round").symlink_to("round")
    (tree / "sys/one").symlink_to("two/x")
    (tree / "sys/two").symlink_to("one/x")
    (tree / "sys/device").symlink_to("/dev/zero")
    (tree / "sys/large").write_bytes(b"")
    os.truncate(tree / "sys/large", 1 << 40)
    host = RecordedHost(tree)
    for name in (
        "fifo",
        "round",
        "one",
        "device",
        "devices",
        "nothing",
        "large/x",
        "\0",
        "\ud800",
        "x" * 5000,
    ):
        assert host.read(f"/sys/{name}") is None, name
        assert host.names(f"/sys/{name}") in ((), ("gpu",)), name
        host.exists(f"/sys/{name}"), host.target(f"/sys/{name}"), host.resolve(f"/sys/{name}")
    assert len(host.read_bytes("/sys/large", 1 << 20)) == 1 << 20
    assert not host.exists("/sys/round")


def held():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_directories_take_few_descriptors(tree):
    for number in range(300):
        (tree / f"sys/devices/{number}").mkdir()
        (tree / f"sys/devices/{number}/vendor").write_text(str(number))
    host, before = RecordedHost(tree), held()
    assert [host.read(f"/sys/devices/{number}/vendor") for number in range(300)] == [
        str(n) for n in range(300)
    ]
    assert held() <= before + 130


def test_it_has_no_writers(tree):
    writers = set(dir(System)) - set(dir(Reader))
    assert {"write", "write_file", "remove_file", "run", "hot_reset", "hypervisor"} <= writers
    assert not writers & set(dir(RecordedHost(tree)))


def test_what_is_no_directory(tree):
    with pytest.raises(Usage, match="Not a directory"):
        RecordedHost(tree / "sys/devices/gpu/vendor")
    with pytest.raises(Usage, match="No such file"):
        RecordedHost(tree / "nothing")
