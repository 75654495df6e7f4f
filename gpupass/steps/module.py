"""Load a kernel module, where nothing is lost by it; or load it anew with other options."""

from typing import Any, TypedDict

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.step import LoadModule, ReloadModule
from gpupass.steps import bind, vfs
from gpupass.system import System

_SECONDS = 300.0  # GIM resets every GPU it has


class Loaded(TypedDict):
    """`options` as the module tells them: "vf_num=1,1"; `vfs`: the virtual functions of its devices."""

    loaded: bool
    options: str
    vfs: dict[Address, bind.Binding]


def do(step: LoadModule, system: System) -> None:
    if not system.exists(_directory(step.module)):
        system.run("modprobe", "--", step.module)


def current(step: ReloadModule, system: System) -> Loaded:
    """Of the options that the step names; a module that is given none of them tells none."""
    parameters = f"{_directory(step.module)}/parameters"
    names = [option.partition("=")[0] for option in step.options.split()]
    values = {name: system.read(f"{parameters}/{name}") for name in names}
    told = " ".join(f"{name}={value}" for name, value in values.items() if value)
    return {
        "loaded": system.exists(_directory(step.module)),
        "options": told,
        "vfs": {vf: had for pf in step.addresses for vf, had in vfs.bindings(system, pf).items()},
    }


def reload(step: ReloadModule, system: System) -> None:
    """GpupassError when it cannot be taken out, or does not say what it was loaded with.

    Where a device has as many virtual functions as before, they get the drivers back that they had.
    """
    had = {pf: vfs.bindings(system, pf) for pf in step.addresses}
    _reach(step, True, step.options, system)
    for pf, bindings in had.items():
        if bindings.keys() == vfs.bindings(system, pf).keys():
            vfs.bind_again(system, bindings)


def undo_reload(step: ReloadModule, before: Any, system: System) -> None:
    now = current(step, system)
    if now == before:
        return
    if now["loaded"] and now["options"] not in (before["options"], step.options, step.back):
        raise NeedsPerson(
            f"cannot load {step.module} with {before['options'] or 'no options'} again: "
            f"somebody else has loaded it with {now['options'] or 'none'} meanwhile",
            f"cat {_directory(step.module)}/parameters/*",
        )
    _reach(step, before["loaded"], before["options"] or step.back, system)
    vfs.bind_again(system, before["vfs"])


def _reach(step: ReloadModule, loaded: bool, options: str, system: System) -> None:
    now = current(step, system)
    if (now["loaded"], now["options"]) == (loaded, options):
        return
    if now["loaded"]:
        for pf in step.addresses:
            vfs.require_closed(system, pf)
        system.run("modprobe", "-r", "--", step.module, timeout=_SECONDS)
    if not loaded:
        return
    system.run("modprobe", "--", step.module, *options.split(), timeout=_SECONDS)
    found = current(step, system)
    if not found["loaded"] or found["options"] != options:
        raise GpupassError(
            f"cannot load {step.module} with {options}: it says {found['options'] or 'nothing'}",
            f"modinfo {step.module}; dmesg | tail",
        )


def _directory(module: str) -> str:
    return f"/sys/module/{module.replace('-', '_')}"
