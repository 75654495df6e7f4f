"""Who has a device node open or mapped, from /proc."""

import pytest

from gpupass.system import RecordedHost
from gpupass.system.holders import holders, vfio_holders


@pytest.fixture
def proc(tmp_path):
    def process(pid, name, *nodes, maps=""):
        directory = tmp_path / "proc" / str(pid)
        (directory / "fd").mkdir(parents=True)
        (directory / "comm").write_text(f"{name}\n")
        (directory / "maps").write_text(maps)
        for number, node in enumerate(nodes):
            (directory / "fd" / str(number)).symlink_to(node)

    process(10, "sh", "/dev/null", "pipe:[1]")
    process(11, "qemu", "/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/7", "anon_inode:[vfio-device]")
    process(12, "python", "/dev/nvidiactl", maps="7f-80 rw-s 0 00:06 12   /dev/nvidia0 (deleted)\n")
    process(13, "mapped", maps="7f-80 rw-s 0 00:06 12    /dev/dri/renderD128\n7f-80 r--p 0 0 1  /lib/x\n")
    process(14, "cdev", "/dev/vfio/devices/vfio3")
    (tmp_path / "proc" / "self").mkdir()
    (tmp_path / "proc" / "15").mkdir()  # it ends while being looked at
    cdev = tmp_path / "sys/bus/pci/devices/0000:01:00.0/vfio-dev/vfio3"
    cdev.mkdir(parents=True)
    return RecordedHost(str(tmp_path))


def test_nodes_open_or_mapped(proc):
    assert [(h.pid, h.name, h.node) for h in holders(proc)] == [
        (11, "qemu", "/dev/vfio/7"),
        (11, "qemu", "/dev/vfio/vfio"),
        (12, "python", "/dev/nvidia0"),
        (12, "python", "/dev/nvidiactl"),
        (13, "mapped", "/dev/dri/renderD128"),
        (14, "cdev", "/dev/vfio/devices/vfio3"),
    ]


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
def test_who_has_a_group_or_a_functions_character_device(group, addresses, found, proc):
    assert [holder.pid for holder in vfio_holders(proc, group, addresses)] == found
