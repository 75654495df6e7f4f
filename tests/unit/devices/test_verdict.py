"""Verdicts on invented groups: who moves along, who stays, and why."""

import pytest
from msgspec.structs import replace

from gpupass.devices.verdict import device_verdict, group_verdict
from gpupass.model.address import Address
from gpupass.model.host import Acs, Detail, Device, Host, Iommu, Nvidia
from gpupass.model.mark import Quarantine
from gpupass.model.user import Holder, User, UserKind
from gpupass.model.verdict import StayKind

GPU, AUDIO, OTHER, PORT = (
    Address("0000:01:00.0"),
    Address("0000:01:00.1"),
    Address("0000:02:00.0"),
    Address("0000:00:01.0"),
)


def _device(
    address: Address, class_code: int = 0x030000, driver: str | None = "nvidia", **values: object
) -> Device:
    known = {"group": 1, "detail": Detail(reset_methods=("bus",)), **values}
    return Device(address=address, vendor=1, device=2, class_code=class_code, driver=driver, **known)  # type: ignore[arg-type]


def _host(*devices: Device, **values: object) -> Host:
    iommu = Iommu(enabled=True, interrupt_remapping=True)
    return Host(devices=devices, **{"iommu": iommu, **values})  # type: ignore[arg-type]


def test_companions_know_their_slot() -> None:
    host = _host(
        _device(GPU), _device(AUDIO, 0x040300, "snd_hda_intel"), _device(OTHER, 0x0C0330, "xhci_hcd")
    )
    verdict = group_verdict(1, host)
    assert verdict.viable
    assert [(c.address, c.driver, c.same_slot) for c in verdict.companions] == [
        (AUDIO, "snd_hda_intel", True),
        (OTHER, "xhci_hcd", False),
    ]


def test_seen_from_another_member() -> None:
    host = _host(_device(GPU), _device(AUDIO, 0x040300, "snd_hda_intel"))
    verdict = device_verdict(host.devices[1], host)
    assert [companion.address for companion in verdict.companions] == [GPU]


@pytest.mark.parametrize("driver", ["vfio-pci", "nvgrace_gpu_vfio_pci", "mlx5_vfio_pci", "pci-stub", None])
def test_who_need_not_move(driver: str | None) -> None:
    verdict = group_verdict(1, _host(_device(GPU), _device(AUDIO, 0x040300, driver)))
    assert verdict.companions == ()
    assert verdict.idle == ((AUDIO,) if driver is None else ())


@pytest.mark.parametrize("driver", ["pcieport", None])
def test_a_port_does_no_harm(driver: str | None) -> None:
    verdict = group_verdict(1, _host(_device(PORT, 0x060400, driver), _device(GPU)))
    assert verdict.viable
    assert verdict.bridges == (PORT,)
    assert verdict.companions == ()


def test_a_bridge_at_work_stays() -> None:
    verdict = group_verdict(1, _host(_device(PORT, 0x060100, "lpc_ich"), _device(GPU)))
    assert [staying.kind for staying in verdict.staying] == [StayKind.BRIDGE]
    assert not verdict.viable


@pytest.mark.parametrize(
    ("user", "kind", "words"),
    [
        (User(kind=UserKind.DISK, name="/", detail="/dev/sda1"), StayKind.DISK, "root disk /dev/sda1 on"),
        (User(kind=UserKind.DISK, name="swap", detail="/dev/sda2"), StayKind.DISK, "swap /dev/sda2 on"),
        (User(kind=UserKind.NETWORK, name="eth0", detail="route default"), StayKind.NETWORK, "network eth0"),
        (User(kind=UserKind.BOOT_DISPLAY, name="console"), StayKind.BOOT_DISPLAY, "boot display on"),
        (User(kind=UserKind.DOMAIN, name="vm1"), StayKind.DOMAIN, "domain vm1 has"),
    ],
)
def test_who_stays_and_why(user: User, kind: StayKind, words: str) -> None:
    other = _device(OTHER, 0x010802, "nvme", users=(user,))
    verdict = group_verdict(1, _host(_device(GPU), other))
    assert not verdict.viable
    (staying,) = verdict.staying
    assert (staying.address, staying.kind) == (OTHER, kind)
    assert words in staying.reason
    assert staying.remedy
    assert staying.kind.overridable is (kind is StayKind.BOOT_DISPLAY)


