"""Keys, types and limits: what is said of each mistake, and where."""

import pytest

from gpupass.methods import RULES
from gpupass.profiles import ProfileInvalid
from tests.profile_files import findings, load

USES = ", ".join(RULES)
HEAD = "version: 1\ngpus:\n"
SRIOV = HEAD + "  - name: nic\n    select: {slot: 3}\n    use: sriov\n    vfs: 4\n"
HOST = HEAD + "  - name: gpu\n    select: {slot: 3}\n    use: host\n"
GIVEN = HEAD + "  - name: gpu\n    select: {slot: 3}\n    use: passthrough\n"


def select(text: str) -> str:
    return HEAD + f"  - {{name: gpu, use: host, select: {{{text}}}}}\n"


WHOLE = [
    (
        GIVEN + "attachments:\n  - {domain: vm1, device: gpu, ramfb: true}\n",
        ["7:32: ramfb: a device with ramfb cannot be hot-plugged (QEMU's vfio-pci-nohotplug)"],
    ),
    ("- a\n", ["1:1: the profile: expected a mapping, not a list"]),
    ("four\n", ["1:1: the profile: expected a mapping, not the text 'four'"]),
    ("gpus: []\n", ["1:1: missing key 'version': version of the format"]),
    ("version: 2\nnews: {}\n", ["1:10: version 2 is not known: this gpupass reads version 1"]),
    ("version: 1.0\n", ["1:10: version 1.0 is not known: this gpupass reads version 1"]),
    ("version: true\n", ["1:10: version: expected a number, not the truth value true"]),
    ("version: '1'\n", ["1:10: version: expected a number, not the text '1'"]),
    ("version: 1\nrules: []\n", ["2:1: unknown key 'rules', did you mean 'gpus'?"]),
    ("version: 1\nattachment: []\n", ["2:1: unknown key 'attachment', did you mean 'attachments'?"]),
    ("version: 1\ngpus:\n", ["2:6: gpus: expected a list, not nothing"]),
    ("version: 1\ngpus: {a: b}\n", ["2:7: gpus: expected a list, not a mapping"]),
    ("version: 1\ngpus: [a]\n", ["2:8: gpus: expected a mapping, not the text 'a'"]),
    ("version: 1\nhosts: []\n", ["2:8: hosts: expected a mapping, not a list"]),
    ("version: 1\nhosts: {a: {gpu: []}}\n", ["2:13: unknown key 'gpu', did you mean 'gpus'?"]),
    ("version: 1\nhosts: {a: {version: 1}}\n", ["2:13: unknown key 'version'"]),
]
RULES = [
    (SRIOV + "    vf_count: 4\n", ["7:5: unknown key 'vf_count', did you mean 'vfs'?"]),
    (SRIOV + "    take_over: true\n", ["7:5: unknown key 'take_over', did you mean 'take-over'?"]),
    (SRIOV + "    optinal: true\n", ["7:5: unknown key 'optinal', did you mean 'optional'?"]),
    (SRIOV + "    zebra: true\n", ["7:5: unknown key 'zebra'"]),
    (GIVEN + "    vfs: 4\n", ["6:5: 'vfs' belongs to use: sriov, this rule says use: passthrough"]),
    (
        SRIOV + "    driver: x\n",
        ["7:5: 'driver' belongs to use: passthrough or host, this rule says use: sriov"],
    ),
    (HOST.replace("host", "sriov"), ["3:5: missing key 'vfs': how many virtual functions"]),
    (HOST.replace("host", "hots"), ["5:10: unknown use 'hots', did you mean 'host'?"]),
    (HOST.replace("host", "SR-IOV"), ["5:10: unknown use 'SR-IOV', did you mean 'sriov'?"]),
    (HOST.replace("host", "x"), [f"5:10: unknown use 'x': it is one of {USES}"]),
    (HOST.replace("host", ""), [f"5:9: use: expected one of {USES}, not nothing"]),
    (
        HEAD + "  - {name: a, select: {slot: 3}, usee: host}\n",
        [f"3:5: missing key 'use': {USES}", "3:34: unknown key 'usee', did you mean 'use'?"],
    ),
    (HEAD + "  - {name: a, select: {slot: 3}}\n", [f"3:5: missing key 'use': {USES}"]),
    (
        HEAD + "  - {name: a, select: {slot: 3}, vfs: x}\n",
        [
            f"3:5: missing key 'use': {USES}",
            "3:39: vfs: expected a number, not the text 'x'",
        ],
    ),
    (
        HEAD + "  - {select: {slot: 3}, use: host}\n",
        ["3:5: missing key 'name': what attachments and the command line call the device"],
    ),
    (SRIOV.replace("4", "four"), ["6:10: vfs: expected a number, not the text 'four'"]),
    (SRIOV.replace("vfs: 4", "vfs: -1"), ["6:10: vfs: must be at least 0, not -1"]),
    (SRIOV.replace("vfs: 4", "vfs: 010"), ["6:10: vfs: write '010' in plain decimal digits"]),
    (SRIOV.replace("vfs: 4", "vfs: 1:30"), ["6:10: vfs: write '1:30' in plain decimal digits"]),
    (SRIOV.replace("vfs: 4", "vfs: " + "9" * 5000), [f"6:10: vfs: '{'9' * 59}…' is too large"]),
    (SRIOV.replace("vfs: 4", "vfs: 4.0"), ["6:10: vfs: expected a number, not the number 4.0"]),
    (SRIOV + "    count: 0\n", ["7:12: count: must be at least 1, not 0"]),
    (SRIOV + "    optional: 1\n", ["7:15: optional: expected true or false, not the number 1"]),
    (SRIOV + "    vf: vfio-pci\n", ["7:9: vf: expected a mapping, not the text 'vfio-pci'"]),
    (SRIOV + "    vf: {drivers: [a]}\n", ["7:19: drivers: expected a mapping, not a list"]),
    (SRIOV + "    vf: {drivers: {a: b}}\n", ["7:20: index: expected a number, not the text 'a'"]),
    (SRIOV + "    vf: {drivers: {4: igbvf}}\n", ["7:20: drivers: there is no VF 4: vfs: 4 makes vf0 to vf3"]),
    (SRIOV + "    vf: {driver: a b}\n", ["7:18: driver: 'a b' does not fit: letters, digits, '_' or '-'"]),
    (
        HOST.replace("name: gpu", "name: 1st"),
        ["3:11: name: '1st' does not fit: a letter, then letters, digits, '.', '_' or '-'"],
    ),
    (HOST.replace("name: gpu", "name: 01:00.0"), ["3:11: name: '01:00.0' looks like a PCI address"]),
    (
        HOST.replace("name: gpu", "name: pci_0000_01_00_0"),
        ["3:11: name: 'pci_0000_01_00_0' looks like a PCI address"],
    ),
    (HOST + "    driver:\n", ["6:12: driver: expected a text, not nothing"]),
    (HOST + "    driver: [a]\n", ["6:13: driver: expected a text, not a list"]),
    (GIVEN + "    with: 02:00\n", ["6:11: with: '02:00' is no PCI address"]),
    (GIVEN + "    with: [2:0.0, x]\n", ["6:19: with: 'x' is no PCI address"]),
    (select(""), ["3:36: select: empty, but which device is meant must be said"]),
    (select("vendr: amd"), ["3:37: unknown key 'vendr', did you mean 'vendor'?"]),
    (
        select("vendor: matrox"),
        ["3:45: vendor: 'matrox' does not fit: nvidia, amd, intel, or four hex digits"],
    ),
    (
        select("part-number: 900/2"),
        ["3:50: part-number: '900/2' does not fit: letters, digits and '-', * and ? for any"],
    ),
    (select("part_number: 900"), ["3:37: unknown key 'part_number', did you mean 'part-number'?"]),
    (select("minor: -1"), ["3:44: minor: must be at least 0, not -1"]),
    (select("mig-capable: 1"), ["3:50: mig-capable: expected true or false, not the number 1"]),
    (select("address: 1f:20.0"), ["3:46: address: '1f:20.0' is no PCI address"]),
    (select("serial: ''"), ["3:45: serial: '' is no readable text"]),
    (select('serial: "a\\0b"'), ["3:45: serial: 'a\\x00b' is no readable text"]),
    (
        select("numa: x, class: gpu"),
        [
            "3:43: numa: expected a number, not the text 'x'",
            "3:53: class: 'gpu' does not fit: display, accelerator, network, storage, or hex digits of the PCI class",
        ],
    ),
]


