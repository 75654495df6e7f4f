"""The ground that a host's devices stand on, read for the doctor alone: no other verb pays for it."""

import os
from collections.abc import Iterable

from msgspec import convert
from msgspec.structs import replace

from gpupass.model.ground import Ground, Kernel
from gpupass.model.host import Device
from gpupass.model.wire import to_json
from gpupass.observe import recorded
from gpupass.observe.ground.boot_loader import read_distribution, read_loader
from gpupass.observe.ground.functions import read_functions
from gpupass.observe.ground.machine import read_cpu, read_firmware, read_kernel, read_memory
from gpupass.observe.ground.modules import read_modules
from gpupass.observe.ground.others import read_nvidia, read_others, read_own
from gpupass.observe.ground.services import read_services, read_virtualisation
from gpupass.system import Reader, System

__all__ = ["FILE", "read_ground", "spell_ground"]
FILE = f"{recorded.DIRECTORY}/ground.json"


def read_ground(system: Reader, devices: Iterable[Device], connect: str | None = None) -> Ground:
    """`devices` are those that are asked about. Of a record that was made before there was a doctor only
    what lies in it as files: what is not there tells nothing."""
    if not isinstance(system, System):
        return _recorded(system)
    distribution = read_distribution(system)
    return Ground(
        as_root=os.geteuid() == 0,
        distribution=distribution,
        loader=read_loader(system, distribution.family),
        cpu=read_cpu(system),
        firmware=read_firmware(system),
        kernel=read_kernel(system),
        modules=read_modules(system),
        services=read_services(system),
        virtualisation=read_virtualisation(system, connect),
        memory=read_memory(system),
        functions=read_functions(system, devices),
        others=read_others(system),
        nvidia=read_nvidia(system),
        own=read_own(system),
    )


def _recorded(system: Reader) -> Ground:
    if system.exists(FILE):
        return recorded.load(system, FILE, lambda data: replace(convert(data, Ground), recorded=True), None)
    distribution = read_distribution(system)
    release = system.read("/proc/sys/kernel/osrelease") or ""
    words = (system.read("/proc/cmdline") or "").split()
    return Ground(
        distribution=distribution,
        kernel=Kernel(release=release, words=tuple(words)),
        recorded=True,
    )


def spell_ground(ground: Ground) -> str:
    return to_json(ground, indent=1).decode() + "\n"