def test_a_persistent_definition_only_warns() -> None:
    verdict = group_verdict(1, _host(_device(GPU, users=(User(kind=UserKind.DOMAIN_CONFIG, name="vm2"),))))
    assert verdict.viable
    assert any("vm2" in warning for warning in verdict.warnings)


@pytest.mark.parametrize(("driver", "viable"), [("amdgpu", False), ("vfio-pci", False), (None, True)])
def test_whoever_has_it_open_keeps_it(driver: str | None, viable: bool) -> None:
    unit = Holder.UNIT
    user = User(kind=UserKind.PROCESS, name="Xorg", pid=1, holder=unit, handle="sddm.service")
    verdict = group_verdict(1, _host(_device(GPU, driver=driver, users=(user,))))
    assert verdict.viable is viable
    assert [stay.remedy for stay in verdict.staying if not viable] == (
        [] if viable else ["stop the service: systemctl stop sddm.service"]
    )


@pytest.mark.parametrize(("persistence", "viable"), [(True, True), (False, False)])
def test_what_lets_go_with_persistence_mode_is_not_in_the_way(persistence: bool, viable: bool) -> None:
    detail = Detail(nvidia=Nvidia(uuid="GPU-1", persistence=persistence), reset_methods=("bus",))
    user = User(kind=UserKind.PROCESS, name="nvidia-persiste", pid=1)
    host = _host(_device(GPU, driver="nvidia", detail=detail, users=(user,)))
    assert group_verdict(1, host).viable is viable


@pytest.mark.parametrize(("driver", "viable"), [("nvidia", False), ("amdgpu", True)])
def test_only_nvidia_s_driver_waits_for_the_console(driver: str, viable: bool) -> None:
    user = User(
        kind=UserKind.KERNEL,
        name="the kernel's console",
        detail="fb0",
        holder=Holder.CONSOLE,
        handle="vtcon1",
    )
    verdict = group_verdict(1, _host(_device(GPU, driver=driver, users=(user,))))
    assert verdict.viable is viable
    assert all("/sys/class/vtconsole/vtcon1/bind" in stay.remedy for stay in verdict.staying)


def test_a_region_of_the_firmware_forbids_its_group() -> None:
    iommu = Iommu(enabled=True, direct=((1, "0xbdf6e000-0xbdf82fff"),))
    verdict = group_verdict(1, _host(_device(GPU), iommu=iommu))
    assert not verdict.viable and "RMRR" in verdict.reasons[0] and "0xbdf6e000" in verdict.reasons[0]


def test_unsafe_interrupts_only_warn() -> None:
    iommu = Iommu(enabled=True, interrupt_remapping=False, unsafe_interrupts=True)
    verdict = group_verdict(1, _host(_device(GPU), iommu=iommu))
    assert verdict.viable and any("inject" in warning for warning in verdict.warnings)


def test_quarantine() -> None:
    mark = Quarantine(carrier=GPU, why="reset not seen")
    verdict = group_verdict(1, _host(_device(GPU), marks=(mark,)))
    assert not verdict.viable
    assert "reset not seen" in verdict.reasons[0]


def test_no_iommu() -> None:
    gpu = _device(GPU, group=None)
    verdict = device_verdict(gpu, _host(gpu, iommu=Iommu(enabled=False)))
    assert not verdict.viable
    assert verdict.reasons == ("this host has no IOMMU",)


def test_a_bridge_cannot_be_assigned() -> None:
    port = _device(PORT, 0x060400, "pcieport")
    assert "cannot be assigned" in device_verdict(port, _host(port)).reasons[0]


