"""NVIDIA's driver and daemons."""

import re

from gpupass.devices.verdict import kernel_findings
from gpupass.doctor.check import ALL, WHOLE, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.checks.devices import told
from gpupass.doctor.remedy import Options, Type
from gpupass.model.host import NVIDIA
from gpupass.model.vendor import Vendor

_BLACKWELL = 0x2900  # the first of its device ids: the proprietary modules do not drive it
_DEADLY = ("79", "119", "154")  # fell off the bus; GSP does not answer; it needs a reset
_HOLDING = {
    "nvidia-dcgm.service": "dcgm",
    "dcgm-exporter.service": "dcgm-exporter",
    "nvsm.service": "nvsm",
    "nvidia-powerd.service": "nvidia-powerd",
}
_MANAGER = "nvidia-vgpu-mgr.service"
_FABRIC = "nvidia-fabricmanager.service"
_MIG = frozenset({Purpose.MIG})
_VGPU = frozenset({Purpose.VGPU})


def _flavour(sight: Sight) -> Told:
    nvidia = sight.ground.nvidia
    new = [gpu for gpu in sight.of_vendor(Vendor.NVIDIA) if gpu.device >= _BLACKWELL and gpu.is_gpu]
    if nvidia is None or nvidia.open is None or not sight.of_vendor(Vendor.NVIDIA):
        return
    if new and not nvidia.open:
        why = "cards from Blackwell on are driven by the open kernel modules alone"
        remedy = Type(words="install the open flavour of the same driver (nvidia-open, nvidia-driver-open)")
        yield Said(about=new[0].address, why=why, remedy=remedy)
    else:
        yield fine(f"{'open' if nvidia.open else 'proprietary'} modules {nvidia.version}")


def _mismatch(sight: Sight) -> Told:
    if not any(gpu.driver == NVIDIA for gpu in sight.of_vendor(Vendor.NVIDIA)):
        return
    wrong = [note for note in sight.host.unseen if "version mismatch" in note]
    if wrong:
        why = "its library is newer than the module that is loaded: NVML tells nothing"
        yield Said(why=why, remedy=Type(words="reboot; or unload the nvidia modules and load them again"))
    elif not any(note.startswith("NVML") for note in sight.host.unseen):
        yield fine("its library answers")


def _drm(sight: Sight) -> Told:
    modules = sight.ground.modules
    gpus = [gpu for gpu in sight.of_vendor(Vendor.NVIDIA) if gpu.driver == NVIDIA]
    found = [
        (gpu.address, one) for gpu in gpus for one in kernel_findings(gpu) if "nvidia_drm" in one.message
    ]
    yield from told(found)
    if gpus and not found and modules is not None and "nvidia_drm.modeset" in modules.hidden:
        yield hidden(sight, "how nvidia_drm was loaded")
    elif gpus and not found:
        yield fine("nvidia_drm draws on none of them")


def _holding(sight: Sight) -> Told:
    services = sight.ground.services
    if not sight.of_vendor(Vendor.NVIDIA):
        return
    if services is None:
        yield hidden(sight, "which daemons run")
        return
    active = [(unit, name) for unit, name in _HOLDING.items() if unit in services.active]
    for unit, name in active:
        why = f"{unit} opens every GPU, and again as soon as it can"
        yield Said(
            why=why,
            remedy=Type(words=f"gpupass attach DOMAIN DEVICE --stop {name}, or: systemctl stop {unit}"),
        )
    if not active:
        yield fine("no daemon opens them again and again")


def _fabric(sight: Sight) -> Told:
    nvidia, services = sight.ground.nvidia, sight.ground.services
    if nvidia is None or services is None or not nvidia.switches:
        return
    if _FABRIC not in services.active:
        why = "there are NVSwitches, and no fabric manager: no CUDA program starts"
        yield Said(why=why, remedy=Type(words=f"systemctl enable --now {_FABRIC}"))
    elif nvidia.fabric_mode == "0":
        why = "FABRIC_MODE=0: the fabric is one, and a GPU that goes to a guest leaves it broken"
        yield Said(
            why=why,
            level=Level.WARN,
            remedy=Type(
                words=f"set FABRIC_MODE=1 (or 2 for vGPU) in fabricmanager.cfg; systemctl restart {_FABRIC}"
            ),
        )
    else:
        yield fine("the fabric manager runs")


def _vgpu(sight: Sight) -> Told:
    nvidia, services = sight.ground.nvidia, sight.ground.services
    if nvidia is None or services is None or not nvidia.vgpu:
        return
    if _MANAGER not in services.active:
        why = "the vGPU manager does not run: no vGPU starts"
        yield Said(why=why, remedy=Type(words=f"systemctl enable --now {_MANAGER}"))
    else:
        yield fine("the vGPU manager runs")


