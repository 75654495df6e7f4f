"""The driver that would bind."""

from pathlib import Path

import pytest

from gpupass.observe import observe
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

GPU = "0000:01:00.0"
ALIASES = """\
# Aliases extracted from modules themselves.
alias pci:v000010DEd*sv*sd*bc03sc*i* nouveau
alias pci:v000010DEd*sv*sd*bc03sc00i00* nvidia
alias pci:v00008086d00001533sv*sd*bc*sc*i* igb
alias pci:v*d*sv*sd*bc0Csc03i30* xhci_pci
"""


def _tree(root: Path, **function: object) -> HostTree:
    tree = HostTree(root)
    tree.kernel("6.1")
    tree.file("/lib/modules/6.1/modules.alias", ALIASES)
    values = {"address": GPU, "ids": "10de:2204", "class_code": 0x030000, "driver": "vfio-pci", **function}
    tree.function(Function(**values))
    return tree


def _host_driver(tree: HostTree) -> str | None:
    return observe(RecordedHost(str(tree.root)), connect=None).devices[0].facts.host_driver


def test_the_first_alias_binds(tmp_path: Path) -> None:
    assert _host_driver(_tree(tmp_path)) == "nouveau"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/modprobe.d/x.conf", "blacklist nouveau\n"),
        ("/proc/cmdline", "ro modprobe.blacklist=nouveau,foo"),
    ],
)
def test_blacklisted(tmp_path: Path, path: str, text: str) -> None:
    tree = _tree(tmp_path)
    tree.file(path, text)
    assert _host_driver(tree) == "nvidia"


def test_a_loaded_driver_wins_and_gives_its_own_name(tmp_path: Path) -> None:
    tree = _tree(tmp_path, class_code=0x0C0330, ids="1b73:1100")
    tree.file("/sys/module/xhci_pci/initstate", "live\n")
    tree.link("/sys/bus/pci/drivers/xhci_hcd/module", "/sys/module/xhci_pci")
    assert _host_driver(tree) == "xhci_hcd"


def test_a_host_driver_at_work_is_the_answer(tmp_path: Path) -> None:
    assert _host_driver(_tree(tmp_path, driver="nvidia")) == "nvidia"


def test_nobody(tmp_path: Path) -> None:
    assert _host_driver(_tree(tmp_path, ids="1234:11e8", class_code=0x00FF00, driver=None)) is None


def test_built_in(tmp_path: Path) -> None:
    tree = _tree(tmp_path, ids="1234:1111", class_code=0x038000)
    entry = "bochs.alias=pci:v00001234d00001111sv*sd*bc*sc*i*\0bochs.license=GPL\0"
    tree.file("/lib/modules/6.1/modules.builtin.modinfo", entry)
    assert _host_driver(tree) == "bochs"
