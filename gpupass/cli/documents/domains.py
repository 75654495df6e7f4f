"""Domains, as far as something can be plugged into them."""

from msgspec import Struct

from gpupass.cli.documents.document import Document
from gpupass.inspect import DomainChecked
from gpupass.model.domain import DomainState, Port
from gpupass.plan import Finding


class DomainDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One, and its ports; their windows are bytes, null where nobody knows them."""

    name: str
    uuid: str
    state: DomainState
    machine: str
    ports: tuple[Port, ...]


class CheckedDomain(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`usable`: nothing that is fatal was found."""

    domain: DomainDocument
    usable: bool
    findings: tuple[Finding, ...]


def domain_document(found: DomainChecked) -> CheckedDomain:
    domain = found.domain
    told = DomainDocument(
        name=domain.name, uuid=domain.uuid, state=domain.state, machine=domain.machine, ports=domain.ports
    )
    return CheckedDomain(domain=told, usable=found.usable, findings=found.findings)
