"""What gpupass remembers is lost, or of devices that have gone: what holds for those there are; pure."""

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from gpupass.model.address import Address, root_of
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Mark, Quarantine
from gpupass.model.mdev import MdevBus
from gpupass.model.user import UserKind

M = TypeVar("M", bound=Mark)
_GUESTS = (UserKind.DOMAIN, UserKind.VM)


def quarantines(host: Host, at_work: Collection[Address], why: str, since: str) -> tuple[Quarantine, ...]:
    """Of every device that is not provably idle on its host driver, and of those `at_work` that are gone."""
    found = {device.address: because for device in host.carriers if (because := not_idle(device, at_work))}
    found |= {address: "it was being changed" for address in at_work}
    identities = host.identities(found)
    return tuple(
        Quarantine(
            carrier=address,
            why=f"{why}, and {because}",
            boot_id=host.boot_id,
            identity=identities.get(address),
            since=since,
        )
        for address, because in sorted(found.items())
    )


def still_meant(marks: Iterable[M], host: Host) -> tuple[M, ...]:
    """Those of the devices that are there, and then it need not be said of whom: none whose address another
    device has now.

    A quarantine goes where its device has gone; where nobody knows where that is, it stays where it was.
    """
    return tuple(
        mark if mark.identity is None else replace(mark, identity=None) for mark in _still_meant(marks, host)
    )


def _still_meant(marks: Iterable[M], host: Host) -> Iterator[M]:
    for mark in marks:
        device, was = host.device(root_of(mark.carrier)), mark.identity
        if was is None or (device is not None and not device.identity.contradicts(was)):
            yield mark
        elif isinstance(mark, Quarantine):
            moved = next((one for one in host.devices if one.identity.is_surely(was)), None)
            if moved is not None:
                why = f"{mark.why} (at {mark.carrier}, where it was then)"
                yield replace(mark, carrier=moved.address, why=why)
            elif device is not None:
                now = device.identity
                why = f"{mark.why} (that was {was.beside(now)}, {now.beside(was)} is there now)"
                yield replace(mark, why=why)
            else:
                yield mark
        elif device is None:
            yield mark


def not_idle(device: Base, at_work: Collection[Address]) -> str:
    """Why nobody can say that it is at home and whole; "" where that is so."""
    guest = next((user for user in device.users if user.kind in _GUESTS), None)
    if device.address in at_work:
        return "it was being changed"
    if isinstance(device, Device) and device.is_bridge:
        return ""
    if guest is not None:
        return f"{guest.words} has it"
    if isinstance(device, MdevBus):
        return "it has mediated devices" if device.detail is not None and device.detail.mdevs else ""
    detail = device.detail
    if device.on_vfio:
        return f"{device.driver} has it"
    if device.driver is None and (detail is None or detail.host_driver is not None):
        return "it has no driver"
    if detail is not None and detail.driver_override:
        return f"its driver_override is {detail.driver_override}"
    if detail is not None and detail.sriov is not None and detail.sriov.enabled:
        return "it has virtual functions"
    if detail is not None and detail.mdevs:
        return "it has mediated devices"
    return ""
