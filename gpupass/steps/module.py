"""Load a kernel module; a module loaded once stays, nothing is lost by it."""

from gpupass.model.plan import LoadModule
from gpupass.system import System


def do(step: LoadModule, system: System) -> None:
    if not system.exists(f"/sys/module/{step.module.replace('-', '_')}"):
        system.run("modprobe", "--", step.module)