@pytest.mark.parametrize("text, expected", WHOLE + RULES)
def test_message_and_place(text: str, expected: list[str]) -> None:
    assert findings(text) == expected


def test_all_at_once_from_top_to_bottom() -> None:
    text = SRIOV.replace("4", "four") + "    vf_count: 2\nattachments:\n  - {vm: a, device: nix/vf0}\n"
    with pytest.raises(ProfileInvalid) as raised:
        load(text)
    assert raised.value.message == "cannot use p.yaml: 5 errors"
    assert raised.value.reasons == (
        ("p.yaml:6:10: vfs: expected a number, not the text 'four'", ""),
        ("p.yaml:7:5: unknown key 'vf_count', did you mean 'vfs'?", ""),
        ("p.yaml:9:5: missing key 'domain': name of the libvirt domain", ""),
        ("p.yaml:9:6: unknown key 'vm', did you mean 'domain'?", ""),
        ("p.yaml:9:21: no rule has the name 'nix', did you mean 'nic'?", ""),
    )


def test_one_error_stands_in_the_message() -> None:
    with pytest.raises(ProfileInvalid) as raised:
        load(HOST + "    zebra: 1\n")
    assert raised.value.message == "cannot use p.yaml: p.yaml:6:5: unknown key 'zebra'"
    assert (raised.value.hint or "").startswith("known here: use, name, select, count")
    assert raised.value.reasons == ()
