"""Processor and firmware: can this machine do it at all?"""

from gpupass.devices.verdict import NO_IOMMU, NO_IOMMU_WAY
from gpupass.doctor.check import (
    ALL,
    GUESTS,
    VFIO,
    WHOLE,
    Check,
    Level,
    Purpose,
    Said,
    Sight,
    Told,
    fine,
    hidden,
)
from gpupass.doctor.remedy import Arguments, Install, Load, Setup, Type
from gpupass.lending.preflight import size_text
from gpupass.model.host import Device
from gpupass.model.reset_known import TROUBLES

INTEL = "GenuineIntel"
_GIB = 1 << 30
_LARGE = 256 << 20
_FEW_BITS = 40  # 128 GiB of window for a guest's devices: an eighth (OVMF, SeaBIOS)
_WITHOUT_ARI = 7  # functions of one device number
_SWITCH = "switch Intel VT-x (AMD: SVM) on"
_BUILT = {"nvidia": "nvidia", "i915-sriov-dkms": "i915", "vendor-reset": "vendor_reset", "gim": "gim"}


def _virtual(sight: Sight) -> Told:
    cpu = sight.ground.cpu
    if cpu is None:
        yield hidden(sight, "what the processor can do")
    elif cpu.vendor and not cpu.virtual:
        setup = Setup(words=_SWITCH)
        yield Said(why="the processor has no VT-x or AMD-V, or it is switched off: no KVM", remedy=setup)
    elif cpu.vendor:
        yield fine("VT-x is on" if cpu.vendor == INTEL else "AMD-V is on")


def _kvm(sight: Sight) -> Told:
    cpu, virtual = sight.ground.cpu, sight.ground.virtualisation
    if virtual is None or virtual.kvm is None or cpu is None:
        yield hidden(sight, "/dev/kvm")
    elif not virtual.kvm:
        module = "kvm_intel" if cpu.vendor == INTEL else "kvm_amd"
        why = "there is no /dev/kvm: guests would be emulated, and VFIO needs KVM to be of use"
        there = sight.ground.modules is not None and sight.ground.modules.has(module)
        load = Load(modules=("kvm", module)) if there else Install(what="kvm")
        yield Said(why=why, remedy=load if cpu.virtual else Setup(words=_SWITCH))
    else:
        yield fine("/dev/kvm is there")


def _guest(sight: Sight) -> Told:
    cpu = sight.ground.cpu
    if cpu is None:
        yield hidden(sight, "whether this host is a virtual machine")
    elif cpu.guest:
        outer = Type(words="on the outer host: nested=1, and <iommu model=intel> for this machine")
        yield Said(
            why="this host is a virtual machine itself: resets and MIG modes differ in one", remedy=outer
        )
    elif cpu.vendor:
        yield fine("this host is no virtual machine")


def _bits(sight: Sight) -> Told:
    cpu, large = sight.ground.cpu, [gpu for gpu in sight.gpus if _largest(gpu) >= 32 * _GIB]
    if large and (cpu is None or cpu.physical_bits is None):
        yield hidden(sight, "how wide the processor's addresses are")
    elif large and cpu is not None and (cpu.physical_bits or 0) < _FEW_BITS:
        yield Said(
            about=large[0].address,
            why=f"{cpu.physical_bits} address bits leave a guest {1 << (cpu.physical_bits or 0) >> 33} GiB "
            f"for devices: a BAR of {size_text(_largest(large[0]))} hardly fits",
            remedy=Type(
                words="in the domain: <cpu mode=host-passthrough><maxphysaddr mode=passthrough/></cpu>"
            ),
        )
    elif large and cpu is not None:
        yield fine(f"{cpu.physical_bits} address bits")


def _largest(device: Device) -> int:
    return max((bar.size for bar in device.facts.bars), default=0)


