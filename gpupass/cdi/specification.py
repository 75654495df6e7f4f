"""Host → what containers can be given, as a specification of the Container Device Interface; pure.

Only device nodes are in it: libraries of a driver come with the image, or from nvidia-ctk's own file.
"""

from collections.abc import Iterator
from typing import Any

import yaml
from msgspec import Struct

from gpupass.lending.handover import holder
from gpupass.methods import slots_of
from gpupass.methods.mig.plan import instances
from gpupass.methods.partition import PARTITION
from gpupass.model.boot import HostFile
from gpupass.model.host import Device, Host
from gpupass.model.mark import Claim, Quarantine
from gpupass.model.mig import ComputeInstance, GpuInstance
from gpupass.model.nodes import Nodes
from gpupass.model.profile import NVIDIA_CTK
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import UserKind
from gpupass.plan import Finding, Plan
from gpupass.steps.file import WriteFile

PATH = "/etc/cdi/gpupass.yaml"
KIND = "gpupass.io/gpu"
VERSION = "0.5.0"  # the first one whose device names may begin with a digit
_NVIDIA = "nvidia"
_COMMON = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset")
_AMD = "amdgpu"
_HEADER = (
    "# Written by `gpupass cdi`, and again by every `gpupass apply`: what is changed here is lost.\n"
    f"# podman run --device {KIND}=NAME …\n"
)
_ELSEWHERE = "# NVIDIA GPUs: see /etc/cdi/nvidia.yaml, by nvidia-ctk.\n"


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name for containers, and every device file it needs; nvidia-modprobe takes `capabilities`."""

    name: str
    nodes: tuple[str, ...]
    optional: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    remedy: str = ""


def cdi_plan(host: Host, before: HostFile | None, nvidia: bool = True) -> Plan:
    """Write the specification; empty when it is there already. `nvidia` False: others cover NVIDIA GPUs."""
    text = cdi_text(host, nvidia)
    wanted = HostFile(path=PATH, text=text, mode=0o644)
    step = WriteFile(path=PATH, text=text, mode=0o644, why="what containers can be given has changed")
    findings = tuple(
        Finding(message=f"{entry.name} is left out: there is no {missing}", remedy=entry.remedy, fatal=False)
        for entry in _entries(host, nvidia)
        for missing in _missing(entry, _nodes(host))[:1]
    )
    blind = tuple(
        Finding(message=f"what domains have may be among it: {unseen}", remedy="virsh list", fatal=False)
        for unseen in host.unseen
        if unseen.startswith("libvirt:")
    )
    steps = () if before == wanted else (step,)
    return Plan(title=f"write {PATH}", steps=steps, findings=(*findings, *blind))


def refresh_plan(containers: str | None, host: Host) -> Plan | None:
    """What forbids an apply whose profile says so to refresh what containers are told afterwards."""
    if containers != NVIDIA_CTK or host.nvidia_ctk is not False:
        return None
    return Plan(title=f"containers: {containers}", findings=(without_nvidia_ctk(),))


def without_nvidia_ctk(fatal: bool = True) -> Finding:
    hint = "apt install nvidia-container-toolkit; or containers: cdi"
    return Finding(message="nvidia-ctk is not installed", remedy=hint, fatal=fatal)


def cdi_text(host: Host, nvidia: bool = True) -> str:
    text: str = yaml.safe_dump(cdi_specification(host, nvidia), sort_keys=False, width=1 << 30)
    return _HEADER + ("" if nvidia else _ELSEWHERE) + text


def unmade_capabilities(host: Host) -> tuple[str, ...]:
    """Files of /proc that nvidia-modprobe -f makes the missing access nodes of GPU instances from."""
    entries = (entry for entry in _entries(host, True) if _missing(entry, _nodes(host)))
    return tuple(dict.fromkeys(file for entry in entries for file in entry.capabilities))


def leaves_nvidia_out(text: str) -> bool:
    """Does this file of ours say that NVIDIA GPUs are covered by nvidia-ctk?"""
    return _ELSEWHERE in text


def cdi_specification(host: Host, nvidia: bool = True) -> dict[str, Any]:
    present = _nodes(host).present
    return {
        "cdiVersion": VERSION,
        "kind": KIND,
        "devices": [
            {
                "name": entry.name,
                "containerEdits": {
                    "deviceNodes": [
                        {"path": path}
                        for path in (*entry.nodes, *(path for path in entry.optional if path in present))
                    ]
                },
            }
            for entry in _entries(host, nvidia)
            if not _missing(entry, _nodes(host))
        ],
    }


def _nodes(host: Host) -> Nodes:
    """Asking for them where they were not read is a bug of the caller."""
    if host.nodes is None:
        raise LookupError("the host was observed without its device files")
    return host.nodes


def _missing(entry: _Entry, nodes: Nodes) -> tuple[str, ...]:
    return tuple(path for path in entry.nodes if path not in nodes.present)


def _entries(host: Host, nvidia: bool) -> Iterator[_Entry]:
    """In the order of the addresses; a GPU before its parts."""
    for device in host.devices:
        if device.detail is None or device.is_bridge or (device.driver == _NVIDIA and not nvidia):
            continue
        if device.physfn is None and not device.is_gpu:
            continue
        if not _lent(host, device):
            yield from _of_function(host, device)


def _lent(host: Host, device: Device) -> bool:
    """A domain has it, its last one has not let go cleanly, or nobody may have it."""
    return (
        any(user.kind is UserKind.DOMAIN for user in device.users)
        or (device.facts.vgpu is not None and not device.facts.vgpu.current)  # its node opens for nobody
        or host.mark(Quarantine, device.address) is not None
        or host.mark(Claim, device.address) is not None
        or holder(host, _slot(device)) is not None
    )


def _slot(device: Device) -> Slot:
    kind = SlotKind.VF if device.physfn is not None else SlotKind.FUNCTION
    return Slot(kind=kind, device=device.address, of=device.address)


def _of_function(host: Host, device: Device) -> Iterator[_Entry]:
    if device.driver == _NVIDIA:
        yield from _of_nvidia(host, device)
    elif device.on_vfio:
        yield from _of_vfio(host, device)
    elif any(PARTITION.slots(host, device)):
        yield from _of_partitions(device)
    elif (drm := _nodes(host).drm_of(device.address)) and any("renderD" in path for path in drm):
        kfd = ("/dev/kfd",) if device.driver == _AMD else ()
        yield _Entry(name=device.address, nodes=drm, optional=kfd)


def _of_partitions(gpu: Device) -> Iterator[_Entry]:
    """Each has a render node of its own."""
    for part in gpu.facts.amd.partitions if gpu.facts.amd is not None else ():
        if part.render is not None:
            yield _Entry(
                name=f"{gpu.address}-{part.name}",
                nodes=(f"/dev/dri/{part.render}",),
                optional=("/dev/kfd",),
                remedy=f"gpupass show {gpu.address}",
            )


def _of_nvidia(host: Host, device: Device) -> Iterator[_Entry]:
    nvidia = device.facts.nvidia
    if nvidia is None or nvidia.minor is None:
        return
    node = f"/dev/nvidia{nvidia.minor}"
    if nvidia.mig is not None and nvidia.mig.on:
        for instance in instances(device):
            yield from _of_instance(host, device, nvidia.minor, instance)
    elif not any(slot.part for slot in slots_of(host, device)):
        drm = _nodes(host).drm_of(device.address)
        remedy = _node_remedy(nvidia.minor)
        yield _Entry(name=device.address, nodes=(node,), optional=(*_COMMON, *drm), remedy=remedy)


def _of_instance(host: Host, device: Device, gpu: int, instance: GpuInstance) -> Iterator[_Entry]:
    """The whole of it; and each of its compute instances, where there are several."""
    name = f"{device.address}-{_spelled(instance.name)}"
    if instance.compute:
        yield _access(host, gpu, name, instance, instance.compute)
    if len(instance.compute) > 1:
        for part in instance.compute:
            yield _access(host, gpu, f"{name}-{_spelled(part.name)}", instance, (part,))


def _access(
    host: Host, gpu: int, name: str, instance: GpuInstance, parts: tuple[ComputeInstance, ...]
) -> _Entry:
    of = f"gpu{gpu}/gi{instance.id}"
    wanted = (f"{of}/access", *(f"{of}/ci{part.id}/access" for part in parts))
    minors = (_nodes(host).mig_minor(access) for access in wanted)
    caps = tuple(
        f"/dev/nvidia-caps/nvidia-cap{minor}" if minor is not None else f"minor of {access}"
        for access, minor in zip(wanted, minors, strict=True)
    )
    below = f"/proc/driver/nvidia/capabilities/gpu{gpu}/mig/gi{instance.id}"
    files = (f"{below}/access", *(f"{below}/ci{part.id}/access" for part in parts))
    return _Entry(
        name=name,
        nodes=(f"/dev/nvidia{gpu}", *caps),
        optional=_COMMON,
        capabilities=files,
        remedy=_node_remedy(gpu),
    )


def _node_remedy(gpu: int) -> str:
    """Access nodes of instances `gpupass cdi` makes itself where it finds that program."""
    return f"apt install nvidia-modprobe; nvidia-modprobe -c {gpu}; gpupass cdi"


def _of_vfio(host: Host, device: Device) -> Iterator[_Entry]:
    """A VF for a container that runs a virtual machine. Its group's node gives all members away at once."""
    if device.physfn is None or device.group is None:
        return
    others = [other for other in host.group_of(device) if not other.is_bridge and other is not device]
    if all(other.on_vfio and other.physfn is not None and not _lent(host, other) for other in others):
        yield _Entry(
            name=device.address,
            nodes=(f"/dev/vfio/{device.group}", "/dev/vfio/vfio"),
            remedy=f"gpupass show {device.address}",
        )


def _spelled(name: str) -> str:
    """A part's name with the signs that CDI allows: 1g.5gb+me@0 → 1g.5gb.me-0."""
    return name.replace("@", "-").replace("+", ".").replace(",", ".")
