"""DEVICE as people type it, names of the last applied profile included."""

from gpupass.errors import GpupassError, Usage
from gpupass.model.apply import ApplyEnd
from gpupass.model.host import Device, Host
from gpupass.model.select import resolve
from gpupass.planner.selection import choose, names_of
from gpupass.profiles import load_profile
from gpupass.system import System
from gpupass.system.applies import read_applies


def find(system: System, host: Host, text: str) -> Device:
    """Usage when nothing, or more than one device, is called so."""
    try:
        return resolve(host, text)
    except Usage:
        device = _by_profile_name(system, host, text)
        if device is None:
            raise
        return device


def _by_profile_name(system: System, host: Host, text: str) -> Device | None:
    """The rules are resolved anew: what the name means may have changed places since."""
    after = [apply.after for apply in read_applies(system.state) if apply.end is not ApplyEnd.TAKEN_BACK]
    if not after:
        return None
    try:
        profile = load_profile("the last profile", lambda _: after[-1], "")
        names = dict(names_of(choose(profile, host)))
    except GpupassError:
        return None
    return host.device(names[text]) if text in names else None
