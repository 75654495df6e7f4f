"""Where the kernel itself holds a display: framebuffers in its memory, the console on its driver's."""

import re
from collections.abc import Iterable, Iterator

from gpupass.model.address import Address, parse_address
from gpupass.model.host import NVIDIA, Device
from gpupass.model.user import Holder, User, UserKind
from gpupass.observe.paths import addresses_in
from gpupass.system import Reader

_VGA = 0x0300
_FIRMWARE = ("BOOTFB", "simplefb", "simpledrm", "efifb", "vesafb", "sysfb", "efidrmdrm", "vesadrmdrm")
_DRIVERS = "/sys/bus/platform/drivers"
_PLATFORM = ("simple-framebuffer", "efi-framebuffer", "vesa-framebuffer", "efi-display", "vesa-display")
_GRAPHICS = "/sys/class/graphics"
_CONSOLES = "/sys/class/vtconsole"


def read_framebuffers(system: Reader, devices: Iterable[Device] = ()) -> dict[Address, tuple[User, ...]]:
    """Users by address; `devices` are those whose driver's own display part is asked for."""
    found: dict[Address, list[User]] = {}
    for address, user in (*_firmware(system), *_consoles(system), *_modesetting(system, devices)):
        found.setdefault(address, []).append(user)
    return {address: tuple(dict.fromkeys(users)) for address, users in found.items()}


def _modesetting(system: Reader, devices: Iterable[Device]) -> Iterator[tuple[Address, User]]:
    """nvidia-drm with modeset=1 (the default since 595) opens each GPU that has a display."""
    driven = [device for device in devices if device.driver == NVIDIA and device.class_code >> 8 == _VGA]
    if driven and system.read("/sys/module/nvidia_drm/parameters/modeset") == "Y":
        for device in driven:
            user = User(
                kind=UserKind.KERNEL,
                name="nvidia_drm",
                detail="modeset=Y",
                holder=Holder.MODULE,
                handle="nvidia_drm",
            )
            yield device.address, user


def _firmware(system: Reader) -> Iterator[tuple[Address, User]]:
    """/proc/iomem nests by indentation: `2800000000-280fffffff : 0000:02:00.0`, and below it BOOTFB."""
    above: list[tuple[int, Address | None]] = []
    names: dict[Address, list[str]] = {}
    for line in (system.read("/proc/iomem") or "").splitlines():
        depth = len(line) - len(line.lstrip())
        name = line.partition(" : ")[2].strip()
        while above and above[-1][0] >= depth:
            above.pop()
        inside = next((address for _, address in reversed(above) if address is not None), None)
        if inside is not None and name in _FIRMWARE:
            names.setdefault(inside, []).append(name)
        above.append((depth, parse_address(name)))
    where = _platform(system) if names else ""
    for address, words in names.items():
        detail = f"{', '.join(dict.fromkeys(words))} in its memory"
        yield (
            address,
            User(
                kind=UserKind.KERNEL,
                name="the kernel's framebuffer",
                detail=detail,
                holder=Holder.FRAMEBUFFER if where else Holder.NOBODY,
                handle=where,
            ),
        )


def _platform(system: Reader) -> str:
    """The one device of such a driver, by the path to take it off: there is one boot display."""
    for driver in _PLATFORM:
        for name in system.names(f"{_DRIVERS}/{driver}"):
            if re.fullmatch(rf"{driver}\.\d+", name):
                return f"{_DRIVERS}/{driver}/{name}"
    return ""


def _consoles(system: Reader) -> Iterator[tuple[Address, User]]:
    """Text consoles drawn by the driver of a card: fbcon is on while its vtconsole is bound."""
    bound = [
        name
        for name in system.names(_CONSOLES)
        if system.read(f"{_CONSOLES}/{name}/bind") == "1"
        and "frame buffer" in (system.read(f"{_CONSOLES}/{name}/name") or "")
    ]
    for name in system.names(_GRAPHICS) if bound else ():
        if re.fullmatch(r"fb\d+", name):
            for address in addresses_in(system.resolve(f"{_GRAPHICS}/{name}") or "")[-1:]:
                yield (
                    address,
                    User(
                        kind=UserKind.KERNEL,
                        name="the kernel's console",
                        detail=f"{name}, {system.read(f'{_GRAPHICS}/{name}/name') or '?'}",
                        holder=Holder.CONSOLE,
                        handle=bound[0],
                    ),
                )
