"""The host as it will be after some steps, so that one plan can stand on another; pure."""

from collections.abc import Iterable

from gpupass.model.host import Host
from gpupass.step import Deed


def imagine(host: Host, steps: Iterable[Deed]) -> Host:
    for step in steps:
        host = step.after(host)
    return host
