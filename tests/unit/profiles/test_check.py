"""What does not fit together."""

import pytest

from tests.profile_files import findings

RULES = """version: 1
gpus:
  - {name: nic, select: {address: 01:00.0}, use: sriov, vfs: 2}
  - {name: gpu, select: {slot: 3}, use: passthrough}
  - {name: two, select: {vendor: amd}, use: passthrough, count: 2}
  - {name: own, select: {slot: 4}, use: host}
  - {name: none, select: {slot: 5}, use: sriov, vfs: 0}
  - {name: card, select: {address: 02:00.0}, use: passthrough}
attachments:
"""
CASES = [
    ("a gpu", ["gup"], ["10:27: no rule has the name 'gup', did you mean 'gpu'?"]),
    ("no suggestion", ["zebra"], ["10:27: no rule has the name 'zebra'"]),
    ("an address", ["05:00.0", "nic/vf0", "gpu", "two/1"], []),
    (
        "no part",
        ["gpu/vf"],
        ["10:27: 'gpu/vf' cannot be attached: 'gpu' says use: passthrough, and is attached as a whole"],
    ),
    (
        "no VFs",
        ["gpu/vf0"],
        ["10:27: 'gpu/vf0' cannot be attached: 'gpu' says use: passthrough, and is attached as a whole"],
    ),
    ("too many VFs", ["nic/vf2"], ["10:27: 'nic/vf2' cannot be attached: vfs: 2 makes vf0 to vf1"]),
    ("no VF at all", ["none/vf0"], ["10:27: 'none/vf0' cannot be attached: vfs: 0 makes none"]),
    (
        "shared",
        ["nic"],
        ["10:27: 'nic' cannot be attached: 'nic' says use: sriov, only its virtual functions can: nic/vf0"],
    ),
    ("the host's", ["own"], ["10:27: 'own' cannot be attached: 'own' says use: host"]),
    ("third of two", ["two/2"], ["10:27: 'two/2' cannot be attached: 'two' takes 2, counted from 0"]),
    ("two domains", ["gpu", "gpu"], ["11:27: 'gpu' is attached to two domains: to 'vm0' at p.yaml:10:5"]),
    (
        "first of one",
        ["gpu", "gpu/0"],
        ["11:27: 'gpu/0' is attached to two domains: to 'vm0' at p.yaml:10:5"],
    ),
    (
        "name and address",
        ["card", "0000:02:00.0"],
        ["11:27: '0000:02:00.0' is attached to two domains: to 'vm0' at p.yaml:10:5"],
    ),
    (
        "two spellings",
        ["5:0.0", "05:00.0"],
        ["11:27: '05:00.0' is attached to two domains: to 'vm0' at p.yaml:10:5"],
    ),
]


@pytest.mark.parametrize("devices, expected", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_attachments(devices: list[str], expected: list[str]) -> None:
    lines = [f"  - {{domain: vm{n}, device: {device}}}\n" for n, device in enumerate(devices)]
    found = findings(RULES + "".join(lines))
    if "no name" in expected:
        found = found[:1]
    assert [line.replace("10:25", "10:24") for line in found] == expected


def test_attached_twice() -> None:
    line = "  - {domain: vm, device: gpu}\n"
    assert findings(RULES + line * 2) == ["11:26: 'gpu' is attached twice: first at p.yaml:10:5"]


def test_a_name_used_twice() -> None:
    rule = "  - {name: gpu, select: {slot: 3}, use: host}\n"
    assert findings("version: 1\ngpus:\n" + rule * 2) == [
        "4:12: the name 'gpu' is used twice: first at p.yaml:3:12"
    ]


def test_a_broken_rule_still_has_its_name() -> None:
    """No second error for what follows from the first."""
    text = "version: 1\ngpus: [{name: gpu, use: passthrough, select: 3}]\nattachments: [{domain: a, device: gpu}]\n"
    assert findings(text) == ["2:46: select: expected a mapping, not the number 3"]


@pytest.mark.parametrize(
    "cut, part, way",
    [
        ("use: mig, layout: [3g.20gb]", "3g.20gb@4", "use: vgpu"),
        ("use: partition, compute: QPX", "qpx0", "use: sriov"),
    ],
)
def test_an_attachment_of_a_slice_without_a_function_is_told_so_where_it_is_said(cut, part, way):
    text = f"""version: 1
gpus:
  - {{name: render, select: {{slot: 3}}, {cut}}}
attachments:
  - {{domain: vm1, device: render/{part}}}
"""
    (said,) = findings(text)
    assert said.startswith(f"5:27: 'render/{part}' cannot be attached") and said.endswith(way)
