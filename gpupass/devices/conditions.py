"""What keeps a device from being given away beside its users, in a word or two; pure."""

from collections.abc import Callable, Iterator

from gpupass.model.address import Name
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Claim, Promise, Quarantine
from gpupass.model.slot import SlotState
from gpupass.model.user import UserKind

Asked = Callable[[Host, Base], bool]


def conditions(host: Host, carrier: Base, cut: Asked, refused: Asked) -> tuple[str, ...]:
    """ "quarantined", "not clean", "cut", "promised to vm1"; `cut` is asked of what may have parts.

    "refused": whom nobody has, as far as its own users and these words tell, and who could not be given away.
    """
    if carrier.detail is None:
        return ()
    found = tuple(_conditions(host, carrier, cut))
    if found or carrier.users or not refused(host, carrier):
        return found
    return (SlotState.REFUSED.value,)


def _conditions(host: Host, carrier: Base, cut: Asked) -> Iterator[str]:
    attached = any(user.kind is UserKind.DOMAIN for user in carrier.users)
    if host.mark(Quarantine, carrier.address) is not None:
        yield SlotState.QUARANTINED.value
    elif host.mark(Claim, carrier.address) is not None and not attached:
        yield SlotState.CLAIMED.value
    if not isinstance(carrier, Device) or may_have_parts(carrier):
        yield from (SlotState.CUT.value,) if cut(host, carrier) else ()
    nvidia = carrier.detail.nvidia if isinstance(carrier, Device) and carrier.detail is not None else None
    if nvidia is not None and "pending" in (nvidia.mig_mode or ""):
        yield "MIG mode pending"
    promised = promised_to(host, carrier.address)
    if promised:
        yield f"promised to {', '.join(promised)}"


def promised_to(host: Host, carrier: Name, part: str = "") -> tuple[str, ...]:
    """The domains in line for it, by the names that they have now."""
    mark = host.mark(Promise, carrier, part)
    known = {domain.uuid: domain.name for domain in host.domains}
    return tuple(known.get(heir.uuid, heir.domain) for heir in mark.to) if mark is not None else ()


def may_have_parts(device: Device) -> bool:
    """All but what has neither virtual functions nor mediated devices, nor a driver that makes parts."""
    facts = device.facts
    functions = facts.sriov is not None and facts.sriov.enabled > 0
    driven = facts.nvidia is not None and facts.nvidia.mig is not None
    return functions or driven or bool(facts.mdevs) or facts.amd is not None or facts.vgpu is not None
