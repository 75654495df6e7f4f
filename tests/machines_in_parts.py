"""Machines with GPUs that are shared in parts: an Intel card, AMD GPUs in a hive or under GIM, an NVIDIA card."""

from pathlib import Path

from tests.simulated import DISK, FUNCTIONS, Machine
from tests.simulated_amd import GIM_FUNCTIONS, HIVE_FUNCTIONS
from tests.simulated_intel import FUNCTIONS as INTEL_FUNCTIONS
from tests.simulated_vgpu import CARD
from tests.simulated_vgpu import FUNCTIONS as VGPU_FUNCTIONS

_HOST = tuple(f for f in FUNCTIONS if f.address in (DISK, "0000:00:04.0"))


def intel_machine(state: Path, interface: str) -> Machine:
    machine = Machine(state, (*_HOST, *INTEL_FUNCTIONS))
    machine.intel.install(interface)
    return machine


def hive_machine(state: Path) -> Machine:
    machine = Machine(state, (*_HOST, *HIVE_FUNCTIONS))
    machine.amd.install()
    return machine


def gim_machine(state: Path) -> Machine:
    machine = Machine(state, (*_HOST, *GIM_FUNCTIONS))
    machine.debian()
    machine.gim.install()
    return machine


def vgpu_machine(state: Path, framework: str, script: bool = True) -> Machine:
    """For tests that play NVML, too."""
    machine = Machine(state, (*_HOST, *VGPU_FUNCTIONS))
    machine.vgpu.install(framework, script)
    return machine


MACHINES = {
    "xe": lambda state: intel_machine(state, "sysfs"),
    "i915": lambda state: intel_machine(state, "prelim_iov"),
    "hive": hive_machine,
    "gim": gim_machine,
    "vgpu": lambda state: vgpu_machine(state, "vendor"),
    "vgpu mediated": lambda state: vgpu_machine(state, "mdev"),
}


# what others do


def others_functions(machine: Machine) -> None:
    machine.vgpu.manage("-e", CARD)


def others_vgpu(machine: Machine, number: int, kind: int) -> None:
    """Of that type id, on that function."""
    vf = machine.tree.path(machine.sriov.address(CARD, number))
    if machine.vgpu.framework == "vendor":
        machine.vgpu.store(f"{vf}/nvidia/current_vgpu_type", str(kind))
    else:
        uuid = f"0f0f0f0f-0000-4000-8000-00000000000{number}"
        machine.vgpu.store(f"{vf}/mdev_supported_types/nvidia-{kind}/create", uuid)


def others_mig_mode(machine: Machine) -> None:
    machine.vgpu.set_mig(True)
    machine.vgpu.reset()


def others_instance(machine: Machine, name: str, start: int) -> None:
    profile = machine.vgpu.gpu.profile(name)
    machine.vgpu.make_instance(profile.id, next(p for p in profile.placements if p.start == start))


def others_partitions(machine: Machine, gpu: str, mode: str) -> None:
    machine.amd.store(f"/sys/bus/pci/devices/{gpu}/current_compute_partition", mode)


def others_gim_loaded(machine: Machine, *options: str) -> None:
    machine.gim.modprobe("-r", "--", "gim")
    machine.gim.modprobe("--", "gim", *options)


def others_virtual_functions(machine: Machine, pf: str, count: int) -> None:
    machine.sriov.enable(pf, count, None)


def others_memory_mode(machine: Machine, mode: str) -> None:
    for gpu in machine.amd.gpus:
        machine.amd.store(f"/sys/bus/pci/devices/{gpu}/current_memory_partition", mode)
    for gpu in machine.amd.gpus:
        machine.set_driver(gpu, None)
    for gpu in machine.amd.gpus:
        machine.set_driver(gpu, "amdgpu")
