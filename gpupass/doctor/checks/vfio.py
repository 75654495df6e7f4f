"""VFIO's modules, and what files say of them."""

from gpupass.doctor.check import VFIO, WHOLE, Check, Level, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Arguments, Install, Options, Remake, Type, Without
from gpupass.model.vendor import Vendor

_NEEDED = ("vfio_pci", "vfio_iommu_type1")
_ENTRIES = 65535  # the kernel's own (vfio_iommu_type1.c, dma_entry_limit)


def _modules(sight: Sight) -> Told:
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "which modules there are")
        return
    missing = [name for name in _NEEDED if not modules.has(name)]
    if missing and modules.directory is not False:
        yield Said(why=f"this kernel has no {', '.join(missing)}", remedy=Install(what="vfio"))
    elif not missing:
        loaded = all(name in modules.loaded or name in modules.builtin for name in _NEEDED)
        yield fine("they are loaded" if loaded else "they can be loaded, and gpupass does so when it binds")


def _kernel_gone(sight: Sight) -> Told:
    """An upgrade has removed the running kernel's modules: what is not loaded yet never will be."""
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "whether the running kernel's modules are still there")
    elif modules.directory is False:
        release = sight.ground.kernel.release
        yield Said(
            why=f"/lib/modules/{release} is gone: nothing more can be loaded", remedy=Type(words="reboot")
        )
    elif modules.directory:
        yield fine("the running kernel's modules are still there")


def _virqfd(sight: Sight) -> Told:
    """Linux 6.2 has it in vfio itself (e2d55709398e)."""
    modules = sight.ground.modules
    if modules is None or _version(sight) < (6, 2):
        return
    found = [line.partition(":")[0] for line in modules.at_boot if line.endswith("vfio_virqfd")]
    if found:
        why = "vfio_virqfd is no module any more since Linux 6.2: every boot complains of it"
        yield Said(why=why, remedy=Without(word="vfio_virqfd", files=tuple(found)))
    else:
        yield fine("no file asks for a module that is gone")


def _version(sight: Sight) -> tuple[int, ...]:
    return release(sight.ground.kernel.release)


def release(text: str) -> tuple[int, ...]:
    """6.12.23-2-pve → (6, 12, 23)."""
    return tuple(
        int(part) for part in text.partition("-")[0].partition("+")[0].split(".") if part.isdecimal()
    )


def _ids(sight: Sight) -> Told:
    """`ids=` means every card of that kind."""
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "what modprobe.d says of vfio-pci")
        return
    lines = [(one, word) for one in modules.options if one.module == "vfio_pci" for word in one.words]
    from_files = {one.file: word for one, word in lines if word.startswith("ids=")}
    told = [
        word.partition(".")[2]
        for word in sight.ground.kernel.words
        if word.startswith(("vfio-pci.ids=", "vfio_pci.ids="))
    ]
    wanted = {ids[:9].lower() for word in (*from_files.values(), *told) for ids in word[4:].split(",")}
    shared = [
        device
        for device in sight.host.devices
        if device.ids in wanted and sum(other.ids == device.ids for other in sight.host.devices) > 1
    ]
    left = [device for device in shared if not device.on_vfio] or shared
    if "vfio_pci" in modules.builtin and from_files:
        word = next(iter(from_files.values()))
        yield Said(
            why=f"vfio-pci is built into this kernel, which does not read {', '.join(from_files)}",
            remedy=Arguments(add=(f"vfio-pci.{word}",)),
        )
    elif left:
        why = f"ids= catches every card of {left[0].ids}, and there are several"
        remedy = Type(words=f"gpupass host early-bind {left[0].address}, and take ids= away")
        yield Said(about=left[0].address, why=why, remedy=remedy)
    elif wanted:
        yield fine("ids= names kinds of which there is one each")


def _early(sight: Sight) -> Told:
    own = sight.ground.own
    if own is None or not own.early:
        return
    late = [one for one in sight.host.devices_at(own.early) if one.driver is not None and not one.on_vfio]
    for device in late:
        yield Said(
            about=device.address,
            why=f"{device.driver} has it, though it is bound early: the initramfs does not know, "
            "or nobody has rebooted",
            remedy=Remake(),
        )
    if not late:
        yield fine("who is bound early is on vfio-pci")


