"""What a profile promises domains for their start; pure."""

from collections.abc import Iterable

from gpupass.lending import promises
from gpupass.lending.handover import holder
from gpupass.model.domain import Domain, Manager
from gpupass.model.host import Host
from gpupass.model.mark import Heir, Promise
from gpupass.model.slot import Slot
from gpupass.plan import NOTHING, Draft
from gpupass.planner.selection import Wanted


def promised(wanted: Iterable[Wanted], name: str, path: tuple[str, ...]) -> tuple[Wanted, ...]:
    """Of this slot of what was chosen, in their order."""
    return tuple(
        want for want in wanted if want.attachment.at_start and want.chosen.name == name and want.path == path
    )


def line(host: Host, slot: Slot, wants: tuple[Wanted, ...]) -> Draft:
    """All of them at once: one mark says who is in line."""
    if not wants and host.mark(Promise, slot.device, slot.mdev or "") is None:
        return NOTHING
    named = tuple((want, domain) for want in wants if (domain := host.domain(want.attachment.domain)))
    owner = holder(host, slot) or next((domain for _, domain in named if domain.active), None)
    heirs = tuple(_heir(host, want, domain, owner) for want, domain in named)
    whole = any(not (*want.chosen.path, *want.path) for want in wants)
    home = any(want.chosen.rule.for_host for want in wants) if whole else None
    against = (finding for heir in heirs for finding in promises.obstacles(host, (slot,), heir))
    return promises.in_line(host, slot, heirs, home) + Draft(findings=tuple(against))


def _heir(host: Host, want: Wanted, domain: Domain, owner: Domain | None) -> Heir:
    attachment = want.attachment
    has_it = owner is not None and owner.uuid == domain.uuid
    return Heir(
        domain=domain.name,
        uuid=domain.uuid,
        given=promises.run_of(host.boot_id, domain) if has_it else "",
        declared=True,
        stop=want.chosen.rule.stop,
        options=attachment.options,
        even_of=Manager(attachment.even_of) if attachment.even_of is not None else None,
    )
