"""A rule that matches nothing says which of its conditions failed, and where it was nearest."""

import pytest

from gpupass.errors import Usage
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Iommu, Nvidia
from gpupass.model.mark import Origin
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


H100 = {
    "gpu_name": "NVIDIA H100 80GB HBM3",
    "gpu_part_number": "692-2G520-0200-000",
    "gpu_minor": 1,
    "gpu_mig": True,
}


def _taken(**told: object) -> Host:
    """A GPU that gpupass has bound away from NVIDIA's driver, beside one that this has."""
    taken, there = (
        Device(
            address=Address(f"0000:0{number}:00.0"),
            vendor=0x10DE,
            device=0x2330,
            class_code=0x030200,
            driver=driver,
            group=number,
            detail=Detail(nvidia=nvidia),
        )
        for number, driver, nvidia in (
            (1, "vfio-pci", None),
            (2, "nvidia", Nvidia(uuid=UUID, name="Tesla T4", minor=0, part_number="900-2G183-0000-001")),
        )
    )
    origin = Origin(carrier=taken.address, driver="nvidia", **told)  # type: ignore[arg-type]
    return Host(devices=(taken, there), marks=(origin,), iommu=Iommu(enabled=True))


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ({"model": "*h100*"}, ["0000:01:00.0"]),
        ({"model": "10de:2330"}, ["0000:01:00.0", "0000:02:00.0"]),
        ({"part_number": "692-2g520-*"}, ["0000:01:00.0"]),
        ({"minor": 1}, ["0000:01:00.0"]),
        ({"minor": 0}, ["0000:02:00.0"]),
        ({"mig_capable": True}, ["0000:01:00.0"]),
        ({"mig_capable": False}, ["0000:02:00.0"]),
    ],
)
def test_what_only_its_driver_knew_is_known_while_gpupass_has_it(
    select: dict[str, object], chosen: list[str]
) -> None:
    rule = PassthroughRule(name="card", select=Select(**select))  # type: ignore[arg-type]
    assert [one.carrier.address for one in choose(Profile(gpus=(rule,)), _taken(**H100))] == chosen


@pytest.mark.parametrize("capable", [True, False])
def test_what_nobody_has_told_is_neither(capable: bool) -> None:
    rule = PassthroughRule(name="card", select=Select(mig_capable=capable, address=Address("0000:01:00.0")))
    with pytest.raises(Usage, match=f"mig-capable is not told, not {capable}".lower()):
        choose(Profile(gpus=(rule,)), _taken())


def test_a_number_that_two_have_had_means_nobody() -> None:
    rule = PassthroughRule(name="card", select=Select(minor=0))
    with pytest.raises(Usage, match="card cannot tell whom it means: 0000:01"):
        choose(Profile(gpus=(rule,)), _taken(gpu_minor=0))


@pytest.mark.parametrize(
    ("select", "asks"),
    [
        (Select(model="10de:2330"), False),
        (Select(model="*H100*"), True),
        (Select(minor=0), True),
        (Select(mig_capable=False), True),
        (Select(part_number="9*"), True),
        (Select(vendor="nvidia", numa=1), False),
    ],
)
def test_the_driver_is_asked_for_what_it_alone_knows(select: Select, asks: bool) -> None:
    assert select.asks_driver is asks
