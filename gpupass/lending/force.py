"""A guest that does not let go in time is ended with all that it has not written; nothing takes that back."""

from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import NeedsPerson, Pending
from gpupass.lending.lender import Loan, Loans
from gpupass.lending.plug import DetachDevice, found_in
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.plan import Draft, Finding
from gpupass.step import Deed, Facts, Kind, Rank, Step, facts
from gpupass.system import System
from gpupass.system.libvirt import LibvirtFailure


class DestroyDomain(Step, frozen=True, kw_only=True):
    """The domain is destroyed (virDomainDestroy), where it still has one of these."""

    loans: tuple[Loan, ...]
    domain: str
    uuid: str
    connect: str

    Before: ClassVar[Any] = bool

    @property
    def carriers(self) -> tuple[Address, ...]:
        return tuple(dict.fromkeys(loan.address for loan in self.loans))

    @property
    def gives(self) -> Facts:
        return facts(*((Kind.ASKED, address) for address in self.carriers))

    @property
    def ends(self) -> Facts:
        return facts(*((Kind.LENT, loan.mdev or loan.address) for loan in self.loans))

    @property
    def rank(self) -> Rank:
        """It has been asked for all of them before."""
        return (-1,)

    def words(self) -> str:
        names = ", ".join(loan.mdev or loan.address for loan in self.loans)
        return f"destroy {self.domain}, if it has not let go of {names}"

    def seconds(self) -> float:
        return 2.0

    def current(self, system: System) -> bool:
        """Does the running domain have any of them?"""
        xml = system.hypervisor(self.connect).live_xml(self.uuid)
        return xml is not None and any(
            found_in(xml, self.domain, one.address, one.mdev) is not None for one in self.loans
        )

    def do(self, system: System, deadline: float) -> None:
        """Pending when libvirt cannot end it: the guest has been asked, and may still let go."""
        if not self.current(system):
            return
        try:
            system.hypervisor(self.connect).destroy(self.uuid)
            why = "it still runs"
        except LibvirtFailure as failure:
            why = failure.message
        if self.current(system):
            raise Pending(f"{self.domain} cannot be destroyed: {why}", "gpupass recover")

    def undo(self, before: Any, system: System) -> None:
        """NeedsPerson: what it has lost nobody gives it back."""
        if before and system.hypervisor(self.connect).live_xml(self.uuid) is None:
            raise NeedsPerson(f"{self.domain} has been destroyed", f"virsh start {self.domain}")

    def committed(self, system: System) -> bool:
        """Asked for by somebody who was told what is lost; and nothing takes it back."""
        self.current(system)  # while libvirt cannot be asked, nobody may go on or back
        return True


def by_force(domain: Domain, loans: Loans, connect: str, taken: tuple[Deed, ...]) -> Draft:
    """The same requests, and the end of whoever does not follow them; with what that loses."""
    asked = tuple(replace(step, force=True) if isinstance(step, DetachDevice) else step for step in taken)
    held = tuple(loan for loan in loans if any(one.is_of(loan.address, loan.mdev) for one in domain.live))
    end = DestroyDomain(
        loans=held, domain=domain.name, uuid=domain.uuid, connect=connect, why="--force: its plug is pulled"
    )
    rest = (one for one in domain.live if not any(one.is_of(loan.address, loan.mdev) for loan in held))
    names = ", ".join(one.mdev or one.address or "a device" for one in rest)
    others = f", and {names}, which gpupass recover then cleans" if names else ""
    warning = Finding(
        message=f"{domain.name} is destroyed unless it lets go in time: it loses its memory, what it has not "
        f"written to its disks{others}",
        remedy=f"virsh shutdown {domain.name} lets it end by itself",
        fatal=False,
    )
    return Draft(takes=(*asked, end), findings=(warning,))