def _above_4g(sight: Sight) -> Told:
    if sight.ground.functions is None:
        yield hidden(sight, "where BARs lie")
        return
    wrong = False
    for member in sight.members:
        found = sight.ground.function(member.address)
        if found is not None and found.unassigned:
            wrong = True
            sizes = ", ".join(map(size_text, found.unassigned))
            remedy = Setup(
                words="switch Above 4G Decoding on (and, where it stays so, boot with pci=realloc)"
            )
            yield Said(about=member.address, why=f"no place was found for its BARs ({sizes})", remedy=remedy)
        elif found is not None and any(size >= _LARGE for size in found.low) and member.is_gpu:
            wrong = True
            yield Said(
                about=member.address,
                level=Level.WARN,
                why=f"a BAR of {size_text(max(found.low))} lies below 4 GiB: a second card may find no place",
                remedy=Setup(words="switch Above 4G Decoding on"),
            )
    if not wrong and sight.gpus:
        yield fine("every BAR has its place")


def _resizable(sight: Sight) -> Told:
    """The size that is set here is what a guest sees."""
    for gpu in sight.gpus:
        for bar in gpu.facts.bars:
            fragile = (gpu.vendor, gpu.device) in TROUBLES
            if bar.sizes and fragile and bar.size == max(bar.sizes) > _LARGE:
                smaller = f"/sys/bus/pci/devices/{gpu.address}/resource{bar.index}_resize"
                yield Said(
                    about=gpu.address,
                    why=f"BAR {bar.index} has all its {size_text(bar.size)}, on a card known not to reset",
                    remedy=Type(words=f"while it has no driver: echo 8 > {smaller} (256 MiB)"),
                )
            elif bar.sizes:
                yield fine(
                    f"BAR {bar.index} is {size_text(bar.size)} of {size_text(max(bar.sizes))}", gpu.address
                )


def _sriov(sight: Sight) -> Told:
    said = sight.ground.kernel.said or ()
    for gpu in sight.gpus:
        sriov, found = gpu.facts.sriov, sight.ground.function(gpu.address)
        remedy = Setup(words="switch SR-IOV and ARI on (and, where it stays so, boot with pci=realloc)")
        if sriov is None:
            continue
        if any("not enough MMIO" in line and gpu.address in line for line in said) or (
            found and found.vf_unassigned
        ):
            yield Said(
                about=gpu.address, why="its virtual functions find no place for their memory", remedy=remedy
            )
        elif not sriov.total:
            yield Said(
                about=gpu.address, why="it could have virtual functions, and is allowed none", remedy=remedy
            )
        else:
            yield fine(f"{sriov.total} virtual functions are possible", gpu.address)


def _ari(sight: Sight) -> Told:
    for gpu in sight.gpus:
        sriov, found = gpu.facts.sriov, sight.ground.function(gpu.address)
        if sriov is None or sriov.total <= _WITHOUT_ARI:
            continue
        if found is None or found.ari is None:
            yield hidden(sight, "whether the port above forwards ARI", gpu.address)
        elif not found.ari:
            yield Said(
                about=gpu.address,
                why=f"the port above it forwards no ARI: of {sriov.total} virtual functions only some answer",
                remedy=Setup(words="switch ARI on, or use another slot"),
            )
        else:
            yield fine("the port above it forwards ARI", gpu.address)


def _csm(sight: Sight) -> Told:
    firmware = sight.ground.firmware
    displays = [gpu for gpu in sight.gpus if gpu.facts.boot_display]
    if firmware is None and displays:
        yield hidden(sight, "whether it was booted by UEFI")
    elif firmware is not None and not firmware.efi and displays:
        yield Said(
            about=displays[0].address,
            why="booted the legacy way: the boot display's ROM was run, and a guest needs another",
            remedy=Setup(words="boot by UEFI, and switch CSM off"),
        )
    elif displays:
        yield fine("booted by UEFI")


def _secure_boot(sight: Sight) -> Told:
    firmware, modules = sight.ground.firmware, sight.ground.modules
    if firmware is None or modules is None:
        yield hidden(sight, "Secure Boot")
        return
    refused = [name for name in modules.kept if _BUILT.get(name) not in modules.loaded]
    if firmware.secure_boot and refused:
        why = f"Secure Boot refuses modules that nobody has signed: {', '.join(refused)} is not loaded"
        yield Said(why=why, remedy=Install(what="key"))
    else:
        yield fine("Secure Boot is " + ("on, and keeps no module out" if firmware.secure_boot else "off"))


