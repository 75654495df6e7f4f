"""Whether the IOMMU keeps guests apart: its switches, interrupts, reserved regions, groups."""

from collections.abc import Iterator

from gpupass.devices.verdict import NO_REMAPPING, NO_REMAPPING_REMEDY, device_verdict
from gpupass.doctor.check import VFIO, Check, Level, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Arguments, Type, Without
from gpupass.model.vendor import Vendor
from gpupass.model.verdict import Staying, StayKind

_OFF = ("intel_iommu=off", "amd_iommu=off", "iommu=off", "iommu=soft", "iommu=noforce")
_WEAK = ("pci=disable_acs_redir", "pci=config_acs", "pci=noats", "pci=nommconf")
_UNSAFE = "allow_unsafe_interrupts"


def _words(sight: Sight, *starts: str) -> tuple[str, ...]:
    return tuple(word for word in sight.ground.kernel.words if word.startswith(starts))


def _off(sight: Sight) -> Told:
    found = tuple(word for word in sight.ground.kernel.words if word in _OFF)
    if found:
        yield Said(why=f"the kernel was told {' '.join(found)}", remedy=Arguments(remove=found))
    elif sight.ground.kernel.words:
        yield fine("nothing on the command line switches it off")


def _integrated(sight: Sight) -> Told:
    """igfx_off, or a kernel built with INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF (Debian's): it has no group."""
    ours = [gpu for gpu in sight.of_vendor(Vendor.INTEL) if gpu.address.endswith(":00:02.0")]
    without = [gpu for gpu in ours if gpu.group is None and sight.host.iommu.enabled]
    told = tuple(word for word in _words(sight, "intel_iommu=") if "igfx_off" in word)
    for gpu in without:
        yield Said(
            about=gpu.address,
            why="the processor's own GPU is left out of the IOMMU",
            remedy=Arguments(add=("intel_iommu=on",), remove=told),
        )
    if ours and not without and sight.host.iommu.enabled:
        yield fine("the processor's own GPU is behind the IOMMU")


def _remapping(sight: Sight) -> Told:
    iommu = sight.host.iommu
    off = tuple(word for word in _words(sight, "intremap=") if "off" in word)
    if not iommu.enabled:
        return
    if iommu.interrupt_remapping is None:
        yield hidden(sight, "whether interrupts are remapped")
    elif not iommu.interrupt_remapping:
        remedy = Arguments(remove=off) if off else Type(words=NO_REMAPPING_REMEDY)
        yield Said(why=NO_REMAPPING, remedy=remedy)
    else:
        yield fine("interrupts are remapped")


def _unsafe(sight: Sight) -> Told:
    modules = sight.ground.modules
    told = tuple(word for word in sight.ground.kernel.words if f".{_UNSAFE}=" in word and _yes(word))
    if modules is None:
        yield hidden(sight, "how modules were loaded")
        return
    files = {one.file: w for one in modules.options for w in one.words if w.startswith(_UNSAFE) and _yes(w)}
    on = [
        name for name, value in modules.parameters.items() if name.endswith(_UNSAFE) and value in ("Y", "1")
    ]
    if told:
        yield Said(why="isolation is off: a guest can inject interrupts", remedy=Arguments(remove=told))
    elif files or on:
        word = next(iter(files.values()), f"{_UNSAFE}=1")
        remedy = Without(word=word, files=tuple(files) or ("/etc/modprobe.d",))
        yield Said(why="isolation is off: a guest can inject interrupts", remedy=remedy)
    else:
        yield fine("VFIO insists on remapped interrupts")


def _yes(word: str) -> bool:
    return word.rpartition("=")[2] in ("1", "Y", "y", "on")


def _stays(sight: Sight, *kinds: StayKind) -> Iterator[tuple[str, Staying]]:
    for gpu in sight.gpus:
        for stay in device_verdict(gpu, sight.host).staying:
            if stay.kind in kinds:
                yield gpu.address, stay


def _reserved(sight: Sight) -> Told:
    found = list(_stays(sight, StayKind.RESERVED))
    for address, stay in found:
        yield Said(about=address, why=stay.reason, remedy=Type(words=stay.remedy))
    if not found and sight.host.iommu.enabled and sight.gpus:
        yield fine("the firmware reserves nothing in their groups")


def _host_life(sight: Sight) -> Told:
    found = list(_stays(sight, StayKind.DISK, StayKind.NETWORK, StayKind.BRIDGE, StayKind.STRANGER))
    for address, stay in found:
        yield Said(about=address, why=stay.reason, remedy=Type(words=stay.remedy))
    if not found and sight.gpus:
        yield fine("the host lives on none of what would move along")


def _company(sight: Sight) -> Told:
    if not sight.host.iommu.enabled:
        return
    alone = True
    for gpu in sight.gpus:
        verdict = device_verdict(gpu, sight.host)
        others = [member.address for member in verdict.companions if not member.same_slot]
        if others:
            alone = False
            why = f"{', '.join(others)} would move along" + (f": {verdict.acs}" if verdict.acs else "")
            remedy = verdict.advice[0] if verdict.advice else f"gpupass bind {gpu.address} --with {others[0]}"
            yield Said(about=gpu.address, why=why, remedy=Type(words=remedy))
    if alone and sight.gpus:
        yield fine("no device of another slot would move along")


def _override(sight: Sight) -> Told:
    """No kernel of kernel.org has the word; Proxmox VE's and zen do."""
    found = _words(sight, "pcie_acs_override=")
    if found:
        why = "IOMMU groups are not true: devices in different ones can reach each other's memory"
        yield Said(why=why, remedy=Arguments(remove=found))
    elif sight.ground.kernel.words:
        yield fine("groups are as the hardware isolates")


def _weak(sight: Sight) -> Told:
    found = _words(sight, *_WEAK)
    if found:
        yield Said(why=f"{' '.join(found)} weakens what isolates devices", remedy=Arguments(remove=found))
    elif sight.ground.kernel.words:
        yield fine("nothing on the command line weakens it")


ISOLATION = (
    Check(id="iommu.off-arg", title="IOMMU not forbidden", purposes=VFIO, worst=Level.FAIL, find=_off),
    Check(
        id="iommu.gfx",
        title="IOMMU for the processor's GPU",
        purposes=VFIO,
        worst=Level.FAIL,
        find=_integrated,
    ),
    Check(id="iommu.ir", title="interrupt remapping", purposes=VFIO, worst=Level.FAIL, find=_remapping),
    Check(id="iommu.unsafe", title="safe interrupts", purposes=VFIO, worst=Level.WARN, find=_unsafe),
    Check(id="iommu.rmrr", title="reserved regions", purposes=VFIO, worst=Level.FAIL, find=_reserved),
    Check(id="grp.quality", title="IOMMU groups", purposes=VFIO, worst=Level.WARN, find=_company),
    Check(
        id="grp.host-life", title="what the host lives on", purposes=VFIO, worst=Level.FAIL, find=_host_life
    ),
    Check(id="grp.acs-override", title="true groups", purposes=VFIO, worst=Level.WARN, find=_override),
    Check(id="grp.acs-weaken", title="access control", purposes=VFIO, worst=Level.WARN, find=_weak),
)
