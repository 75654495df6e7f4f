"""AMD's and Intel's drivers, virtual functions, mediated devices, render nodes."""

from gpupass.doctor.check import ALL, WHOLE, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Arguments, Options, Type
from gpupass.model.reset_known import TROUBLES
from gpupass.model.vendor import Vendor

_SRIOV = frozenset({Purpose.SRIOV})
_MDEV = frozenset({Purpose.MDEV})
_REMOTING = frozenset({Purpose.REMOTING})
_DKMS = "i915-sriov-dkms"
_GUC_LOADS = 2  # bit of enable_guc: load HuC/GuC firmware and submit by it; without it there are no VFs


def _gim(sight: Sight) -> Told:
    modules = sight.ground.modules
    amd = [gpu for gpu in sight.of_vendor(Vendor.AMD) if gpu.facts.sriov is not None]
    if modules is None or not amd or "gim" not in modules.loaded:
        return
    both = [gpu for gpu in amd if gpu.driver == "amdgpu"]
    for gpu in both:
        why = "GIM is loaded to share it, and amdgpu has it"
        yield Said(about=gpu.address, why=why, remedy=Options(lines=("blacklist amdgpu",)))
    if not both:
        yield fine("GIM has the cards that it shares")


def _psp(sight: Sight) -> Told:
    amd, said = sight.of_vendor(Vendor.AMD), sight.ground.kernel.said
    if amd and said is None:
        yield hidden(sight, "what the kernel said of them")
        return
    wrong = [
        gpu
        for gpu in amd
        if any(gpu.address in line and ("PSP" in line or "GPU reset begin" in line) for line in said or ())
    ]
    for gpu in wrong:
        why = "amdgpu has had to reset it, or its security processor has failed, since boot"
        yield Said(
            about=gpu.address, why=why, remedy=Type(words="dmesg | grep amdgpu; power the host off and on")
        )
    if amd and not wrong:
        yield fine("amdgpu has reported no reset since boot")


def _vendor_reset(sight: Sight) -> Told:
    """It builds on no newer kernel without a patch, and fails in silence (vendor-reset issues 87, 103)."""
    modules = sight.ground.modules
    needy = [gpu for gpu in sight.gpus if (known := TROUBLES.get((gpu.vendor, gpu.device))) and known.cured]
    if not needy or modules is None or "vendor-reset" not in modules.kept:
        return
    if not modules.kept["vendor-reset"]:
        why = f"vendor-reset is installed, and not built for {sight.ground.kernel.release}"
        yield Said(
            about=needy[0].address, why=why, remedy=Type(words="dkms autoinstall; see why: dkms status")
        )
    elif "vendor_reset" not in modules.loaded:
        why = "vendor-reset is installed, and not loaded"
        yield Said(about=needy[0].address, why=why, remedy=Type(words="modprobe vendor-reset"))
    else:
        yield fine("vendor-reset is loaded")


def _intel(sight: Sight) -> Told:
    """i915 of kernel.org makes no virtual functions of integrated GPUs: xe does, or i915-sriov-dkms."""
    modules = sight.ground.modules
    for gpu in sight.of_vendor(Vendor.INTEL) if Purpose.SRIOV in sight.purposes else ():
        if gpu.driver not in ("i915", "xe"):
            continue
        if modules is None:
            yield hidden(sight, f"how {gpu.driver} was loaded", gpu.address)
            continue
        most = modules.parameters.get(f"{gpu.driver}.max_vfs")
        guc = modules.parameters.get("i915.enable_guc", "-1")
        if gpu.driver == "xe" and most == "0":
            cure = Arguments(add=("xe.max_vfs=7",), remove=_told(sight, "xe.max_vfs="))
            yield Said(about=gpu.address, why="xe was told to make no virtual functions", remedy=cure)
        elif gpu.driver == "i915" and most is None:
            why = "this i915 makes no virtual functions"
            number = f"{gpu.device:04x}"
            words = f"let xe drive it: xe.force_probe={number} i915.force_probe=!{number}"
            yield Said(about=gpu.address, why=why, remedy=Type(words=f"{words}, or install {_DKMS}"))
        elif gpu.driver == "i915" and guc.isdecimal() and not int(guc) & _GUC_LOADS:
            cure = Arguments(add=("i915.enable_guc=3",), remove=_told(sight, "i915.enable_guc="))
            yield Said(
                about=gpu.address,
                why="i915 does not submit by the GuC, which virtual functions need",
                remedy=cure,
            )
        else:
            yield fine(f"{gpu.driver} makes virtual functions", gpu.address)


