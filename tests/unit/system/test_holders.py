"""Who has a device node open or mapped: a node is its number, whatever a process, or who made it, calls it."""

import ctypes
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpupass.system import System
from gpupass.system import opened as looked_at
from gpupass.system.holders import (
    Holder,
    gpu_holders,
    holders,
    known_nodes,
    listed,
    process_name,
    vfio_holders,
)
from tests.simulated import Machine

ZERO = (1, 5)
NOT_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes and mounts")


class Tree(System):
    """The files of a host, with the real processes of this one."""

    def __init__(self, files):
        super().__init__()
        self.files = files

    def read(self, path):
        return (
            super().read(path)
            if path.startswith("/proc/") and path not in self.files
            else self.files.get(path)
        )

    def names(self, path):
        below = {name[len(path) + 1 :].split("/")[0] for name in self.files if name.startswith(f"{path}/")}
        return super().names(path) if path == "/proc" else tuple(sorted(below))


@contextmanager
def running(code, **how):
    """A process that has begun; it ends with this."""
    script = f"import os, sys\n{code}\nprint(flush=True)\nsys.stdin.read()"
    argv = [*how.pop("before", []), sys.executable, "-I", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how) as process:
        assert process.stdout.readline() == b"\n"
        yield process
        process.stdin.close()


def nodes_of(tree):
    return known_nodes(tree, listed(tree))


def pids(found):
    return {holder.pid for holder in found}


@NOT_ROOT
def test_a_node_under_another_name_is_the_same_node(tmp_path):
    """As docker run --device /dev/dri/renderD128:/dev/x has it."""
    node = tmp_path / "x"
    os.mknod(node, 0o20600, os.makedev(*ZERO))
    with running(f"os.open({str(node)!r}, os.O_RDONLY)") as process:
        assert list(holders(System(), {ZERO: "/dev/zero"})) == [
            Holder(pid=process.pid, name=process_name(System(), process.pid), node="/dev/zero")
        ]
        node.unlink()
        assert pids(holders(System(), {ZERO: "/dev/zero"})) == {process.pid}


@NOT_ROOT
def test_a_disk_is_no_character_device_of_its_number(tmp_path):
    """7:200 is a loop device nobody has, and a terminal's copy among the characters."""
    tree = Tree({"/sys/class/block/loop200/dev": "7:200"})
    disk = tmp_path / "disk"
    subprocess.run(["mknod", disk, "b", "7", "200"], check=True)
    with running(f"os.open({str(disk)!r}, os.O_PATH)") as process:
        assert process.pid in pids(holders(System(), known_nodes(tree, {"block": ("loop200",)})))
        assert process.pid not in pids(holders(System(), {(7, 200): "/dev/vcsa72"}))


FORGED = {
    "a program of that name": "pass",
    "a file of that name": "open('vfio-13', 'w'); os.open('vfio-13', os.O_RDONLY)",
    "a node of another number": "os.open('null', os.O_RDONLY)",
}


@NOT_ROOT
@pytest.mark.parametrize("what", FORGED)
def test_a_name_is_nothing(what, tmp_path):
    """In a mount namespace of their own users have a /dev/vfio/13 that is a file, or a program."""
    (tmp_path / "dev").mkdir()
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    code = f"os.chdir({str(tmp_path)!r}); {FORGED[what]}"
    forge = "mount -t tmpfs none /dev/shm && mkdir -p /dev/shm/vfio && touch /dev/shm/vfio/13 && exec 3</dev/shm/vfio/13"
    before = ["unshare", "-m", "sh", "-ec", f'{forge}; exec "$@"', "sh"]
    with running(code, before=before) as process:
        assert process.pid not in pids(holders(System(), {(511, 13): "/dev/vfio/13"}))
        assert process.pid not in pids(holders(System(), {ZERO: "/dev/zero"}))


