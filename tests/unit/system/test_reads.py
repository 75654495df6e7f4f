"""Reads that never return are left behind with their child; the rest is read."""

import os
import threading
import time
from pathlib import Path

import pytest

from gpupass.errors import NotClean
from gpupass.observe import observe
from gpupass.system import System, patience, reading_child, reads
from gpupass.system.may_hang import may_hang, owner
from gpupass.system.reading_child import ReadingChild, Unread
from tests.host_tree import Function, HostTree

GPU, OTHER = "0000:01:00.0", "0000:02:00.0"


@pytest.fixture(autouse=True)
def hangs(monkeypatch, tmp_path):
    """Parts of paths at which the kernel hangs, in children made from now on; until there is a file `well`."""
    real, words = reading_child.read_regular, []

    def read(path, limit, *, follow):
        if any(word in path for word in words) and not (tmp_path / "well").exists():
            time.sleep(600)
        if path.endswith("kills"):
            os._exit(9)
        return real(path, limit, follow=follow)

    monkeypatch.setattr(reading_child, "read_regular", read)
    monkeypatch.setattr(reads, "_SECONDS", 2.0)
    monkeypatch.setattr(patience, "_lost", [])
    return words


def test_bytes_and_what_cannot_be_read(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    (tmp_path / "small").write_bytes(b"one")
    (tmp_path / "kills").touch()
    os.mkfifo(tmp_path / "fifo")
    paths = [str(tmp_path / name) for name in ("small", "nothing", "large", "fifo", "kills", "small")]
    child = ReadingChild()
    lengths = [answer and len(answer) for answer in child.read(paths, 1 << 20, lambda: 20)]
    assert lengths == [3, None, 300_000, None, None, 3]
    assert list(child.read([paths[2]], 7, lambda: 20)) == [b"x" * 7]


def test_many_at_once_and_by_threads(tmp_path):
    paths = [tmp_path / str(number) for number in range(200)]
    for path in paths:
        path.write_text(path.name)
    child, found = ReadingChild(), []

    def read():
        found.append([int(answer) for answer in child.read([str(path) for path in paths], 100, lambda: 20)])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [list(range(200))] * 4


def test_one_that_hangs_keeps_no_other(hangs, tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "stuck", "b")]
    for path in paths:
        Path(path).write_text(path[-1])
    hangs.append("/stuck")
    a, stuck, b = ReadingChild().read(paths, 9, lambda: 0.2)
    assert (a, b) == (b"a", b"b") and isinstance(stuck, Unread)
    assert stuck.message == f"{paths[1]} does not answer (asked for 0.2 s)"


@pytest.fixture
def system(tmp_path):
    tree = HostTree(tmp_path)
    tree.kernel()
    tree.iommu()
    for number, address in enumerate((GPU, OTHER)):
        function = Function(
            address=address,
            ids="10de:2204",
            class_code=0x030000,
            driver="nouveau",
            group=number,
            sriov=(4, 3),
        )
        tree.function(function)
    made = System(tmp_path / "state")
    made.root = str(tmp_path)
    return made


def test_a_look_says_what_is_silent_and_shows_the_rest(hangs, system, tmp_path):
    hangs += [f"/{GPU}/uevent", f"/{GPU}/config", f"/{GPU}/driver_override"]
    began = time.monotonic()
    host = observe(system, connect=None, processes=False, names=False)
    assert time.monotonic() - began < 10
    silent = [note for note in host.unseen if "does not answer" in note]
    assert len(silent) == 1 and f"{GPU}/uevent does not answer (asked for 2 s)" in silent[0]
    stuck, well = host.devices
    assert (stuck.address, stuck.ids, stuck.driver) == (GPU, "10de:2204", "nouveau")
    assert (stuck.facts.responds, well.facts.responds) == (False, True)
    (tmp_path / "well").touch()
    assert not observe(system, connect=None, processes=False, names=False).unseen, "the next look asks again"


def test_a_change_takes_no_silence_for_an_answer(hangs, system):
    hangs.append(f"/{GPU}/sriov_numvfs")
    with pytest.raises(NotClean, match="sriov_numvfs does not answer") as silent:
        system.read(f"/sys/bus/pci/devices/{GPU}/sriov_numvfs")
    assert silent.value.addresses == (GPU,)
    with pytest.raises(NotClean):
        system.read(f"/sys/bus/pci/devices/{GPU}/driver_override")
    assert system.read(f"/sys/bus/pci/devices/{OTHER}/sriov_numvfs") == "3"


def test_all_patience_together():
    waited = []
    for _ in range(4):
        waited.append(patience.patience(5))
        patience.lost(waited[-1])
    assert waited == [5, 5, 3, 1]


@pytest.mark.parametrize(
    ("path", "may", "of"),
    [
        (f"/sys/bus/pci/devices/{GPU}/config", True, f"/sys/bus/pci/devices/{GPU}"),
        (f"/sys/bus/pci/devices/{GPU}/nvidia/vgpu_params", True, f"/sys/bus/pci/devices/{GPU}"),
        (f"/sys/bus/pci/devices/{GPU}/vendor", False, f"/sys/bus/pci/devices/{GPU}"),
        ("/proc/17/maps", True, "/proc/17"),
        ("/proc/meminfo", False, "/proc"),
        (f"/proc/driver/nvidia/gpus/{GPU}/information", True, f"/proc/driver/nvidia/gpus/{GPU}"),
        ("/etc/os-release", False, "/etc"),
    ],
)
def test_which_may_hang(path, may, of):
    assert (may_hang(path), owner(path)) == (may, of)
