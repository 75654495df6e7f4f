"""DEVICE as people type it."""

import pytest

from gpupass.errors import Usage
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Nvidia
from gpupass.model.select import resolve

UUID = "GPU-6f1a0c52-9e0b-4ad5-8f0e-0a1b2c3d4e5f"


def _device(address: str, class_code: int = 0x030000, slot: str | None = None, **detail: object) -> Device:
    return Device(
        address=Address(address),
        vendor=0x10DE,
        device=0x2204,
        class_code=class_code,
        slot=slot,
        detail=Detail(**detail),  # type: ignore[arg-type]
    )


HOST = Host(
    devices=(
        _device("0000:01:00.0", slot="3", nvidia=Nvidia(uuid=UUID, serial="165012"), serial="00-01"),
        _device("0000:01:00.1", 0x040300, slot="3"),
        _device("0000:02:00.0", slot="4", nvidia=Nvidia(uuid=UUID[:-1] + "0", serial="165013")),
        _device("0000:03:00.0", 0x020000, slot="5", serial="00-02"),
        _device("0000:03:00.1", 0x020000, slot="5", serial="00-02"),
        _device("0000:04:00.0", slot="6"),
        _device("0000:04:00.1", slot="6"),
        _device("10000:e1:00.0", 0x010802),
    )
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:01:00.0", "0000:01:00.0"),
        ("01:00.1", "0000:01:00.1"),
        ("1:0.0", "0000:01:00.0"),
        ("0000:01:00.0 ", "0000:01:00.0"),
        ("10000:E1:00.0", "10000:e1:00.0"),
        ("pci_0000_01_00_1", "0000:01:00.1"),
        (UUID, "0000:01:00.0"),
        (UUID.lower(), "0000:01:00.0"),
        ("165012", "0000:01:00.0"),
        ("00-01", "0000:01:00.0"),
        ("3", "0000:01:00.0"),  # the GPU, not its audio
        ("slot:5", "0000:03:00.0"),
    ],
)
def test_found(text: str, address: str) -> None:
    assert resolve(HOST, text).address == address


@pytest.mark.parametrize("text", [UUID[:20], "00-02", "6"])
def test_ambiguous_is_refused_with_the_candidates(text: str) -> None:
    with pytest.raises(Usage, match="2 devices have this") as refusal:
        resolve(HOST, text)
    assert refusal.value.exit_code == 2
    assert refusal.value.message.count("10de:2204") == 2
    assert refusal.value.hint


@pytest.mark.parametrize(
    "text", ["", "09:00.0", "GPU-", "GPU-deadbeef-0000", "nonsense", "01:00", "1:0.9", "*"]
)
def test_unknown_names_what_there_is(text: str) -> None:
    with pytest.raises(Usage, match="cannot find a device") as refusal:
        resolve(HOST, text)
    assert "0000:01:00.0" in refusal.value.message
