"""A domain's persistent definition, made able to take devices while it runs."""

from collections.abc import Iterable

from msgspec import Struct

from gpupass.app.boot import FileChange
from gpupass.app.intents import Alone
from gpupass.app.report import Report
from gpupass.app.session import Session
from gpupass.app.verbs import single
from gpupass.definition.decide import decide
from gpupass.definition.define import DefineDomain
from gpupass.definition.preparation import Preparation, facts_in, prepared
from gpupass.errors import NoLibvirt, Refused, Usage
from gpupass.lending.domain_xml import parse_domain
from gpupass.model.address import DEFINITIONS, Address
from gpupass.model.domain import QEMU, Domain, Manager
from gpupass.observe.domains import read_texts, read_version
from gpupass.plan import Finding, HostPlan, Plan
from gpupass.planner.difference import Difference, Facts, difference
from gpupass.system import Reader


class Defined(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain, its persistent XML without secrets, and libvirt's version where it can be asked."""

    domain: Domain
    xml: str
    version: tuple[int, int, int] | None


class Prepare(Alone, frozen=True, kw_only=True):
    """The definition has ports for so many devices, each with room for their largest BAR (bytes)."""

    domain: str  # by name or UUID
    slots: int
    largest_bar: int = 0
    connect: str = QEMU
    even_of: Manager | None = None
    approved: Plan | None = None  # only that is done

    def look(self, system: Reader) -> Defined:
        return _defined(system, self.domain, self.connect)

    def touches(self, sight: Defined) -> tuple[Address, ...]:
        return (DEFINITIONS,)

    def plan(self, sight: Defined) -> HostPlan:
        domain = sight.domain
        wanted, findings = decide(sight.xml, domain.name, self.slots, self.largest_bar, sight.version)
        step = DefineDomain(domain=domain.name, uuid=domain.uuid, connect=self.connect, gives_it=wanted)
        if wanted:
            findings = (*findings, *_of_others(domain, self.even_of), *_later(domain))
        plan = Plan(
            title=f"prepare {domain.name} for {self.slots} devices",
            steps=(step,) if wanted else (),
            findings=findings,
            devices=(DEFINITIONS,),
        )
        if self.approved is not None and plan.steps and plan.steps != self.approved.steps:
            raise Refused(
                f"cannot {plan.title}: its definition has changed since it was shown", "the same again"
            )
        return HostPlan(plans=(plan,))

    def foreseen(self, sight: Defined, plan: Plan) -> Difference:
        now = {step.target: facts_in(sight.xml) for step in plan.steps}
        return difference(now, {step.target: facts_in(after(sight.xml, plan)) for step in plan.steps})

    def facts(self, sight: Defined, names: Iterable[str]) -> Facts:
        here = f"domain:{sight.domain.uuid}"
        return {here: facts_in(sight.xml)} if here in set(names) else {}


def prepare(
    system: Reader,
    domain: str,
    slots: int,
    largest_bar: int = 0,
    *,
    connect: str = QEMU,
    even_of: Manager | None = None,
    approved: Plan | None = None,
    dry_run: bool = False,
) -> Report:
    """Of the next start; a guest that runs is not touched."""
    intent = Prepare(
        domain=domain,
        slots=slots,
        largest_bar=largest_bar,
        connect=connect,
        even_of=even_of,
        approved=approved,
    )
    with Session(system) as session:
        return single(session, intent, (DEFINITIONS,), dry_run=dry_run)


def definition_changes(system: Reader, domain: str, connect: str, plan: Plan) -> tuple[FileChange, ...]:
    """What an operator agrees to."""
    if not plan.steps:
        return ()
    xml = _defined(system, domain, connect).xml
    return (FileChange(path=f"{domain}.xml", before=prepared(xml, Preparation()), after=after(xml, plan)),)


def after(xml: str, plan: Plan) -> str:
    for step in plan.steps:
        if isinstance(step, DefineDomain):
            xml = prepared(xml, step.gives_it)
    return xml


def _of_others(domain: Domain, even_of: Manager | None) -> Iterable[Finding]:
    if domain.manager is not None and domain.manager is not even_of:
        yield Finding(
            message=f"{domain.name} is managed by {domain.manager}, which writes its definition anew",
            remedy=f"have {domain.manager} give it the ports; or: --even-of {domain.manager}",
        )


def _later(domain: Domain) -> Iterable[Finding]:
    if domain.active:
        yield Finding(
            message=f"{domain.name} runs: it has this when it is started anew",
            remedy=f"virsh shutdown {domain.name}; when it is off: virsh start {domain.name}",
            fatal=False,
        )


def _defined(system: Reader, name: str, connect: str) -> Defined:
    texts, unseen = read_texts(system, connect)
    for why in unseen:
        if why.startswith("libvirt"):
            raise NoLibvirt(f"cannot read definitions: {why}", "virsh list --all")
    found = next((text for text in texts if name in (text.name, text.uuid)), None)
    if found is None:
        known = ", ".join(text.name for text in texts) or "none"
        raise Usage(f"cannot find the domain {name}: libvirt knows {known}", "virsh list --all")
    if found.config is None:
        raise Refused(
            f"cannot prepare {found.name}: it is transient, nothing of it is there at its next start",
            "give the ports in the XML that it is created from",
        )
    domain = parse_domain(
        name=found.name, uuid=found.uuid, state=found.state, live=found.live, config=found.config
    )
    return Defined(domain=domain, xml=found.config, version=read_version(system, connect))
