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


# What an operator of accelerators asks for, by what `lspci -nn` says of it (pci.ids; the drivers' tables of numbers).
ACCELERATORS = {
    "GeForce": ("10de:2204", 0x030000),
    "H100, without a display": ("10de:2330", 0x030200),
    "Flex 170": ("8086:56c0", 0x038000),
    "Max 1550": ("8086:0bd5", 0x038000),
    "MI210": ("1002:740f", 0x038000),
    "MI300X": ("1002:74a1", 0x120000),
    "Gaudi": ("1da3:1000", 0x120000),
    "Gaudi2": ("1da3:1020", 0x120000),
    "Gaudi3": ("1da3:1060", 0x120000),
    "Intel NPU of Meteor Lake": ("8086:7d1d", 0x120000),
    "Alveo": ("10ee:5000", 0x120000),
    "Tenstorrent Wormhole": ("1e52:401e", 0x120000),
    "Hailo-8": ("1e60:2864", 0x0B4000),
    "Xeon Phi 7120": ("8086:225c", 0x0B4000),
    "Coral": ("1ac1:089a", 0x088000),
    "Inferentia": ("1d0f:7064", 0x088000),
    "Trainium2": ("1d0f:7364", 0x088000),
    "AMD NPU of Strix": ("1022:17f0", 0x118000),
}
OTHERS = {  # of the same classes
    "QAT": ("8086:4940", 0x0B4000),
    "DSA": ("8086:0b25", 0x088000),
    "AMD sensor hub": ("1022:15e4", 0x118000),
    "its HDMI audio": ("10de:228b", 0x040300),
    "NVSwitch": ("10de:22a3", 0x068000),
    "Ethernet of an instance": ("1d0f:ec20", 0x020000),
}


def _one(ids: str, class_code: int) -> Device:
    vendor, device = (int(number, 16) for number in ids.split(":"))
    return Device(
        address=Address("0000:01:00.0"), vendor=vendor, device=device, class_code=class_code, detail=Detail()
    )


@pytest.mark.parametrize(("ids", "class_code"), ACCELERATORS.values(), ids=ACCELERATORS)
def test_what_is_handed_out_without_being_named(ids: str, class_code: int) -> None:
    host = Host(devices=(_one(ids, class_code),))
    rule = PassthroughRule(name="card", select=Select(model=ids))
    assert [one.name for one in choose(Profile(gpus=(rule,)), host)] == ["card"]
    wanted = Select(class_="display" if class_code >> 16 == 3 else "accelerator")
    assert choose(Profile(gpus=(PassthroughRule(name="card", select=wanted),)), host)


@pytest.mark.parametrize(("ids", "class_code"), OTHERS.values(), ids=OTHERS)
def test_what_is_not(ids: str, class_code: int) -> None:
    host = Host(devices=(_one(ids, class_code),))
    for select in (Select(model=ids), Select(class_="accelerator")):
        with pytest.raises(Usage):
            choose(Profile(gpus=(PassthroughRule(name="card", select=select),)), host)
    assert not host.devices[0].is_gpu
