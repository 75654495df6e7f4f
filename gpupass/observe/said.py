"""What the kernel was told and has said of devices: all that a record keeps of either."""

import re
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.ground import Ground
from gpupass.observe import recorded
from gpupass.system import Reader, System

_WORDS = re.compile(
    r"(?:(intel_|amd_|s390_)?iommu|intremap|arm[-_.]smmu[\w-]*|vfio[\w-]*|pcie?[\w-]*|(module_|modprobe\.|rd\.driver\.)?blacklist|rd\.driver"
    r"|nvidia[\w-]*|nouveau|amdgpu|radeon|i915|xe|ast|mgag200|simpledrm|efifb|vesafb|video|fbcon|nomodeset|vga|drm"
    r"|(default_)?hugepages\w*|kvm\w*|mem_encrypt|initcall_blacklist|nvme|mlx\w*|igb|ixgbe|ice|console|swiotlb)(\.[\w-]+)?"
)
_OF_ALL = re.compile(r"(DMAR|AMD-Vi|iommu|vfio\S*|NVRM|nvidia\S*|amdgpu|i915|xe|nouveau)\b")
_TOLD = re.compile(r"command line", re.IGNORECASE)  # the kernel repeats it, whole
_ADDRESS = re.compile(r"(?<![\w/])(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(?:\.[0-7])?(?![\w:/])")
_HARDWARE = re.compile(r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", re.IGNORECASE)
_LINES, _LONG = 400, 300


def words_about_devices(words: Iterable[str]) -> list[str]:
    """As far as devices and their IOMMU go: never what unlocks a disk or reaches another machine."""
    return [word for word in words if _WORDS.fullmatch(word.partition("=")[0])]


def without_foreign_words(ground: Ground) -> Ground:
    """Of the kernel's command line, and of the boot loader's for the next one."""

    def kept(words: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if words is None else tuple(words_about_devices(words))

    loader, kernel = ground.loader, ground.kernel
    if loader is not None:
        loader = replace(loader, words=kept(loader.words), made=kept(loader.made))
    if kernel is not None:
        kernel = replace(kernel, words=tuple(words_about_devices(kernel.words)))
    return replace(ground, loader=loader, kernel=kernel)


def lines_about(lines: Iterable[str], addresses: Collection[Address]) -> list[str]:
    """The last that name one of the functions, or begin with what drives and shields them."""
    names = {name for address in addresses for name in _names(address)}
    found = [line for line in lines if not _TOLD.search(line) and _is_about(line, names)]
    return [_HARDWARE.sub("xx:xx:xx:xx:xx:xx", line[:_LONG]) for line in found[-_LINES:]]


def _is_about(line: str, names: set[str]) -> bool:
    return _OF_ALL.match(line) is not None or not names.isdisjoint(_ADDRESS.findall(line))


def _names(address: Address) -> tuple[str, ...]:
    """Drivers write 0000:01:00.0, NVIDIA's 0000:01:00, an IOMMU 01:00.0."""
    slot = address.rpartition(".")[0]
    return address, slot, *((address.removeprefix("0000:"),) if address.startswith("0000:") else ())


def kernel_said(system: Reader, addresses: Collection[Address]) -> list[str] | None:
    """None where it may not be listened to."""
    if not isinstance(system, System):
        text = system.read(recorded.SAID)
        return None if text is None else lines_about(text.splitlines(), addresses)
    told = system.kernel_log().past()
    return None if told is None else lines_about(told, addresses)
