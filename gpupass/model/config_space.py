"""Configuration space as bytes → what no sysfs file tells: header, ACS, device serial number; pure."""

import struct

from msgspec import Struct

from gpupass.model.host import Acs

_ACS = 0x000D
_EXPRESS = 0x10
_SERIAL = 0x0003
_ISOLATING = 0x1D  # PCI_ACS_SV | RR | CR | UF: REQ_ACS_FLAGS of drivers/iommu/iommu.c


class ConfigSpace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`known_extended` False: only root reads past 64 bytes."""

    responds: bool = True
    header_type: int = 0
    multifunction: bool = False
    known_extended: bool = False
    acs: Acs = Acs.MISSING
    serial: str | None = None


def read_config_space(data: bytes) -> ConfigSpace:
    if len(data) < 16:
        return ConfigSpace()
    if not data[:64].strip(b"\xff"):  # a virtual function has no vendor ID either (SR-IOV 1.1, 3.4.1.1)
        return ConfigSpace(responds=False)
    return ConfigSpace(
        header_type=data[14] & 0x7F,
        multifunction=bool(data[14] & 0x80),
        known_extended=len(data) >= 256,
        acs=_acs(data),
        serial=_serial(data),
    )


def forwards_ari(port: bytes) -> bool | None:
    """Device Control 2 of a port's PCI Express capability; None: it has none, or only root reads there."""
    if len(port) < 256 or not port[6] & 0x10:
        return None
    offset, seen = port[0x34] & 0xFC, set[int]()
    while 0x40 <= offset <= 0xD4 and offset not in seen:
        if port[offset] == _EXPRESS:
            return bool(port[offset + 0x28] & 0x20)
        seen.add(offset)
        offset = port[offset + 1] & 0xFC
    return None


def _extended(data: bytes, wanted: int) -> int | None:
    """Where the extended capability lies. A list that loops or leaves the space ends the search."""
    offset, seen = 0x100, set[int]()
    while 0x100 <= offset <= len(data) - 4 and offset not in seen:
        seen.add(offset)
        (header,) = struct.unpack_from("<I", data, offset)
        if header & 0xFFFF == wanted:
            return offset
        offset = header >> 20 & 0xFFC
    return None


def _acs(data: bytes) -> Acs:
    """Is all isolation that the hardware has switched on (pci_acs_flags_enabled in drivers/pci)?"""
    offset = _extended(data, _ACS)
    if offset is None or offset + 8 > len(data):
        return Acs.MISSING
    has, on = struct.unpack_from("<HH", data, offset + 4)
    return Acs.ENABLED if not has & _ISOLATING & ~on else Acs.MISSING


def _serial(data: bytes) -> str | None:
    """As lspci spells it: eight bytes, the most significant first."""
    offset = _extended(data, _SERIAL)
    if offset is None or offset + 12 > len(data):
        return None
    number = data[offset + 4 : offset + 12][::-1]
    return "-".join(f"{byte:02x}" for byte in number) if any(number) else None
