"""What NVML tells of a card's vGPUs, and what an older driver or pynvml leaves out."""

from types import SimpleNamespace

import pytest

from gpupass.model.host import VgpuCard, VgpuType
from gpupass.system.nvml_library import Known
from gpupass.system.vgpu_card import read_card


class NVMLError(Exception):
    pass


def refuse(*_):
    raise NVMLError


CALLS = {
    "nvmlDeviceGetVgpuHeterogeneousMode": lambda device: 1,
    "nvmlDeviceGetVgpuSchedulerState": lambda device: SimpleNamespace(schedulerPolicy=2),
    "nvmlDeviceGetSupportedVgpus": lambda device: [468, 469, 470],
    "nvmlVgpuTypeGetName": {468: b"GRID A100-4C", 469: "NVIDIA A100-8C"}.__getitem__,
}


def opened(**calls):
    made = SimpleNamespace(NVMLError=NVMLError, **{**CALLS, **calls})
    real = made.nvmlVgpuTypeGetName
    made.nvmlVgpuTypeGetName = lambda number: real(number) if number != 470 else refuse()
    return SimpleNamespace(nvml=made, known=Known())


TYPES = (VgpuType(id=468, name="A100-4C"), VgpuType(id=469, name="A100-8C"))
ALL = {"mixed": True, "scheduler": "equal-share", "types": TYPES}
SILENT = {
    "nvmlDeviceGetVgpuHeterogeneousMode": {"mixed": None},
    "nvmlDeviceGetVgpuSchedulerState": {"scheduler": None},
    "nvmlDeviceGetSupportedVgpus": {"types": ()},
}


def test_all_of_it():
    assert read_card(opened(), None) == VgpuCard(**ALL), "a type without a name is left out"


@pytest.mark.parametrize("call", SILENT)
def test_one_question_is_not_answered(call):
    assert read_card(opened(**{call: refuse}), None) == VgpuCard(**{**ALL, **SILENT[call]})


def test_a_driver_without_vgpu():
    none = {call: refuse for call in SILENT}
    assert read_card(opened(**none), None) is None
    assert read_card(opened(**{**none, "nvmlDeviceGetSupportedVgpus": lambda device: []}), None) is None


def test_names_are_asked_for_once():
    asked = []
    names = opened(nvmlVgpuTypeGetName=lambda number: asked.append(number) or f"NVIDIA A100-{number}C")
    assert read_card(names, None) == read_card(names, None)
    assert asked == [468, 469]