def test_a_mapping_outlives_its_descriptor(monkeypatch):
    """Only what is shared is looked at: no driver lets a device be mapped privately."""
    code = (
        "import mmap, tempfile\nfile = tempfile.TemporaryFile()\nfile.truncate(4096)\n"
        "kept = mmap.mmap(file.fileno(), 4096)\nfile.close()"
    )
    asked = []
    monkeypatch.setattr(looked_at, "_number", asked.append)
    with running(code) as process:
        looked_at.opened(f"/proc/{process.pid}", 1 << 20)
        mapped = [path for path in asked if "/map_files/" in path]
        assert mapped and all(os.path.lexists(path) for path in mapped)


def test_a_file_system_of_somebodys_own_is_not_asked(monkeypatch):
    """Its program might never answer: AT_STATX_DONT_SYNC."""
    flags = []

    class Libc:
        def statx(self, directory, path, how, mask, about):
            flags.append(how)
            return ctypes.CDLL(None).statx(directory, path, how, mask, about)

    monkeypatch.setattr(looked_at, "_libc", Libc)
    with Path("/dev/zero").open() as file:
        assert looked_at._number(f"/proc/self/fd/{file.fileno()}") == ZERO
    assert flags == [0x4000]


NODES = {
    "/sys/class/vfio/7/dev": "511:3",
    "/sys/class/vfio-dev/vfio3/dev": "510:3",
    "/sys/class/drm/renderD128/dev": "226:128",
    "/sys/class/drm/version": "drm 1.1.0",
    "/sys/class/accel/accel0/dev": "261:0",
    "/proc/devices": "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n235 nvidia-uvm\n\nBlock devices:\n  8 sd",
}


def test_numbers_come_from_the_drivers_own_files():
    found = nodes_of(Tree(NODES))
    assert {number: node for number, node in found.items() if number[0] != 195} == {
        (511, 3): "/dev/vfio/7",
        (510, 3): "/dev/vfio/devices/vfio3",
        (226, 128): "/dev/dri/renderD128",
        (261, 0): "/dev/accel/accel0",
    }
    assert found[195, 0] == "/dev/nvidia0" and found[195, 255] == "/dev/nvidiactl"
    assert nodes_of(Tree({})) == {}
    frontend = nodes_of(Tree({"/proc/devices": "Character devices:\n195 nvidia-frontend\n"}))
    assert frontend[195, 1] == "/dev/nvidia1"
    assert nodes_of(Tree({"/sys/class/drm/card0/dev": "x:1", "/proc/devices": "235 nvidia-uvm"})) == {}


@pytest.mark.parametrize(
    ("group", "addresses", "found"),
    [
        (7, (), [11]),
        (7, ("0000:01:00.0",), [11, 14]),
        (8, ("0000:01:00.0",), [14]),
        (8, ("0000:02:00.0",), []),
        (70, (), []),
    ],
)
def test_who_has_a_group_or_a_functions_character_device(group, addresses, found, tmp_path):
    machine = Machine(tmp_path / "state")
    machine.process("sh", "/dev/null", 10)
    for node in ("/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/7", "anon_inode:[vfio-device]"):
        machine.process("qemu", node, 11)
    machine.process("cdev", "/dev/vfio/devices/vfio3", 14)
    machine.put("/proc/15/comm", "ends while it is looked at\n")
    machine.put("/sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio3/dev", "")
    assert [holder.pid for holder in vfio_holders(machine, group, addresses)] == found


def test_who_has_an_nvidia_gpu(tmp_path):
    machine = Machine(tmp_path / "state")
    machine.put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Device Minor: \t 1\n")
    for number in (0, 1):
        machine.process("python", f"/dev/nvidia{number}", 20 + number)
    assert [(h.pid, h.node) for h in gpu_holders(machine, "0000:01:00.0")] == [(21, "/dev/nvidia1")]
    assert gpu_holders(machine, "0000:02:00.0") == ()