def test_warnings() -> None:
    silent = Detail(reset_methods=(), responds=False)
    host = _host(_device(GPU, detail=silent), iommu=Iommu(enabled=True, interrupt_remapping=False))
    verdict = group_verdict(1, host)
    assert "no reset" in verdict.warnings[0]
    for words in ("does not answer", "interrupt remapping"):
        assert words in "\n".join(verdict.reasons)


@pytest.mark.parametrize(
    ("acs", "words"), [(Acs.MISSING, "no ACS"), (Acs.UNKNOWN, "only root"), (Acs.ENABLED, "they meet at")]
)
def test_acs_cause(acs: Acs, words: str) -> None:
    port = _device(PORT, 0x060400, "pcieport", detail=Detail(acs=acs))
    host = _host(port, _device(GPU, parent=PORT), _device(OTHER, parent=PORT))
    cause = group_verdict(1, host).acs
    assert cause is not None
    assert PORT in cause and words in cause


def test_functions_of_one_slot_are_no_acs_matter_of_a_port() -> None:
    cause = group_verdict(1, _host(_device(GPU), _device(AUDIO, 0x040300))).acs
    assert cause is not None and "share one slot" in cause


def test_no_cause_for_one() -> None:
    assert group_verdict(1, _host(_device(GPU))).acs is None


def test_an_nvswitch_is_no_bridge() -> None:
    assert not _device(GPU, 0x068000).is_bridge


def test_unknown_detail_is_no_reset_warning() -> None:
    host = _host(replace(_device(GPU), detail=None))
    assert group_verdict(1, host).warnings == ()


def test_virtual_functions_keep_their_physical_function() -> None:
    user = User(kind=UserKind.DOMAIN, name="vm1")
    vf = _device(OTHER, 0x020000, "vfio-pci", group=2, physfn=GPU, users=(user,))
    host = _host(_device(GPU), vf)
    (staying,) = group_verdict(1, host).staying
    assert staying.kind is StayKind.SRIOV
    assert f"{OTHER} belongs to domain vm1" in staying.reason
    assert [staying.kind for staying in group_verdict(2, host).staying] == [StayKind.DOMAIN]


@pytest.mark.parametrize(
    ("driver", "script", "way"),
    [
        ("nvidia", True, f"/usr/lib/nvidia/sriov-manage -d {GPU}"),
        ("nvidia", False, f"echo 0 > /sys/bus/pci/devices/{GPU}/sriov_numvfs"),
        ("igb", True, f"echo 0 > /sys/bus/pci/devices/{GPU}/sriov_numvfs"),
        ("gim", False, "modprobe -r gim, which ends those of its other GPUs, too"),
    ],
)
def test_functions_end_in_the_way_that_their_driver_takes(driver: str, script: bool, way: str) -> None:
    pf, vf = _device(GPU, driver=driver), _device(OTHER, physfn=GPU, group=2)
    (stays,) = device_verdict(pf, _host(pf, vf, sriov_manage=script)).staying
    assert stays.remedy == f"when nobody uses them: {way}"


ELSEWHERE = Address("0000:00:1c.0")


@pytest.mark.parametrize(
    ("acs", "below", "words"),
    [
        (Acs.ENABLED, (), f"a card below {ELSEWHERE} (empty now) would be in a group of its own"),
        (Acs.MISSING, (), "no empty port"),
        (Acs.UNKNOWN, (), "no empty port"),
        (Acs.ENABLED, (Address("0000:04:00.0"),), "no empty port"),
    ],
)
def test_where_a_card_would_be_alone(acs: Acs, below: tuple[Address, ...], words: str) -> None:
    port = _device(ELSEWHERE, 0x060400, "pcieport", group=9, detail=Detail(acs=acs))
    there = (_device(address, 0x030000, group=10, parent=ELSEWHERE) for address in below)
    cards = (_device(GPU), _device(OTHER, 0x0C0330, "xhci_hcd"))
    advice = group_verdict(1, _host(port, *cards, *there)).advice
    assert advice[0].startswith(words) and "pcie_acs_override" in advice[1]


def test_functions_of_one_card_need_no_advice() -> None:
    assert group_verdict(1, _host(_device(GPU), _device(AUDIO, 0x040300))).advice == ()