def _lockdown(sight: Sight) -> Told:
    lockdown = sight.ground.kernel.lockdown
    if lockdown in ("integrity", "confidentiality"):
        why = f"the kernel is locked down ({lockdown}): nobody writes BARs or loads unsigned modules"
        yield Said(why=why, remedy=Type(words="sign the modules that you need; Secure Boot can stay on"))
    elif lockdown is not None:
        yield fine("the kernel is not locked down")


_NO_TABLE = "the firmware tells the kernel of no IOMMU (neither DMAR, IVRS nor IORT)"


def _table(sight: Sight) -> Told:
    firmware = sight.ground.firmware
    if firmware is None:
        yield hidden(sight, "the firmware's tables")
    elif firmware.tables:
        yield fine(f"the firmware tells of one ({', '.join(firmware.tables)})")
    elif not sight.host.iommu.enabled:  # a device tree has none of them
        yield Said(why=_NO_TABLE, remedy=Setup(words="switch Intel VT-d (AMD: IOMMU, Arm: SMMU) on"))


def _iommu(sight: Sight) -> Told:
    """Intel's is off unless the kernel was built otherwise or is told; AMD's is on where the firmware has it
    (Documentation/admin-guide/kernel-parameters.txt knows no amd_iommu=on)."""
    ground, firmware = sight.ground, sight.ground.firmware
    if sight.host.iommu.enabled:
        yield fine(f"it is on: {len(sight.host.groups)} groups")
        return
    if firmware is None:
        yield Said(why=NO_IOMMU, remedy=Type(words=NO_IOMMU_WAY))
    elif "DMAR" in firmware.tables and "intel_iommu=on" not in ground.kernel.words:
        yield Said(why=NO_IOMMU, remedy=Arguments(add=("intel_iommu=on",)))
    else:
        yield Said(why=NO_IOMMU, remedy=Setup(words="switch VT-d or AMD-Vi on"))


FIRMWARE = (
    Check(id="cpu.virt", title="hardware virtualisation", purposes=GUESTS, worst=Level.FAIL, find=_virtual),
    Check(id="cpu.kvm", title="/dev/kvm", purposes=GUESTS, worst=Level.FAIL, find=_kvm),
    Check(id="cpu.guest", title="bare metal", purposes=ALL, worst=Level.WARN, find=_guest),
    Check(id="cpu.physbits", title="address bits", purposes=WHOLE, worst=Level.WARN, find=_bits),
    Check(id="iommu.on", title="IOMMU", purposes=VFIO, worst=Level.FAIL, find=_iommu),
    Check(id="iommu.table", title="IOMMU in the firmware", purposes=VFIO, worst=Level.FAIL, find=_table),
    Check(id="fw.above4g", title="room for BARs", purposes=ALL, worst=Level.FAIL, find=_above_4g),
    Check(id="fw.rebar", title="resizable BARs", purposes=WHOLE, worst=Level.WARN, find=_resizable),
    Check(
        id="fw.sriov",
        title="virtual functions allowed",
        purposes=frozenset({Purpose.SRIOV, Purpose.VGPU}),
        worst=Level.FAIL,
        find=_sriov,
    ),
    Check(
        id="fw.ari",
        title="numbers for virtual functions",
        purposes=frozenset({Purpose.SRIOV, Purpose.VGPU}),
        worst=Level.FAIL,
        find=_ari,
    ),
    Check(id="fw.csm", title="UEFI", purposes=WHOLE, worst=Level.WARN, find=_csm),
    Check(id="fw.secureboot", title="Secure Boot", purposes=ALL, worst=Level.WARN, find=_secure_boot),
    Check(id="fw.lockdown", title="kernel lockdown", purposes=ALL, worst=Level.WARN, find=_lockdown),
)
