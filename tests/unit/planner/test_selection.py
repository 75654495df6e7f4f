"""A rule that matches nothing says which of its conditions failed, and where it was nearest."""

import pytest

from gpupass.errors import Usage
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Iommu, Nvidia
from gpupass.model.profile import Profile, Select
from gpupass.planner.selection import choose

UUID = "GPU-1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def _host() -> Host:
    first, second = (
        Device(
            address=Address(f"0000:0{number + 1}:00.0"),
            vendor=vendor,
            device=device,
            class_code=0x030200,
            driver=driver,
            group=number,
            name=name,
            detail=Detail(numa_node=number, nvidia=Nvidia(uuid=UUID) if number == 0 else None),
        )
        for number, (vendor, device, driver, name) in enumerate(
            ((0x10DE, 0x20B0, "nvidia", "A100 SXM4 40GB"), (0x1002, 0x73BF, "amdgpu", "Navi 21"))
        )
    )
    return Host(devices=(first, second), iommu=Iommu(enabled=True))


def _choose(**select: object) -> tuple[str, ...]:
    rule = PassthroughRule(name="card", select=Select(**select))  # type: ignore[arg-type]
    return tuple(one.name for one in choose(Profile(gpus=(rule,)), _host()))


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (
            {"vendor": "nvidia", "model": "*A100*", "numa": 1},
            "0000:01:00.0 (A100 SXM4 40GB): numa is 0, not 1",
        ),
        ({"vendor": "amd", "model": "*A100*"}, "0000:01:00.0 (A100 SXM4 40GB): vendor is 10de, not amd"),
        ({"vendor": "amd", "driver": "vfio-pci"}, "0000:02:00.0 (Navi 21): driver is amdgpu, not vfio-pci"),
        ({"numa": 3}, "0000:01:00.0 (A100 SXM4 40GB): numa is 0, not 3"),
        ({"uuid": "GPU-99999999", "vendor": "nvidia"}, f"uuid is {UUID}, not GPU-99999999"),
    ],
)
def test_which_condition_failed(select: dict[str, object], words: str) -> None:
    with pytest.raises(Usage) as raised:
        _choose(**select)
    assert words in raised.value.message


def test_a_name_that_is_nobody_s_is_near_to_nobody() -> None:
    with pytest.raises(Usage) as raised:
        _choose(address=Address("0000:03:00.0"))
    assert "nearest" not in raised.value.message


def test_the_beginning_of_a_uuid_is_enough() -> None:
    assert _choose(uuid="GPU-1b4e28ba") == ("card",)


@pytest.mark.parametrize("uuid", ["GPU-1b4e2", ""])
def test_of_less_than_eight_digits_it_is_not(uuid: str) -> None:
    with pytest.raises(Usage):
        _choose(uuid=uuid)
