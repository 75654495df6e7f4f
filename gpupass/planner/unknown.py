"""What gpupass remembers is lost: which devices could be in whose hands, or half changed; pure."""

from collections.abc import Collection

from gpupass.model.address import Address
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Quarantine
from gpupass.model.mdev import MdevBus
from gpupass.model.user import UserKind

_GUESTS = (UserKind.DOMAIN, UserKind.VM)


def quarantines(host: Host, at_work: Collection[Address], why: str, since: str) -> tuple[Quarantine, ...]:
    """Of every device that is not provably idle on its host driver, and of those `at_work` that are gone."""
    found = {device.address: because for device in host.carriers if (because := not_idle(device, at_work))}
    found |= {address: "it was being changed" for address in at_work}
    return tuple(
        Quarantine(
            carrier=address,
            why=f"{why}, and {because}",
            boot_id=host.boot_id,
            since=since,
        )
        for address, because in sorted(found.items())
    )


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