def _switches(sight: Sight) -> Told:
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "how vfio-pci was loaded")
        return
    on = [
        name.partition(".")[2]
        for name in ("vfio_pci.disable_denylist", "vfio_pci.enable_sriov")
        if modules.parameters.get(name) in ("Y", "1")
    ]
    if on:
        yield Said(
            why=f"vfio-pci was loaded with {' and '.join(on)}: devices known to be harmful are let through",
            remedy=Options(lines=tuple(f"options vfio-pci {name}=0" for name in on), reload="vfio-pci"),
        )
    elif "vfio_pci" in modules.loaded:
        yield fine("vfio-pci was loaded with nothing that weakens it")


def _mappings(sight: Sight) -> Told:
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "how vfio_iommu_type1 was loaded")
        return
    few = int(modules.parameters.get("vfio_iommu_type1.dma_entry_limit") or _ENTRIES)
    small = modules.parameters.get("vfio_iommu_type1.disable_hugepages") in ("Y", "1")
    if few < _ENTRIES:
        line = f"options vfio_iommu_type1 dma_entry_limit={_ENTRIES}"
        yield Said(
            why=f"only {few} mappings: guests with much memory do not start", remedy=Options(lines=(line,))
        )
    elif small:
        line = "options vfio_iommu_type1 disable_hugepages=0"
        yield Said(
            why="disable_hugepages: a guest's memory is mapped page by page", remedy=Options(lines=(line,))
        )
    elif "vfio_iommu_type1" in modules.loaded:
        yield fine(f"{few} mappings, in large pages")


def _no_iommu(sight: Sight) -> Told:
    modules = sight.ground.modules
    if modules is None:
        yield hidden(sight, "how vfio was loaded")
    elif modules.parameters.get("vfio.enable_unsafe_noiommu_mode") in ("Y", "1"):
        line = "options vfio enable_unsafe_noiommu_mode=0"
        why = "VFIO gives devices away without an IOMMU: whoever has one can write all memory"
        yield Said(why=why, remedy=Options(lines=(line,)))
    elif "vfio" in modules.loaded:
        yield fine("VFIO insists on an IOMMU")


def _variant(sight: Sight) -> Told:
    """A vfio driver of its own: without it memory or migration is missing (nvgrace_gpu, mlx5, xe)."""
    for gpu in sight.gpus:
        found = sight.ground.function(gpu.address)
        plain = found is not None and found.variants and gpu.driver == "vfio-pci"
        if plain and found is not None:
            name = found.variants[0]
            level = Level.FAIL if "nvgrace" in name and gpu.vendor == Vendor.NVIDIA else Level.WARN
            why = f"it is on plain vfio-pci, and {name} was made for it"
            remedy = Type(words=f"gpupass bind {gpu.address} --driver {name.replace('_', '-')}")
            yield Said(about=gpu.address, why=why, level=level, remedy=remedy)
        elif found is not None and found.variants:
            yield fine(f"{found.variants[0]} was made for it", gpu.address)


VFIO_CHECKS = (
    Check(id="vfio.modules", title="VFIO's modules", purposes=VFIO, worst=Level.FAIL, find=_modules),
    Check(id="kern.gone", title="the running kernel", purposes=VFIO, worst=Level.FAIL, find=_kernel_gone),
    Check(id="vfio.virqfd", title="modules at boot", purposes=VFIO, worst=Level.WARN, find=_virqfd),
    Check(id="vfio.ids", title="binding by kind", purposes=WHOLE, worst=Level.WARN, find=_ids),
    Check(id="vfio.early-late", title="early binding", purposes=WHOLE, worst=Level.FAIL, find=_early),
    Check(id="vfio.switches", title="vfio-pci's switches", purposes=VFIO, worst=Level.WARN, find=_switches),
    Check(id="vfio.dma-limit", title="mappings", purposes=VFIO, worst=Level.WARN, find=_mappings),
    Check(id="vfio.noiommu", title="VFIO with an IOMMU", purposes=VFIO, worst=Level.FAIL, find=_no_iommu),
    Check(
        id="vfio.variant", title="the card's own vfio driver", purposes=WHOLE, worst=Level.FAIL, find=_variant
    ),
)
