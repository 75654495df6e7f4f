"""Names and lists of NVIDIA vGPU types, in both orders that have been seen."""

import pytest

from gpupass.model.vgpu_types import Label, parse_types, read_label, type_label

LISTS = [
    (
        "ID    : vGPU Name\n468 : NVIDIA A100-4C\n1414  : NVIDIA H200X-1-18C\n",
        [(468, "A100-4C"), (1414, "H200X-1-18C")],
    ),
    (
        "vGPU Name         ID\nNVIDIA A40-2Q    558\nNVIDIA RTX6000-Ada-4Q 901\n",
        [(558, "A40-2Q"), (901, "RTX6000-Ada-4Q")],
    ),
    ("ID    : vGPU Name\n", []),
    ("", []),
    ("GRID T4-1B : none\n", []),
]


@pytest.mark.parametrize("text, found", LISTS)
def test_lists(text, found):
    assert [(kind.id, kind.name) for kind in parse_types(text)] == found


@pytest.mark.parametrize(
    "name, label",
    [
        ("A100-4C", Label(memory=4)),
        ("H200-1-18C", Label(memory=18, slices=1)),
        ("H200-1-18CME", Label(memory=18, slices=1)),
        ("DC-1-24QGFX", Label(memory=24, slices=1)),
        ("RTX6000-Ada-24Q", Label(memory=24)),
        ("RTX5880-Ada-1B", Label(memory=1)),
        ("RTX5000-Ada-2A", Label(memory=2)),
        ("nvidia-471", None),
        ("mbochs-small", None),
    ],
)
def test_names(name, label):
    assert read_label(name) == label


def test_the_last_word_is_the_type():
    assert type_label("GRID A100-4C") == type_label("NVIDIA A100-4C") == "A100-4C"
