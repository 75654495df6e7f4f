"""Machines with GPUs that are shared in parts: an Intel card, AMD GPUs in a hive or under GIM, an NVIDIA card."""

from pathlib import Path

from tests.simulated import DISK, FUNCTIONS, Machine
from tests.simulated_amd import GIM_FUNCTIONS, HIVE_FUNCTIONS
from tests.simulated_intel import FUNCTIONS as INTEL_FUNCTIONS
from tests.simulated_nvml import NvmlMachine
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


def vgpu_machine(state: Path, framework: str, script: bool = True) -> NvmlMachine:
    """For tests that play NVML, too."""
    machine = NvmlMachine(state, (*_HOST, *VGPU_FUNCTIONS))
    machine.vgpu.install(framework, script)
    return machine
