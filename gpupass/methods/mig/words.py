"""Why a GPU cannot be cut, who holds it and who loses something, in an operator's words; pure."""

from collections.abc import Iterable, Iterator

from gpupass.methods.mig.mode import UNTOLD
from gpupass.model.host import NVIDIA, Device, Host
from gpupass.model.mig import GpuInstance, MigState
from gpupass.model.user import UserKind
from gpupass.model.vendor import Vendor
from gpupass.plan import Disruption, Finding
from gpupass.steps.persistence import PERSISTENCED


def supports(host: Host, device: Device) -> str | None:
    """None: it can be cut, or that can be seen only once the nvidia driver has it; else why not."""
    nvidia = device.facts.nvidia
    if nvidia is None and device.vendor != Vendor.NVIDIA:
        return f"{device.address} is no NVIDIA GPU, and only those have MIG"
    if nvidia is None and device.driver == NVIDIA:
        return next((f"cannot see MIG of {device.address}: {un}" for un in host.unseen if "NVML" in un), None)
    if nvidia is None:
        return f"{device.address} has driver {device.driver or 'none'}; only the nvidia driver can cut it"
    if nvidia.mig is None:
        unseen = nvidia.mig_unseen
        return (
            f"cannot see MIG of {device.address}: {unseen}"
            if unseen
            else f"{device.address} ({device.name or device.ids}) has no MIG"
        )
    if nvidia.mig.gpu is None and nvidia.mig.unseen != UNTOLD:
        return f"cannot see MIG of {device.address}: {nvidia.mig.unseen or 'it was not asked for'}"
    if nvidia.mig.gpu is not None and not nvidia.mig.gpu.profiles and nvidia.mig.on:
        return f"cannot see MIG of {device.address}: its driver tells no profiles"
    return None


def after_the_mode(device: Device) -> str:
    return f"GPU instances of {device.address}: made when its MIG mode is on, which tells its profiles"


def held(device: Device, state: MigState, on: bool) -> Iterator[Finding]:
    """Whoever has the GPU open keeps its mode from changing: told before, and no reason to refuse."""
    holders = [user for user in device.users if user.kind is UserKind.PROCESS and user.name != PERSISTENCED]
    if holders and state.on != on:
        names = ", ".join(dict.fromkeys(user.words for user in holders))
        what = "can be reset" if state.resets else f"can switch MIG mode {'on' if on else 'off'}"
        yield Finding(
            message=f"{device.address} {what} only when it is let go by {names}; until then it is pending",
            remedy="end them first",
            fatal=False,
        )


def lost(going: Iterable[GpuInstance]) -> tuple[Disruption, ...]:
    return tuple(Disruption(victim=user.words, loses=one.name) for one in going for user in one.all_users)


def of_it(device: Device, disruptions: Iterable[Disruption]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=one.victim, loses=f"{one.loses} of {device.address}", at_work=one.at_work)
        for one in disruptions
    )


def named(device: Device, finding: Finding) -> Finding:
    return Finding(message=f"{device.address}: {finding.message}", remedy=finding.remedy)


def cannot(device: Device, why: str) -> Finding:
    remedy = "run it with sudo" if "no permission" in why else f"gpupass show {device.address}"
    return Finding(message=why, remedy=remedy)
