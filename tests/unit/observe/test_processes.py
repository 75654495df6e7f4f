"""Device nodes → the functions they stand for."""

from pathlib import Path

from gpupass.model.user import UserKind
from gpupass.observe import observe
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

GPU, AUDIO = "0000:01:00.0", "0000:01:00.1"


def _tree(root: Path, node: str, driver: str = "vfio-pci") -> HostTree:
    tree = HostTree(root)
    tree.function(Function(address=GPU, ids="10de:2204", class_code=0x030000, driver=driver, group=7))
    tree.function(Function(address=AUDIO, ids="10de:1aef", class_code=0x040300, driver=driver, group=7))
    tree.answers("holders", {"holders": [{"pid": 7, "name": "qemu", "node": node}], "unseen": []})
    return tree


def _held(tree: HostTree) -> list[str]:
    host = observe(RecordedHost(str(tree.root)), connect=None)
    return [d.address for d in host.devices if any(u.kind is UserKind.PROCESS for u in d.users)]


def test_a_vfio_group_stands_for_all_members(tmp_path: Path) -> None:
    assert _held(_tree(tmp_path, "/dev/vfio/7")) == [GPU, AUDIO]


def test_a_vfio_character_device_stands_for_one(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "/dev/vfio/devices/vfio0")
    tree.link(f"{tree.path(AUDIO)}/vfio-dev/vfio0/device", tree.path(AUDIO))
    tree.link("/sys/class/vfio-dev/vfio0", f"{tree.path(AUDIO)}/vfio-dev/vfio0")
    assert _held(tree) == [AUDIO]


def test_a_display_node(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "/dev/dri/renderD128", driver="nouveau")
    tree.link(f"{tree.path(GPU)}/drm/renderD128/device", tree.path(GPU))
    tree.link("/sys/class/drm/renderD128", f"{tree.path(GPU)}/drm/renderD128")
    assert _held(tree) == [GPU]


def test_an_nvidia_node_by_its_minor(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "/dev/nvidia3", driver="nvidia")
    tree.file(f"/proc/driver/nvidia/gpus/{GPU}/information", "Device Minor: \t 3\n")
    assert _held(tree) == [GPU]


def test_nodes_that_all_gpus_share_are_nobodys(tmp_path: Path) -> None:
    assert _held(_tree(tmp_path, "/dev/nvidiactl", driver="nvidia")) == []
