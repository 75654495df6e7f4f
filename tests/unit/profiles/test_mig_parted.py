"""mig-parted's files are read as they are; what is wrong with one is told with its place."""

import pytest

from gpupass.errors import Usage
from gpupass.importing.mig import layout_of
from gpupass.importing.mig_parted import read_mig_configs
from gpupass.methods.mig.layouts import named_layout
from gpupass.methods.mig.recut import plan_recut
from gpupass.profiles import ProfileInvalid
from tests.mig_boards import board

# written after the format that mig-parted documents (README, "Configuration file")
SAMPLE = """\
version: v1
mig-configs:
  all-disabled:
    - devices: all
      mig-enabled: false

  all-enabled:
    - devices: all
      mig-enabled: true
      mig-devices: {}

  all-balanced:
    # A100-40GB
    - device-filter: ["0x20B010DE", "0x20B110DE"]
      devices: all
      mig-enabled: true
      mig-devices:
        "1g.5gb": 2
        "2g.10gb": 1
        3g.20gb: 1
    # A30
    - device-filter: "0x20B710DE"
      devices: all
      mig-enabled: true
      mig-devices: {"1g.6gb": 2, "2g.12gb": 1}

  mixed:
    - devices: [0, 1]
      mig-enabled: false
    - devices: [2]
      mig-enabled: true
      mig-devices:
        "1g.5gb+me": 1
        "1g.5gb": 0
"""
A100, A30, H100 = 0x20B010DE, 0x20B710DE, 0x233010DE


def config(name):
    return next(config for config in read_mig_configs("sample.yaml", SAMPLE) if config.name == name)


def profiles(entry):
    return list(entry.devices_wanted)


def test_names_in_the_order_of_the_file():
    names = [config.name for config in read_mig_configs("sample.yaml", SAMPLE)]
    assert names == ["all-disabled", "all-enabled", "all-balanced", "mixed"]


def test_mode_off_is_no_empty_layout():
    assert config("all-disabled").entry_for(0, A100).devices_wanted is None
    assert config("all-enabled").entry_for(7, H100).devices_wanted == ()


def test_each_board_gets_its_own():
    balanced = config("all-balanced")
    assert profiles(balanced.entry_for(0, A100)) == ["1g.5gb", "1g.5gb", "2g.10gb", "3g.20gb"]
    assert profiles(balanced.entry_for(5, A30)) == ["1g.6gb", "1g.6gb", "2g.12gb"]
    assert balanced.entry_for(0, H100) is None


@pytest.mark.parametrize(("name", "pci_ids"), [("A100-40", A100), ("A30", A30)])
def test_its_balanced_layout_is_ours(name, pci_ids):
    entry = config("all-balanced").entry_for(0, pci_ids)
    gpu = board(name)
    assert sorted(profiles(entry)) == sorted(one.profile for one in named_layout("balanced", gpu))
    assert not plan_recut(gpu, tuple(layout_of(entry.devices_wanted))).refusals


def test_each_gpu_gets_its_own():
    mixed = config("mixed")
    assert mixed.entry_for(1, A100).devices_wanted is None
    assert profiles(mixed.entry_for(2, A100)) == ["1g.5gb+me"]
    assert mixed.entry_for(3, A100) is None


@pytest.mark.parametrize(
    ("devices", "layout"),
    [
        ("{1c.3g.20gb: 3}", [("3g.20gb", (1, 1, 1))]),
        ("{1c.3g.20gb: 4, 1g.5gb: 1}", [("1g.5gb", None), ("3g.20gb", (1, 1, 1)), ("3g.20gb", (1,))]),
        ("{2c.3g.20gb: 2, 1c.3g.20gb: 2}", [("3g.20gb", (2, 1))] * 2),
        ("{1c.1g.5gb+me: 1, 2c.4g.20gb: 2}", [("1g.5gb+me", None), ("4g.20gb", (2, 2))]),
        ("{5c.3g.20gb: 1}", [("3g.20gb", (5,))]),
    ],
)
def test_compute_instances_share_a_gpu_instance(devices, layout):
    text = f"version: v1\nmig-configs:\n  c:\n    - {{devices: all, mig-enabled: true, mig-devices: {devices}}}\n"
    (found,) = read_mig_configs("c.yaml", text)
    entries = layout_of(found.entry_for(0, A100).devices_wanted)
    assert [(one.profile, one.compute) for one in entries] == layout


def test_the_last_entry_has_the_last_word():
    text = "version: v1\nmig-configs:\n  c:\n    - {devices: all, mig-enabled: true, mig-devices: {}}\n    - {devices: [1], mig-enabled: false}\n"
    (found,) = read_mig_configs("c.yaml", text)
    assert found.entry_for(0, A100).devices_wanted == () and found.entry_for(1, A100).devices_wanted is None


