"""What of an attachment's options cannot be, each with its reason and with what works; pure."""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.lending.failures import rom_remedy
from gpupass.lending.lender import Loan, Loans
from gpupass.lending.preflight import free_ports, has_ports
from gpupass.model.address import Address, bus_of
from gpupass.model.domain import Domain
from gpupass.model.host import Host
from gpupass.model.options import DEFAULT, IOMMUFD, VFIO, Options
from gpupass.model.slot import Slot
from gpupass.plan import Finding

_IOMMUFD_SINCE = (12, 1, 0)  # libvirt NEWS


def option_findings(host: Host, loan: Loan, domain: Domain) -> Iterator[Finding]:
    """Before anything is touched."""
    yield from _rom(host, loan)
    yield from _driver(host, loan)
    yield from _guest_address(loan, domain)
    yield from _qemu_properties(loan, domain)


def with_options(loans: Loans, options: Options) -> Loans:
    """Of what the slot itself is; how QEMU opens it is the same for its whole IOMMU group."""
    main = next((loan for loan in loans if not loan.hidden), None)
    beside = Options(driver=options.driver)
    return tuple(
        replace(loan, options=options if loan is main else beside if not loan.hidden else loan.options)
        for loan in loans
    )


def lacking(domain: Domain, loans: Loans) -> str:
    """What of the options in the XML the guest has otherwise, in words."""
    found = (
        hostdev.lacks(loan.options.in_xml).words
        for hostdev in domain.live
        for loan in loans
        if hostdev.is_of(loan.address, loan.mdev) and not hostdev.unassigned
    )
    return ", ".join(words for words in found if words)


def options_of(domain: Domain, slot: Slot, exact: bool = False) -> Options:
    """What its guest has it with, and another can have, too: not the address in this one.

    `exact`: also what is as usual.
    """
    hostdev = next((one for one in domain.live if one.is_of(slot.device, slot.mdev)), None)
    if hostdev is None or slot.mdev is not None:
        return Options()
    return Options(
        rom=hostdev.rom if exact or hostdev.rom != DEFAULT else None,
        driver=hostdev.driver if exact or hostdev.driver != VFIO else None,
    )


def with_its_port(domain: Domain, options: Options) -> Domain:
    """Where a port is named the others do not count."""
    if options.guest_address is None or not has_ports(domain):
        return domain
    named = tuple(port for port in domain.ports if port.index == bus_of(options.guest_address))
    return replace(domain, ports=named)


def _rom(host: Host, loan: Loan) -> Iterator[Finding]:
    path = loan.options.rom_file
    if loan.options.rom not in (None, DEFAULT) and loan.mdev is not None:
        yield Finding(
            message=f"{loan.mdev} is a mediated device, whose ROM is its driver's: libvirt passes none on",
            remedy="leave rom out",
        )
    elif path is not None and (why := host.roms.get(path)) != "":
        told = why or "not seen, a record does not keep it"
        yield Finding(message=f"{path} as its ROM: {told}", remedy=rom_remedy(path), fatal=bool(why))


def _driver(host: Host, loan: Loan) -> Iterator[Finding]:
    if loan.options.driver != IOMMUFD:
        return
    since, has = ".".join(map(str, _IOMMUFD_SINCE[:2])), host.libvirt
    if loan.mdev is not None:
        yield Finding(
            message=f"{loan.mdev} is a mediated device: libvirt opens only PCI functions through iommufd",
            remedy="leave driver out",
        )
    elif has is None or has < _IOMMUFD_SINCE:
        here = f"libvirt {'.'.join(map(str, has))} cannot" if has else "who knows whether libvirt can"
        yield Finding(
            message=f"{here} open {loan.address} through iommufd: {since} can",
            remedy="leave driver out: QEMU then opens its VFIO group, as ever",
            fatal=has is not None,
        )


def _qemu_properties(loan: Loan, domain: Domain) -> Iterator[Finding]:
    """<qemu:override>, since libvirt 8.2, changes QEMU's command line: what is plugged it does not touch."""
    properties = [_override(text) for text in loan.options.qemu_property]
    if properties:
        names = ", ".join(text.partition("=")[0] for text in loan.options.qemu_property)
        yield Finding(
            message=f"libvirt has no element for {names}, and passes such properties on when "
            f"{domain.name} starts only",
            remedy=f"virsh edit {domain.name}: the <hostdev> with <alias name='ua-gpu'/>, and "
            "<qemu:override><qemu:device alias='ua-gpu'><qemu:frontend>"
            f"{''.join(properties)}</qemu:frontend></qemu:device></qemu:override>",
        )


def _override(text: str) -> str:
    name, _, value = text.partition("=")
    truth = {"on": "true", "off": "false"}.get(value)
    kind = "bool" if truth else "unsigned" if value.isdecimal() else "string"
    return f"<qemu:property name='{name}' type='{kind}' value='{truth or value}'/>"


def _guest_address(loan: Loan, domain: Domain) -> Iterator[Finding]:
    wanted = loan.options.guest_address
    why = _why_not_there(wanted, domain) if wanted is not None and domain.active else ""
    if why:
        free = ", ".join(_free(domain))
        yield Finding(
            message=f"{wanted} in {domain.name}: {why}",
            remedy=f"leave guest-address out, or one of: {free}" if free else "leave guest-address out",
        )


def _why_not_there(wanted: Address, domain: Domain) -> str:
    slot, _, function = wanted.rpartition(":")[2].partition(".")
    if function != "0":
        return "libvirt plugs function 0 of a slot only"
    if any(taken.rpartition(".")[0] == wanted.rpartition(".")[0] for taken in domain.taken):
        return "something is there"
    bus = bus_of(wanted)
    if not has_ports(domain):
        return "" if wanted.startswith("0000:00:") and slot != "00" else "there is no such hot-plug slot"
    port = next((port for port in domain.ports if port.index == bus), None)
    if port is None or slot != "00" or not wanted.startswith("0000:"):
        return "no hot-plug port leads there"
    if port.occupied:
        return "something is there"
    return "" if port.hotplug else f"its port {bus} has hotplug='off'"


def _free(domain: Domain) -> Iterator[str]:
    if has_ports(domain):
        yield from (f"{port.index:02x}:00.0" for port in free_ports(domain)[:4])
