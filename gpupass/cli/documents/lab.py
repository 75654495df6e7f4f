"""Labs and the machines there are."""

from dataclasses import asdict
from typing import Any, get_type_hints

from msgspec import defstruct

from gpupass.cli.documents.document import Document
from gpupass.lab.outcome import Status
from gpupass.lab.topology import Topology

LabStatus: Any = defstruct(
    "LabStatus",
    list(get_type_hints(Status).items()),
    bases=(Document,),
    module=__name__,
    namespace={"__doc__": Status.__doc__},
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)


class Topologies(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machines there are to choose from."""

    topologies: tuple[Topology, ...]


def lab_status(status: Status) -> Any:
    return LabStatus(**asdict(status))
