"""What of a host is worth telling in a profile, and what is adopted of it."""

import pytest

from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Iommu
from gpupass.model.mark import Origin
from gpupass.planner.export import worth_telling
from gpupass.planner.ownership import adopt_plan

PF, VF = "0000:41:00.0", "0000:41:01.0"


def device(address: str, **facts: object) -> Device:
    told = {"vendor": 0x10DE, "device": 0x2330, "class_code": 0x030200, "group": int(address[-4:-3] or "0")}
    return Device(address=Address(address), **{**told, "detail": Detail(), **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (device(PF, group=1, driver="nvidia"), True),
        (device(PF, group=1), True),
        (device(PF, group=1, class_code=0x060400), False),
        (device(PF, group=1, class_code=0x020000, driver="ixgbe"), False),
        (device(PF, group=1, class_code=0x020000, driver="vfio-pci"), True),
    ],
)
def test_whom_it_has_a_rule_for(one: Device, told: bool) -> None:
    assert (one in worth_telling(Host(devices=(one,), iommu=Iommu(enabled=True)))) is told


def test_a_virtual_function_is_told_of_with_its_physical_one() -> None:
    pf, vf = device(PF, group=1, driver="xe"), device(VF, group=2, physfn=Address(PF), driver="vfio-pci")
    assert worth_telling(Host(devices=(pf, vf), iommu=Iommu(enabled=True))) == (pf,)


@pytest.mark.parametrize(
    ("facts", "adopted"),
    [
        ({"driver": "vfio-pci"}, [VF]),
        ({"driver": "nvidia", "lends_itself": True}, []),  # of its own driver nothing is to be given back
        ({"driver": "iavf"}, []),
    ],
)
def test_what_of_its_functions_is_adopted(facts: dict[str, object], adopted: list[str]) -> None:
    pf = device(PF, group=1, driver="nvidia")
    host = Host(devices=(pf, device(VF, group=2, physfn=Address(PF), **facts)), iommu=Iommu(enabled=True))
    marks = [mark for step in adopt_plan(host, pf).steps for mark in step.marks]
    assert [mark.carrier for mark in marks if isinstance(mark, Origin)] == adopted