def _told(sight: Sight, start: str) -> tuple[str, ...]:
    return tuple(word for word in sight.ground.kernel.words if word.startswith(start))


def _built(sight: Sight) -> Told:
    modules = sight.ground.modules
    if modules is None or _DKMS not in modules.kept or not sight.of_vendor(Vendor.INTEL):
        return
    if not modules.kept[_DKMS]:
        why = f"{_DKMS} is installed, and not built for {sight.ground.kernel.release}"
        yield Said(why=why, remedy=Type(words="dkms autoinstall; then reboot; see why: dkms status"))
    else:
        yield fine(f"{_DKMS} is built for this kernel")


def _token(sight: Sight) -> Told:
    """VFIO asks for a token when the physical function is a guest's, too (vfio_pci_core.c, vf_token)."""
    for gpu in sight.gpus:
        sriov = gpu.facts.sriov
        if sriov is not None and sriov.enabled and gpu.on_vfio:
            why = (
                f"it is on {gpu.driver} and has {sriov.enabled} virtual functions: whoever has it sees theirs"
            )
            words = f"give it back to its driver when nobody has them: gpupass unbind {gpu.address}"
            yield Said(about=gpu.address, why=why, remedy=Type(words=words))
        elif sriov is not None and sriov.enabled:
            yield fine("a driver of the host's has it beside its virtual functions", gpu.address)


def _mediated(sight: Sight) -> Told:
    modules = sight.ground.modules
    if Purpose.MDEV not in sight.purposes:
        return
    if modules is None:
        yield hidden(sight, "whether this kernel has mediated devices")
    elif modules.has("mdev"):
        yield fine("this kernel has mediated devices")
    elif any(gpu.facts.mdev_types for gpu in sight.gpus) or sight.host.mdev_buses:
        yield fine("a parent of mediated devices is there")
    else:
        why = "this kernel has no mediated devices (CONFIG_VFIO_MDEV)"  # Debian's cloud kernel has none
        yield Said(
            why=why, remedy=Type(words="boot the general kernel of the distribution, not that for clouds")
        )


def _render(sight: Sight) -> Told:
    if Purpose.REMOTING not in sight.purposes:
        return
    if sight.ground.functions is None and sight.gpus:
        yield hidden(sight, "whether they have render nodes")
        return
    for gpu in sight.gpus:
        found = sight.ground.function(gpu.address)
        if found is not None and found.render:
            yield fine("it has a render node", gpu.address)
        elif found is not None:
            why = "it has no render node: nothing of the host's can draw or compute with it for a guest"
            words = f"leave it to its driver: gpupass unbind {gpu.address}"
            yield Said(about=gpu.address, why=why, remedy=Type(words=words))


VENDORS = (
    Check(id="amd.gim", title="AMD's GIM", purposes=_SRIOV, worst=Level.FAIL, find=_gim),
    Check(id="amd.psp", title="AMD's errors", purposes=ALL, worst=Level.WARN, find=_psp),
    Check(id="amd.reset", title="vendor-reset", purposes=WHOLE, worst=Level.WARN, find=_vendor_reset),
    Check(id="intel.vfs", title="Intel's virtual functions", purposes=_SRIOV, worst=Level.FAIL, find=_intel),
    Check(id="intel.dkms", title="i915-sriov-dkms", purposes=_SRIOV, worst=Level.FAIL, find=_built),
    Check(
        id="sriov.pf", title="who has the physical function", purposes=_SRIOV, worst=Level.WARN, find=_token
    ),
    Check(id="mdev.kernel", title="mediated devices", purposes=_MDEV, worst=Level.FAIL, find=_mediated),
    Check(id="rem.render", title="render nodes", purposes=_REMOTING, worst=Level.WARN, find=_render),
)
