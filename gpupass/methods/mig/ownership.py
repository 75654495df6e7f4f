"""Which GPU instances are gpupass's own, of this boot only: no instance outlives one; pure.

MIG mode does where switching it takes a reset (MIG User Guide: before Hopper it is kept by the GPU).
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark
from gpupass.model.mig import GpuInstance
from gpupass.plan import Finding, adopt_or_take_over


class Made(Mark, frozen=True, kw_only=True, tag="mig.made"):
    """This GPU instance (`part`, 3g.20gb@4) was made by gpupass; without a part: its mode was off before."""

    what: ClassVar[str] = "the GPU instances"


def ours(host: Host, device: Device, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that gpupass made."""
    return tuple(name for name in names if host.mark_of_this_boot(Made, device.address, name) is not None)


def any_ours(host: Host, device: Device) -> bool:
    """Something of it was made by gpupass since the last boot."""
    return any(mark.boot_id == host.boot_id for mark in host.marks_of(Made, device.address))


def mode_is_ours(host: Host, device: Device) -> bool:
    """It was off, and gpupass has switched it on."""
    mark = host.mark(Made, device.address)
    cut = device.facts.nvidia.mig if device.facts.nvidia is not None else None
    kept = cut is not None and cut.resets
    return mark is not None and (kept or mark.boot_id == host.boot_id)


def remembered(host: Host, device: Device, part: str = "") -> Made:
    return Made(carrier=device.address, part=part, boot_id=host.boot_id)


def outlived(host: Host, device: Device, names: Iterable[str]) -> tuple[Made, ...]:
    """Marks of what is not there any more: of an earlier boot, or taken away by others."""
    there = {*names}
    return tuple(mark for mark in host.marks_of(Made, device.address) if mark.part and mark.part not in there)


def foreign_findings(
    device: Device, changed: tuple[GpuInstance, ...], foreign: frozenset[GpuInstance], why: str
) -> Iterator[Finding]:
    lost = [one.name for one in changed if one in foreign]
    if lost:
        yield Finding(
            message=f"{device.address} has {', '.join(lost)}, which gpupass did not make and {why}",
            remedy=adopt_or_take_over(device.address),
        )
