"""Names of PCI devices from udev's hardware database (systemd-hwdb), through libudev.

pyudev offers no hardware database of its own and takes 60 ms to import, so libudev's public C interface is
called directly. Without libudev or without hwdb.bin there are simply no names.
"""

from collections.abc import Iterable
from ctypes import CDLL, c_char_p, c_uint, c_void_p

_FUNCTIONS = {
    "udev_new": ([], c_void_p),
    "udev_unref": ([c_void_p], c_void_p),
    "udev_hwdb_new": ([c_void_p], c_void_p),
    "udev_hwdb_unref": ([c_void_p], c_void_p),
    "udev_hwdb_get_properties_list_entry": ([c_void_p, c_char_p, c_uint], c_void_p),
    "udev_list_entry_get_by_name": ([c_void_p, c_char_p], c_void_p),
    "udev_list_entry_get_value": ([c_void_p], c_char_p),
}


def pci_names(ids: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """(vendor, device) → "NVIDIA Corporation GA102 [GeForce RTX 3090]", for those the database knows."""
    udev = _load()
    if udev is None:
        return {}
    context = udev.udev_new()
    database = udev.udev_hwdb_new(context)
    try:
        if not database:
            return {}
        return {pair: name for pair in set(ids) if (name := _name(udev, database, *pair))}
    finally:
        if database:
            udev.udev_hwdb_unref(database)
        udev.udev_unref(context)


def _load() -> CDLL | None:
    try:
        library = CDLL("libudev.so.1")
        for name, (arguments, result) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError):
        return None
    return library


def _name(udev: CDLL, database: int, vendor: int, device: int) -> str:
    key = f"pci:v{vendor:08X}d{device:08X}sv00000000sd00000000bc00sc00i00"
    entries = udev.udev_hwdb_get_properties_list_entry(database, key.encode(), 0)
    words = []
    for wanted in (b"ID_VENDOR_FROM_DATABASE", b"ID_MODEL_FROM_DATABASE"):
        entry = udev.udev_list_entry_get_by_name(entries, wanted) if entries else None
        value = udev.udev_list_entry_get_value(entry) if entry else None
        words.append(value.decode(errors="replace") if value else "")
    return " ".join(words) if words[1] else ""
