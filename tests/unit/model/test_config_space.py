import struct

import pytest

from gpupass.model.config_space import read_config_space
from gpupass.model.host import Acs


def _space(*capabilities: tuple[int, bytes], header_type: int = 0) -> bytearray:
    data = bytearray(4096)
    struct.pack_into("<HH", data, 0, 0x10DE, 0x2204)
    data[14] = header_type
    offset = 0x100
    for index, (identity, body) in enumerate(capabilities):
        following = offset + 0x40 if index + 1 < len(capabilities) else 0
        struct.pack_into("<I", data, offset, identity | 1 << 16 | following << 20)
        data[offset + 4 : offset + 4 + len(body)] = body
        offset += 0x40
    return data


@pytest.mark.parametrize(
    ("has", "on", "expected"),
    [
        (0x1D, 0x1D, Acs.ENABLED),
        (0x1F, 0x1D, Acs.ENABLED),  # translation blocking is not asked for
        (0x01, 0x01, Acs.ENABLED),  # what the hardware lacks is not asked for
        (0x1D, 0x1C, Acs.MISSING),
        (0x1D, 0x00, Acs.MISSING),
    ],
)
def test_acs(has: int, on: int, expected: Acs) -> None:
    assert read_config_space(bytes(_space((0x000D, struct.pack("<HH", has, on))))).acs is expected


def test_serial_is_spelled_as_lspci_does() -> None:
    body = bytes.fromhex("ccbbaaffff9196b4")
    assert read_config_space(bytes(_space((1, b""), (3, body)))).serial == "b4-96-91-ff-ff-aa-bb-cc"


def test_a_silent_device() -> None:
    assert not read_config_space(b"\xff" * 4096).responds


def test_a_virtual_function_answers_without_a_vendor() -> None:
    data = _space((0x000D, b"\x1d\x00\x1d\x00"))
    data[:4] = b"\xff\xff\xff\xff"
    space = read_config_space(bytes(data))
    assert (space.responds, space.acs) == (True, Acs.ENABLED)


def test_multifunction_and_header_type() -> None:
    space = read_config_space(bytes(_space(header_type=0x81)))
    assert (space.header_type, space.multifunction) == (1, True)


def test_an_ordinary_user_sees_no_extended_space() -> None:
    assert not read_config_space(bytes(_space())[:64]).known_extended


@pytest.mark.parametrize("following", [0x100, 0x104, 0xFFC])
def test_a_broken_list_ends(following: int) -> None:
    data = _space((0x0001, b""))
    struct.pack_into("<I", data, 0x100, 0x0001 | following << 20)
    struct.pack_into("<I", data, 0x104, 0x0002 | 0x100 << 20)
    assert read_config_space(bytes(data)).acs is Acs.MISSING


@pytest.mark.parametrize("size", [0, 3, 15, 64, 255, 257, 0x103])
def test_any_length_is_read(size: int) -> None:
    read_config_space(bytes(_space((0x000D, b"\x1d")))[:size])
