"""Which GPU instances are gpupass's own, of this boot only: no instance outlives one; pure.

MIG mode does where switching it takes a reset (MIG User Guide: before Hopper it is kept by the GPU).
"""

from collections.abc import Iterable, Iterator

from gpupass.model.host import Device, Host
from gpupass.model.mig import GpuInstance
from gpupass.model.record import Record, RecordKind
from gpupass.plan import Finding, adopt_or_take_over
from gpupass.step import Deed
from gpupass.steps.record import WriteRecord


def made_by_us(host: Host, device: Device) -> Record | None:
    return host.record_of_this_boot(RecordKind.MIG, device.address)


def mode_is_ours(host: Host, device: Device) -> bool:
    """It was off, and gpupass has switched it on."""
    record = host.record(RecordKind.MIG, device.address)
    cut = device.facts.nvidia.cut if device.facts.nvidia is not None else None
    kept = cut is not None and cut.resets
    return record is not None and record.mode and (kept or made_by_us(host, device) is not None)


def ours(host: Host, device: Device, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that gpupass made."""
    record = made_by_us(host, device)
    return tuple(name for name in names if record is not None and name in record.instances)


def recorded(
    host: Host,
    device: Device,
    instances: tuple[str, ...],
    mode: bool,
    *,
    keep_mode: bool = True,
    on_the_way: tuple[str, ...] = (),
) -> tuple[tuple[Deed, ...], tuple[Deed, ...]]:
    """The steps that remember just these instances, and that the mode was off before.

    The first ones come before the deed: until it is done those on the way out are gpupass's, too.
    """
    old = made_by_us(host, device)
    now: tuple[tuple[str, ...], bool] | None = ((), False)
    if old is not None:
        now = (tuple(sorted(old.instances)), old.mode)
    elif host.record(RecordKind.MIG, device.address) is not None:
        now = None  # of an earlier boot
    mode = mode or (keep_mode and mode_is_ours(host, device))
    before = (tuple(sorted({*instances, *on_the_way})), mode)
    after = (tuple(sorted(instances)), mode)
    return (
        _record(host, device, *before) if before != now else (),
        _record(host, device, *after) if after != before else (),
    )


def _record(host: Host, device: Device, instances: tuple[str, ...], mode: bool) -> tuple[Deed, ...]:
    if not instances and not mode:
        why = "nothing of it is gpupass's any more"
        return (WriteRecord(kind=RecordKind.MIG, address=device.address, record=None, why=why),)
    made = Record(
        kind=RecordKind.MIG, address=device.address, instances=instances, mode=mode, boot_id=host.boot_id
    )
    why = "so that they are known as gpupass's"
    return (WriteRecord(kind=RecordKind.MIG, address=device.address, record=made, why=why),)


def foreign_findings(
    device: Device, changed: tuple[GpuInstance, ...], foreign: frozenset[GpuInstance]
) -> Iterator[Finding]:
    lost = [one.name for one in changed if one in foreign]
    if lost:
        yield Finding(
            message=f"{device.address} has {', '.join(lost)}, which gpupass did not make "
            "and the layout has no place for",
            remedy=adopt_or_take_over(device.address),
        )
