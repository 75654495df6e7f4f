"""What the kernel would do about lanes: they go before what they are lanes of, and only there they are."""

import errno

from gpupass.errors import GpupassError
from gpupass.system import mig_change

LANES = "/sys/class/lanes/"


def install(machine, monkeypatch):
    """A machine whose kernel has them."""
    real = machine._write

    def write(path, value, seconds):
        if path.endswith("/sriov_numvfs") and any(_is_on_vf(machine, name) for name in divided(machine)):
            raise OSError(errno.EBUSY, "a virtual function has lanes")
        if not path.startswith(LANES):
            return real(path, value, seconds)
        name = path.removeprefix(LANES).replace("!", "/")
        if (number := machine.faults.pop(("lanes", name), None)) is not None:
            raise OSError(number, "refused")
        if not _is_there(machine, name):
            raise OSError(errno.ENOENT, f"no {name}")
        return machine.put(path, f"{value}\n")

    def destroyed(system, address, where, name):
        if any(other.startswith(f"{address}/{name}") for other in divided(machine)):
            raise GpupassError(f"cannot destroy {name} of {address}: it has lanes")
        return gone(system, address, where, name)

    gone = mig_change.destroy_gpu_instance
    monkeypatch.setattr(mig_change, "destroy_gpu_instance", destroyed)
    monkeypatch.setattr(machine, "_write", write)
    return machine


def divided(machine):
    """Into how many each is divided, by name."""
    found = {name.replace("!", "/"): machine.read(f"{LANES}{name}") for name in machine.names(LANES[:-1])}
    return {name: int(text) for name, text in found.items() if text and int(text) > 1}


def divide(machine, name, lanes):
    """By somebody else."""
    machine.put(LANES + name.replace("/", "!"), f"{lanes}\n")


def _is_on_vf(machine, name):
    return machine.link(f"/sys/bus/pci/devices/{name.partition('/')[0]}/physfn") is not None


def _is_there(machine, name):
    root, *path = name.split("/")
    if not machine.exists(f"/sys/bus/pci/devices/{root}"):
        return False
    if not path or path[0].startswith("lane"):
        return True
    return path[0] in [instance for instance, _ in machine.vgpu.instances()]
