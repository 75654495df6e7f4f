"""libvirt's domains, and which device each of them has or wants."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address
from gpupass.model.domain import QEMU, Domain, DomainState
from gpupass.model.user import User, UserKind
from gpupass.observe import recorded
from gpupass.system import Reader, System

if TYPE_CHECKING:
    from gpupass.system.libvirt import DomainText

_SOCKETS = tuple(
    f"{directory}/libvirt/{name}-sock"
    for directory in ("/run", "/var/run")
    for name in ("libvirt", "virtqemud")
)


def read_texts(
    system: Reader, connect: str, sized: Collection[str] | None = None
) -> tuple[tuple["DomainText", ...], tuple[str, ...]]:
    """The domains as libvirt spells them, `sized` with the memory they have, and what could not be seen."""
    if not isinstance(system, System):
        return _recorded(system)
    if connect == QEMU and not any(system.exists(path) for path in _SOCKETS):
        return (), ("libvirt: not running",)
    try:
        return system.hypervisor(connect).domains(sized), ()
    except GpupassError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return (), (f"libvirt: {error.message.removeprefix('libvirt ')}{hint}",)


def read_version(system: Reader, connect: str) -> tuple[int, int, int] | None:
    """libvirt's own; None when it cannot be asked."""
    if not isinstance(system, System):
        return None
    try:
        return system.hypervisor(connect).version()
    except GpupassError:
        return None


def read_domains(
    system: Reader, connect: str, windows: Collection[str] = ()
) -> tuple[tuple[Domain, ...], tuple[str, ...]]:
    """All domains; of those in `windows`, names or UUIDs, QEMU tells what their guests have left free."""
    texts, unseen = read_texts(system, connect, windows)
    if not texts:
        return (), unseen
    from gpupass.lending.domain_xml import parse_domain
    from gpupass.lending.windows import with_windows

    domains = []
    for text in texts:
        try:
            domains.append(
                parse_domain(
                    name=text.name,
                    uuid=text.uuid,
                    state=text.state,
                    autostart=text.autostart,
                    live=text.live,
                    config=text.config,
                    job=text.job,
                    resident=text.resident,
                )
            )
        except ValueError as error:
            unseen = (*unseen, f"domain {text.name}: {error}")
    if not isinstance(system, System) or not windows:
        return tuple(domains), unseen
    try:
        return tuple(
            with_windows(domain, system.hypervisor(connect).query_pci(domain.uuid))
            if domain.active and (domain.name in windows or domain.uuid in windows)
            else domain
            for domain in domains
        ), unseen
    except GpupassError as error:
        return (), (*unseen, f"libvirt: {error.message.removeprefix('libvirt ')}")


def paths_of(xml: str) -> tuple[str, ...]:
    """The device files of the host that a domain's XML names; () where it is none."""
    from gpupass.lending.domain_xml import parse_definition

    try:
        return tuple(part.name for part in parse_definition(xml).parts if part.name.startswith("/dev/"))
    except ValueError:
        return ()


def users_of(domains: Iterable[Domain], parents: Mapping[str, Address]) -> dict[str, tuple[User, ...]]:
    """Users by address, and by UUID of a mediated device; `parents` says whose it is."""
    users: dict[str, list[User]] = {}
    for domain in domains:
        for kind, hostdevs in ((UserKind.DOMAIN, domain.live), (UserKind.DOMAIN_CONFIG, domain.config)):
            for hostdev in hostdevs:
                user = User(kind=kind, name=domain.name, detail=hostdev.alias or "")
                if hostdev.address is not None:
                    users.setdefault(hostdev.address, []).append(user)
                elif hostdev.mdev is not None and hostdev.mdev in parents:
                    users.setdefault(hostdev.mdev, []).append(user)
                    through = replace(user, detail=f"mdev {hostdev.mdev}")
                    users.setdefault(parents[hostdev.mdev], []).append(through)
    return {name: tuple(found) for name, found in users.items()}


def _recorded(system: Reader) -> tuple[tuple["DomainText", ...], tuple[str, ...]]:
    from gpupass.system.libvirt import DomainText

    def shape(data: Any) -> tuple[tuple[DomainText, ...], tuple[str, ...]]:
        return tuple(
            DomainText(
                name=str(item["name"]),
                uuid=str(item["uuid"]),
                state=DomainState(item["state"]),
                autostart=bool(item["autostart"]),
                live=_xml(system, str(item["uuid"]), "live"),
                config=_xml(system, str(item["uuid"]), "config"),
                job=None if item["job"] is None else str(item["job"]),
                resident=None if item["resident"] is None else int(item["resident"]),
            )
            for item in data["domains"]
        ), tuple(map(str, data["unseen"]))

    return recorded.load(system, recorded.DOMAINS, shape, {"domains": [], "unseen": []})


def _xml(system: Reader, uuid: str, side: str) -> str | None:
    """A record may come from a stranger: its UUIDs name files only when they are UUIDs."""
    if not re.fullmatch(r"[0-9a-f-]{36}", uuid):
        return None
    return system.read(f"{recorded.DOMAIN_XML}/{uuid}.{side}.xml")