def _lock(sight: Sight) -> Told:
    for gpu in sight.of_vendor(Vendor.NVIDIA):
        found = sight.ground.function(gpu.address)
        if found is not None and found.unbind_lock is False:
            why = "its driver has no unbindLock: who opens it in the wrong moment makes an unbind hang"
            yield Said(
                about=gpu.address,
                why=why,
                remedy=Type(words="stop what reads GPUs now and then; or a newer driver"),
            )
        elif found is not None and found.unbind_lock:
            yield fine("its driver can be locked for an unbind", gpu.address)


def _firmware(sight: Sight) -> Told:
    nvidia = sight.ground.nvidia
    if nvidia is None or nvidia.gsp is None or not sight.of_vendor(Vendor.NVIDIA):
        return
    if nvidia.open and not nvidia.gsp:
        line = "options nvidia NVreg_EnableGpuFirmware=1"
        yield Said(
            why="the open modules need the card's GSP, and that is switched off",
            remedy=Options(lines=(line,)),
        )
    else:
        yield fine("the card's GSP is as the modules need it")


def _pending(sight: Sight) -> Told:
    for gpu in sight.of_vendor(Vendor.NVIDIA):
        mode = gpu.facts.nvidia.mig_mode if gpu.facts.nvidia is not None else None
        if mode is not None and "pending" in mode:
            why = f"its MIG mode is {mode}"
            yield Said(
                about=gpu.address, why=why, remedy=Type(words="gpupass recover, when nobody has it open")
            )
        elif mode is not None:
            yield fine(f"its MIG mode is {mode}", gpu.address)


def _nouveau(sight: Sight) -> Told:
    modules = sight.ground.modules
    gpus = sight.of_vendor(Vendor.NVIDIA)
    bound = [gpu for gpu in gpus if gpu.driver in ("nouveau", "nova_core")]
    for gpu in bound:
        both = modules is not None and modules.has("nvidia")
        cure = (
            Options(lines=(f"blacklist {gpu.driver}",))
            if both
            else Type(words=f"gpupass host early-bind {gpu.address}")
        )
        yield Said(about=gpu.address, why=f"{gpu.driver} has it, whose unbind may hang", remedy=cure)
    if gpus and not bound:
        yield fine("nouveau has none of them")


def _errors(sight: Sight) -> Told:
    gpus, said = sight.of_vendor(Vendor.NVIDIA), sight.ground.kernel.said
    if not gpus:
        return
    if said is None:
        yield hidden(sight, "what the kernel said of them")
        return
    found = {}
    for line in said:
        xid = re.search(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)", line)
        if xid is not None:
            found[xid[1].lower(), xid[2]] = line
    ours = [(gpu, number) for gpu in gpus for at, number in found if gpu.address.startswith(at)]
    for gpu, number in ours:
        yield Said(
            about=gpu.address,
            level=None if number in _DEADLY else Level.WARN,
            why=f"its driver has reported Xid {number} since boot",
            remedy=Type(words="dmesg | grep Xid; a card that is lost needs a reset, or power off and on"),
        )
    if not ours:
        yield fine("its driver has reported no Xid since boot")


NVIDIA_CHECKS = (
    Check(id="nv.flavour", title="NVIDIA's modules", purposes=ALL, worst=Level.WARN, find=_flavour),
    Check(id="nv.mismatch", title="NVIDIA's library", purposes=ALL, worst=Level.FAIL, find=_mismatch),
    Check(id="nv.drm", title="nvidia_drm", purposes=WHOLE, worst=Level.WARN, find=_drm),
    Check(id="nv.dcgm", title="NVIDIA's daemons", purposes=WHOLE | _MIG, worst=Level.WARN, find=_holding),
    Check(id="nv.fm", title="NVIDIA's fabric", purposes=ALL, worst=Level.FAIL, find=_fabric),
    Check(id="nv.vgpu", title="the vGPU manager", purposes=_VGPU, worst=Level.FAIL, find=_vgpu),
    Check(id="nv.unbindlock", title="a safe unbind", purposes=WHOLE, worst=Level.WARN, find=_lock),
    Check(id="nv.gsp", title="GSP firmware", purposes=ALL, worst=Level.WARN, find=_firmware),
    Check(id="nv.mig", title="MIG mode", purposes=_MIG | _VGPU, worst=Level.WARN, find=_pending),
    Check(id="nv.nouveau", title="nouveau", purposes=ALL, worst=Level.WARN, find=_nouveau),
    Check(id="nv.xid", title="NVIDIA's errors", purposes=ALL, worst=Level.FAIL, find=_errors),
)
