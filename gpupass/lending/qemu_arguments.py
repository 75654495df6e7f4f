"""A QEMU command line → the host's devices in it: `<qemu:commandline>`'s, or of a QEMU without libvirt; pure.

Forms: `-device vfio-pci,host=…`, `…,sysfsdev=…`, `…,iommufd=…`, the same as JSON, drives on `nvme://` or a
block device, `-netdev vhost-vdpa` (QEMU's docs/system/devices and qapi/block-core.json).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import DecodeError, Struct, json

from gpupass.model.address import Address, parse_address
from gpupass.model.domain import Hostdev, HostPart, PartKind, Written

_PLUGS = re.compile(r"vfio-(pci|pci-nohotplug|pci-igd-lpc-bridge|ap|ccw|platform)")
_NVME = re.compile(r"nvme://([0-9a-fA-F:.]+)/\d+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DISK_OPTIONS = ("-drive", "-blockdev", "-hda", "-hdb", "-hdc", "-hdd", "-cdrom")
_KEPT = ("driver", "host", "sysfsdev", "iommufd", "file", "filename", "device", "vhostdev", "namespace")


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`, `uuid` and `id` are what the guest is called, "" where it has no such name."""

    hostdevs: tuple[Hostdev, ...] = ()
    parts: tuple[HostPart, ...] = ()
    name: str = ""
    uuid: str = ""
    id: str = ""


def read_arguments(words: Sequence[str]) -> Arguments:
    hostdevs: list[Hostdev] = []
    parts: list[HostPart] = []
    named: dict[str, str] = {}
    for option, fields in _options(words):
        if option == "-name":
            named["name"] = fields.get("guest") or fields.get("", "")
        elif option in ("-uuid", "-id"):
            named[option[1:]] = fields.get("", "")
        hostdevs += _hostdevs(option, fields)
        parts += _parts(option, fields)
    return Arguments(
        hostdevs=tuple(dict.fromkeys(hostdevs)),
        parts=tuple(dict.fromkeys(parts)),
        **{key: text for key, text in named.items() if text},
    )


def device_arguments(words: Sequence[str]) -> Iterator[str]:
    """Only what names a device of the host: what else an administrator gives QEMU is nobody's business."""
    for option, fields in _options(words):
        if any(True for _ in (*_hostdevs(option, fields), *_parts(option, fields))):
            kept = [f"{key}={value}" for key, value in fields.items() if key in _KEPT and key != "driver"]
            yield option
            yield ",".join([*filter(None, (fields.get("driver") or fields.get(""),)), *kept])


def _options(words: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(-device, its fields); what has no key of its own has the key ""."""
    option = ""
    for word in words:
        if word.startswith("-") and not word.startswith("-,"):
            option = f"-{word.lstrip('-')}"
        else:
            yield option, _fields(word)
            option = ""


def _fields(word: str) -> dict[str, str]:
    if word.startswith("{"):
        try:
            found = json.decode(word)
        except (DecodeError, RecursionError):
            return {}
        return dict(_flat(found)) if isinstance(found, dict) else {}
    fields: dict[str, str] = {}
    for part in word.replace(",,", "\0").split(","):  # QEMU's way to write a comma
        key, equal, value = part.replace("\0", ",").partition("=")
        if equal:
            fields[key.rpartition(".")[2]] = value
        else:
            fields.setdefault("", key)
    return fields


def _flat(found: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A block device's file lies within it."""
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value)
        elif isinstance(value, str | int):
            yield key, str(value)


def _hostdevs(option: str, fields: Mapping[str, str]) -> Iterator[Hostdev]:
    driver = fields.get("driver") or fields.get("", "")
    if _PLUGS.fullmatch(driver):
        address, mdev = _plugged(fields)
        if address is not None or mdev is not None:
            yield Hostdev(
                address=address,
                mdev=mdev,
                written=Written.QEMU_ARGUMENT,
                ramfb=driver.endswith("nohotplug"),
                target=fields.get("id", ""),
            )
    for text in fields.values():
        found = _NVME.search(text)
        if found is not None and (host := parse_address(found[1])) is not None:
            yield Hostdev(address=host, written=Written.QEMU_ARGUMENT)
    if (
        option in _DISK_OPTIONS and (host := parse_address(fields.get("device", ""))) is not None
    ):  # of the driver nvme
        yield Hostdev(address=host, written=Written.QEMU_ARGUMENT)


def _plugged(fields: Mapping[str, str]) -> tuple[Address | None, str | None]:
    last = fields.get("sysfsdev", "").rstrip("/").rpartition("/")[2]
    address = parse_address(fields.get("host", "")) or parse_address(last)
    return address, last.lower() if address is None and _UUID.fullmatch(last) else None


def _parts(option: str, fields: Mapping[str, str]) -> Iterator[HostPart]:
    for path in _files(fields):
        if path.startswith("/dev/") and not path.startswith(("/dev/vfio/", "/dev/fd", "/dev/null")):
            disk = option in _DISK_OPTIONS
            yield HostPart(
                kind=PartKind.DISK if disk else PartKind.NODE, name=path, target=fields.get("id", "")
            )


def _files(fields: Mapping[str, str]) -> Iterable[str]:
    return (
        fields[key] for key in ("file", "filename", "vhostdev", "evdev", "rendernode", "") if key in fields
    )