ENTRY = "version: v1\nmig-configs:\n  c:\n    - "
ERRORS = {
    "empty": ("", "c.yaml:1:1: the file is empty"),
    "no-version": ("mig-configs: {}\n", "c.yaml:1:1: missing key 'version': version of the format"),
    "version": ("version: v2\nmig-configs: {}\n", "c.yaml:1:10: version: 'v2' is none of v1"),
    "typo": (ENTRY + "{devices: all, mig-enable: true}\n", "c.yaml:4:22: unknown key 'mig-enable', did you mean 'mig-enabled'?"),
    "no-mode": (ENTRY + "{devices: all}\n", "c.yaml:4:7: missing key 'mig-enabled': MIG mode on or off"),
    "devices": (ENTRY + "{devices: some, mig-enabled: true, mig-devices: {}}\n", "c.yaml:4:17: devices: 'some' does not fit: all, or the numbers of the GPUs"),
    "all-and-one": (ENTRY + "{devices: [all, 1], mig-enabled: true, mig-devices: {}}\n", "c.yaml:4:17: devices: 'all' and single numbers exclude each other"),
    "mode-off": (ENTRY + "{devices: all, mig-enabled: false, mig-devices: {1g.5gb: 1}}\n", "c.yaml:4:55: mig-devices: there are none with MIG mode off"),
    "text-for-a-number": (ENTRY + "{devices: all, mig-enabled: true, mig-devices: {1g.5gb: two}}\n", "c.yaml:4:63: count: expected a number, not the text 'two'"),
    "negative": (ENTRY + "{devices: all, mig-enabled: true, mig-devices: {1g.5gb: -1}}\n", "c.yaml:4:63: count: must be at least 0, not -1"),
    "far-too-many": (ENTRY + "{devices: all, mig-enabled: true, mig-devices: {1g.5gb: 99999999}}\n", "c.yaml:4:63: count: no GPU has room for 99999999 instances"),
    "compute": (ENTRY + "{devices: all, mig-enabled: true, mig-devices: {1x.3g.20gb: 3}}\n", "c.yaml:4:55: profile: '1x.3g.20gb' does not fit: a GPU instance like 1g.5gb or 1g.5gb+me, or a compute instance like 1c.3g.20gb"),
    "filter": (ENTRY + "{device-filter: 20B0, devices: all, mig-enabled: true, mig-devices: {}}\n", "c.yaml:4:23: device-filter: '20B0' does not fit: 0x and eight hex digits, or two of them with ':' between"),
    "nothing said": (ENTRY + "{devices: all, mig-enabled: true}\n", "c.yaml:4:7: missing key 'mig-devices': with MIG mode on it says what there is to be"),
    "all in a list": (ENTRY + "{devices: [all], mig-enabled: false}\n", "c.yaml:4:17: devices: 'all' stands alone, in no list"),
    "a number alone": (ENTRY + "{devices: 0, mig-enabled: false}\n", "c.yaml:4:17: devices: numbers stand in a list"),
    "all counts 0": (ENTRY + "{devices: all, mig-enabled: true, mig-devices: {1g.5gb: 0}}\n", "c.yaml:4:54: mig-devices: all counts are 0"),
    "one-entry-is-no-list": ("version: v1\nmig-configs:\n  c: {devices: all, mig-enabled: true}\n", "c.yaml:3:6: entries: expected a list, not a mapping"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(text, message):
    with pytest.raises(ProfileInvalid) as raised:
        read_mig_configs("c.yaml", text)
    assert message in [found for found, _ in raised.value.findings]


@pytest.mark.parametrize(
    ("filters", "board", "speaks"),
    [
        ('"0x20B010DE:0x87AF1043"', 0x87AF1043, True),
        ('"0x20B010DE:0x87AF1043"', 0x000010DE, False),
        ('"0x20B010DE:0x87AF1043"', None, False),
        ('["0x20B710DE", "0x20b010de"]', None, True),
        ('""', None, True),
    ],
)
def test_a_filter_may_name_the_board(filters, board, speaks):
    text = f"version: v1\nmig-configs:\n  c:\n    - {{device-filter: {filters}, devices: all, mig-enabled: false}}\n"
    (found,) = read_mig_configs("c.yaml", text)
    assert (found.entry_for(0, A100, board) is not None) is speaks


def test_a_config_map_says_what_to_take_out_of_it():
    text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n    version: v1\n"
    with pytest.raises(Usage, match="ConfigMap") as raised:
        read_mig_configs("c.yaml", text)
    assert "data.config" in raised.value.hint
