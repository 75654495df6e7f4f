"""What is done between two owners: the last one has closed it, and a reset leaves nothing of it; pure."""

from itertools import groupby

from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.plan import Finding
from gpupass.steps.release import AwaitRelease
from gpupass.steps.reset import ResetDevice


def until_closed(addresses: tuple[Address, ...], group: int | None, what: str) -> tuple[AwaitRelease, ...]:
    if group is None:
        return ()
    return (AwaitRelease(addresses=addresses, group=group, why=f"until {what} closed"),)


def cleaning(host: Host, members: tuple[Device, ...]) -> tuple[tuple[ResetDevice, ...], tuple[Finding, ...]]:
    """One reset per slot: of each function where all can, else of the slot's bus.

    A slot without any gets a reset of method "none", which fails and so quarantines it, and a finding.
    A vGPU has none: it is made anew (renewal.py).
    """
    resets: list[ResetDevice] = []
    findings: list[Finding] = []
    for _, slot in groupby(
        sorted((d for d in members if not d.lends_itself), key=lambda d: d.address),
        key=lambda d: d.address.rpartition(".")[0],
    ):
        functions = tuple(slot)
        addresses = tuple(function.address for function in functions)
        if all(function.facts.reset_methods for function in functions):
            methods = ", ".join(sorted({function.facts.reset_methods[0] for function in functions}))
            resets.append(ResetDevice(addresses=addresses, method="function", why=f"reset by {methods}"))
        elif _alone_below_a_port(host, functions):
            resets.append(
                ResetDevice(
                    addresses=addresses, method="bus", why="no reset of its own: reset of the whole slot"
                )
            )
        else:
            resets.append(ResetDevice(addresses=addresses, method="none", why="no reset is known for it"))
            without = next(f for f in functions if not f.facts.reset_methods)
            findings.append(
                Finding(
                    message=f"{without.address} cannot be reset: the kernel knows no method for it",
                    remedy=f"cat {sysfs(without.address, 'reset_method')}",
                )
            )
    return tuple(resets), tuple(findings)


def _alone_below_a_port(host: Host, functions: tuple[Device, ...]) -> bool:
    """A secondary bus reset hits everything below the port, so nothing else may be there."""
    parent = functions[0].parent
    if parent is None:
        return False
    below = {device.address for device in host.devices if device.parent == parent}
    return below == {function.address for function in functions}
