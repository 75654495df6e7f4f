"""mig-parted's file, unchanged → a profile of this host."""

import pytest
from click.testing import CliRunner

from gpupass.cli.main import cli
from tests.host_tree import Function, HostTree
from tests.profile_files import load

CONFIGS = """\
version: v1
mig-configs:
  all-disabled:
    - devices: all
      mig-enabled: false
  mixed:
    - devices: [0]
      mig-enabled: true
      mig-devices: {"1g.5gb": 2, "3g.20gb": 1}
    - device-filter: ["0x233010DE"]
      devices: all
      mig-enabled: true
      mig-devices:
        "1g.10gb+me": 1
  elsewhere:
    - devices: [7]
      mig-enabled: true
      mig-devices: {}
"""


@pytest.fixture
def arguments(tmp_path):
    tree = HostTree(tmp_path / "host")
    for address, ids in (
        ("0000:01:00.0", "10de:20b0"),
        ("0000:02:00.0", "10de:2330"),
        ("0000:03:00.0", "10de:1eb8"),
        ("0000:04:00.0", "1002:687f"),
    ):
        tree.function(Function(address=address, ids=ids, class_code=0x030200, driver="nvidia"))
        if ids.startswith("10de"):
            text = f"GPU UUID: \t GPU-{address[5:7]}\n"
            tree.file(f"/proc/driver/nvidia/gpus/{address}/information", text)
    (tmp_path / "mig.yaml").write_text(CONFIGS)
    return ["profile", "import-mig", str(tmp_path / "mig.yaml"), "--host", str(tmp_path / "host")]


def run(*arguments):
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_a_config(arguments):
    printed = run(*arguments, "--config", "mixed")
    assert printed.exception is None and printed.stdout == (
        "version: 1\n"
        "gpus:\n"
        "- name: gpu0\n"
        "  select: {uuid: GPU-01}\n"
        "  use: mig\n"
        "  layout: [1g.5gb, 1g.5gb, 3g.20gb]\n"
        "- name: gpu1\n"
        "  select: {uuid: GPU-02}\n"
        "  use: mig\n"
        "  layout: [1g.10gb+me]\n"
    )
    assert len(load(printed.stdout).gpus) == 2
    off = run(*arguments, "--config", "all-disabled").stdout
    assert off.count("use: host") == 3


def test_which_one(arguments):
    several = run(*arguments).exception
    assert several.message == (
        "cannot choose: several configs are in this file: all-disabled, mixed, elsewhere"
    )
    assert "has no config mixd: all-disabled" in run(*arguments, "--config", "mixd").exception.message
    none = run(*arguments, "--config", "elsewhere").exception
    assert none.message == "cannot import elsewhere: it speaks of no GPU that this host has"
    assert {several.exit_code, none.exit_code} == {2}


def test_what_is_wrong_with_the_file(arguments, tmp_path):
    (tmp_path / "mig.yaml").write_text(CONFIGS.replace("version: v1", "version: v9"))
    assert ":1:10: version: 'v9' is none of v1" in run(*arguments).exception.message
    (tmp_path / "mig.yaml").write_text("version: v1\nmig-configs: {}\n")
    assert run(*arguments).exception.message == "cannot choose: this file has no configs"
