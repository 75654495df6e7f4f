"""DEVICE as people type it → the one device it means."""

from collections.abc import Callable

from msgspec import Struct

from gpupass.errors import Usage
from gpupass.model.address import parse_address
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Origin
from gpupass.model.mdev import MdevBus
from gpupass.model.vendor import Vendor


def resolve(host: Host, text: str) -> Base:
    """By address, name, GPU UUID, serial number or physical slot; Usage when that is none or several."""
    for meaning, find in _WAYS:
        found = find(host, text.strip())
        if len(found) == 1:
            return found[0]
        if found:
            raise Usage(
                f"cannot choose {text}: {len(found)} devices have this {meaning}: {_list(found)}",
                "give the PCI address of one of them",
            )
    raise Usage(f"cannot find a device {text}{_known(host)}", "gpupass list --all")


def _by_address(host: Host, text: str) -> tuple[Device, ...]:
    """`0000:01:00.0`, `01:00.0`, and libvirt's `pci_0000_01_00_0`."""
    if text.startswith("pci_") and text.count("_") == 4:
        domain, bus, slot, function = text[4:].split("_")
        text = f"{domain}:{bus}:{slot}.{function}"
    address = parse_address(text)
    return host.devices_at((address,)) if address is not None else ()


def _by_name(host: Host, text: str) -> tuple[MdevBus, ...]:
    """A parent of mediated devices that is no PCI function."""
    return tuple(bus for bus in host.mdev_buses if bus.address == text)


def _by_uuid(host: Host, text: str) -> tuple[Device, ...]:
    """NVIDIA's `GPU-…`; the beginning of one is enough when it has eight digits."""
    wanted = text.lower()
    if len(wanted) < len("gpu-12345678"):
        return ()
    return tuple(
        device for device in host.devices if (uuid_of(device, host) or "").lower().startswith(wanted)
    )


def uuid_of(device: Device, host: Host) -> str | None:
    """NVML knows a GPU only while the nvidia driver has it; gpupass noted the name when it took it away."""
    if device.detail is not None and device.detail.nvidia is not None:
        return device.detail.nvidia.uuid
    origin = host.mark_of_this_boot(Origin, device.address)
    return origin.gpu_uuid if origin is not None else None


def _by_serial(host: Host, text: str) -> tuple[Device, ...]:
    wanted = text.lower()
    return tuple(device for device in host.devices if wanted in serials_of(device, host))


def serials_of(device: Device, host: Host) -> tuple[str, ...]:
    detail, origin = device.detail, host.mark_of_this_boot(Origin, device.address)
    nvidia = detail.nvidia if detail is not None else None
    found = (
        detail.serial if detail is not None else None,
        nvidia.serial if nvidia is not None else None,
        origin.gpu_serial if origin is not None else None,
    )
    return tuple(serial.lower() for serial in found if serial)


def product_of(device: Device, host: Host) -> str | None:
    """NVIDIA's own name of the product."""
    return _told(device, host).name


def part_number_of(device: Device, host: Host) -> str | None:
    return _told(device, host).part_number


def minor_of(device: Device, host: Host) -> int | None:
    """The N of /dev/nvidiaN: the driver counts anew at each boot, and gives away what is free."""
    return _told(device, host).minor


def mig_capable(device: Device, host: Host) -> bool | None:
    """Can MIG cut it? None: its driver has not told."""
    return _told(device, host).mig if device.vendor == Vendor.NVIDIA else False


class _Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By NVIDIA's driver, which has the GPU or had it before gpupass took it away."""

    name: str | None = None
    part_number: str | None = None
    minor: int | None = None
    mig: bool | None = None


def _told(device: Device, host: Host) -> _Told:
    nvidia = device.detail.nvidia if device.detail is not None else None
    if nvidia is not None:
        mig = True if nvidia.mig_mode is not None else None if nvidia.mig_unseen else False
        return _Told(name=nvidia.name, part_number=nvidia.part_number, minor=nvidia.minor, mig=mig)
    was = host.mark_of_this_boot(Origin, device.address)
    if was is None:
        return _Told()
    return _Told(name=was.gpu_name, part_number=was.gpu_part_number, minor=was.gpu_minor, mig=was.gpu_mig)


def drivers_of(device: Device, host: Host) -> tuple[str | None, ...]:
    """The driver it has, and the one it had before gpupass bound it."""
    origin = host.mark_of_this_boot(Origin, device.address)
    return (device.driver,) if origin is None else (device.driver, origin.driver)


def _by_slot(host: Host, text: str) -> tuple[Device, ...]:
    return card_in_slot(host, text.removeprefix("slot:"))


def card_in_slot(host: Host, name: str) -> tuple[Device, ...]:
    """All functions of the card in the slot; the GPU among them is meant, else function 0."""
    card = [device for device in host.devices if device.slot == name and device.physfn is None]
    gpus = [device for device in card if device.is_gpu]
    first = [device for device in card if device.address.endswith(".0")]
    return tuple(gpus or first or card)


_WAYS: tuple[tuple[str, Callable[[Host, str], tuple[Base, ...]]], ...] = (
    ("address", _by_address),
    ("name", _by_name),
    ("UUID", _by_uuid),
    ("serial number", _by_serial),
    ("physical slot", _by_slot),
)


def _list(found: tuple[Base, ...]) -> str:
    return ", ".join(f"{one.address} ({_model(one)})" for one in found)


def _model(carrier: Base) -> str:
    return carrier.name or carrier.ids if isinstance(carrier, Device) else carrier.address


def _known(host: Host) -> str:
    gpus = tuple(device for device in host.devices if device.is_gpu)
    return f": this host has {_list(gpus[:8])}" if gpus else ": this host has no GPU"
