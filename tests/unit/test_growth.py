"""Four times the devices are four times the work, not sixteen."""

from collections.abc import Callable

import pytest

from gpupass.cli.documents.devices import device_document
from gpupass.devices.verdict import group_verdict
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.host import Detail, Device, Host, Iommu
from gpupass.model.mark import Quarantine
from gpupass.model.profile import Profile, Select
from gpupass.planner.profile import plan_profile
from tests.operations import growth
from tests.synthetic_host import address

FUNCTIONS = 4  # a PF and its VFs


def host(cards: int) -> Host:
    """Cards of one PF and three VFs, every function remembered as somebody's."""
    devices = tuple(
        Device(
            address=address(number),
            vendor=0x10DE,
            device=0x2330,
            class_code=0x030200,
            driver="nouveau",
            group=number,
            physfn=address(number - number % FUNCTIONS) if number % FUNCTIONS else None,
            detail=Detail(),
        )
        for number in range(cards * FUNCTIONS)
    )
    marks = tuple(Quarantine(carrier=device.address, why="test") for device in devices)
    return Host(devices=devices, marks=marks, iommu=Iommu(enabled=True))


def verdicts(cards: int) -> Callable[[], object]:
    seen = host(cards)
    return lambda: [group_verdict(number, seen) for number in seen.groups]


def documents(cards: int) -> Callable[[], object]:
    seen = host(cards)
    return lambda: [device_document(device, seen) for device in seen.devices]


def plans(cards: int) -> Callable[[], object]:
    """Every card is bound, each by a rule of its own."""
    seen = host(cards)
    rules = tuple(
        PassthroughRule(name=f"g{number}", select=Select(address=address(number * FUNCTIONS)))
        for number in range(cards)
    )
    return lambda: plan_profile(Profile(gpus=rules), seen, "")


@pytest.mark.parametrize("of", [verdicts, documents, plans])
def test_work_grows_as_the_host_does(of: Callable[[int], Callable[[], object]]) -> None:
    assert growth(of, 16) < 4.5
