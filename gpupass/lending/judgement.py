"""Can a device be given to a guest? What `list`, `groups` and `show` answer is what `attach` says."""

from msgspec.structs import replace

from gpupass.devices.binding import endpoints
from gpupass.devices.verdict import device_verdict, principal, verdict_on
from gpupass.lending.claims import claimed
from gpupass.lending.cleaning import cleaning
from gpupass.lending.function import loans, ready
from gpupass.lending.lender import whole
from gpupass.lending.preflight import cleanliness
from gpupass.model.host import Base, Device, Host
from gpupass.model.verdict import Staying, StayKind, Verdict


def judged(host: Host, device: Device) -> Verdict:
    """The verdict on its group, with all that would be refused for any domain that is ready for it.

    That members of other slots would have to move along is no refusal: they are named as companions.
    """
    verdict = device_verdict(device, host)
    members = endpoints(host, device)
    if device.is_bridge or verdict.group is None or any(member.detail is None for member in members):
        return verdict
    slot = whole(device)
    wanted = loans(host, slot)
    draft = ready(host, slot, wanted, claimed(host, wanted), tuple(member.address for member in members))
    refused = (*draft.findings, *cleanliness(host, members), *cleaning(host, members)[1])
    new = dict.fromkeys(
        Staying(
            address=device.address,
            kind=StayKind.REFUSED,
            name="",
            reason=one.message,
            remedy=one.remedy,
        )
        for one in refused
        if one.fatal and one.message not in verdict.reasons
    )
    return replace(
        verdict,
        viable=verdict.viable and not new,
        staying=(*verdict.staying, *new),
        reasons=(*verdict.reasons, *(one.reason for one in new)),
    )


def judged_carrier(host: Host, carrier: Base) -> Verdict:
    """Of what is no PCI function, too."""
    return judged(host, carrier) if isinstance(carrier, Device) else verdict_on(carrier, host)


def judged_group(host: Host, group: int) -> Verdict:
    """Seen from its first GPU, else from its first endpoint."""
    return judged(host, principal(host.groups[group]))
