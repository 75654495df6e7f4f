"""observe(): basics of all functions, then detail and users of those asked about."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from msgspec.structs import asdict, replace

from gpupass.model.address import Address, sysfs
from gpupass.model.amd import Amd, Gim
from gpupass.model.domain import QEMU, Domain
from gpupass.model.host import NVIDIA, SRIOV_MANAGE, Acs, Detail, Device, Host, Nvidia
from gpupass.model.mdev import Mdev, Mediated
from gpupass.model.nodes import Nodes
from gpupass.model.select import product_of
from gpupass.model.user import User, UserKind
from gpupass.model.vf_link import VfLink
from gpupass.observe.iommu import read_iommu
from gpupass.observe.mdev import PARENTS, buses, read_mdevs, read_types
from gpupass.observe.naming import read_names
from gpupass.observe.number import number
from gpupass.observe.pci import Vendor, group_names, read_around, read_basics, read_detail
from gpupass.store.place import is_there
from gpupass.system import Reader, System
from gpupass.system.door import STATE

PROXMOX = "/etc/pve/qemu-server"
_VDPA = "/sys/bus/vdpa/devices"
_DISPLAY = 0x03  # the class

if TYPE_CHECKING:
    from gpupass.observe.nvidia import Information
    from gpupass.observe.proxmox import Machine
    from gpupass.observe.vdpa import Vdpa

Users = Mapping[str, tuple[User, ...]]  # by address, and by UUID of a mediated device
Mdevs = Mapping[Address, tuple[Mdev, ...]]
Renders = Mapping[Address, tuple[str, ...]]
Wanted = Callable[[Host], Iterable[Address]]
P = ParamSpec("P")
Look = Callable[Concatenate[Reader, P], Host]


def nothing(host: Host) -> Iterable[Address]:
    return ()


def everything(host: Host) -> Iterable[Address]:
    return (carrier.address for carrier in host.carriers)


def _telling_what_is_silent(look: Look[P]) -> Look[P]:
    """What the kernel does not answer within is told, and hides nothing else."""

    @wraps(look)
    def looked(system: Reader, /, *args: P.args, **asked: P.kwargs) -> Host:
        with system.looking() as silent:
            host = look(system, *args, **asked)
        return replace(host, unseen=(*silent, *host.unseen)) if silent else host

    return looked


@_telling_what_is_silent
def observe(
    system: Reader,
    *,
    around: Collection[Address] | None = None,
    detail: Wanted = everything,
    connect: str | None = QEMU,
    windows: Collection[str] = (),
    described: bool = True,
    processes: bool = True,
    essentials: bool = True,
    marks: bool = True,
    names: bool = True,
    nvml: bool = True,
    cuts: bool = True,
    nodes: bool = False,
    programs: bool = False,
    roms: Collection[str] = (),
    settings: bool = False,
) -> Host:
    """Look once; each file is read once.

    `around` are functions that alone matter, with what a change of them is about; None: all there are.
    `detail` gets the host with the basics only and says which functions are worth all their facts;
    `connect` None leaves libvirt out; `windows` are domains, by name or UUID, that are to get something, so
    QEMU is asked what fits; `described` False leaves out what only people want to know; `essentials` are
    the host's own disks and networks, `nvml` what only NVML tells, `cuts` what GPUs are cut into and ways see
    of them, `nodes` the device files that containers can be given, `programs` those of others that a profile
    can ask for, `roms` files that guests are to see as ROMs, `settings` what of a device is set for a guest.
    """
    groups = cache(partial(group_names, system))
    basics = tuple(read_basics(system)) if around is None else read_around(system, around, groups)
    aliases = {found.device.address: found.event.get("MODALIAS", "") for found in basics}
    parents = system.names(PARENTS)
    devices = tuple(found.device for found in basics)
    others = tuple(bus for bus in buses(parents) if around is None or bus.address in around)
    bare = Host(devices=devices, mdev_buses=others)
    mdevs = read_mdevs(system, {carrier.address for carrier in bare.carriers})
    kernel = system.read("/proc/sys/kernel/osrelease") or ""
    unseen: list[str] = []
    asked_about = set(detail(bare))
    wanted = bare.devices_at(sorted(asked_about))
    users: list[Users] = []
    names_to_stop: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = {}
    found: Users
    domains: tuple[Domain, ...] = ()
    if connect is not None:
        from gpupass.observe.domains import read_domains, users_of

        domains, missed = read_domains(system, connect, windows)
        unseen += missed
        users.append(users_of(domains, {mdev.uuid: one for one, alive in mdevs.items() for mdev in alive}))
    information = _information(system, devices if processes else wanted)
    renders = _renders(system, devices if processes else wanted)
    vdpa = _vdpa(system) if processes or essentials else ()
    if processes:
        from gpupass.observe.processes import read_processes
        from gpupass.system.holders import listed

        classes = listed(system)
        from gpupass.observe.stoppable import as_stoppable, read_stoppable, with_triggers

        machines = _machines(system)
        found, missed = read_processes(
            system,
            devices,
            mdevs,
            _minors(information),
            renders,
            domains,
            machines,
            vdpa,
            classes=classes,
        )
        unseen += missed
        stoppable, names_to_stop, missed = read_stoppable(system)
        unseen += missed
        named = with_triggers(
            system, {at: tuple(as_stoppable(them, stoppable)) for at, them in found.items()}
        )
        users += (named, _of_machines(machines, devices, found), _framebuffers(system, wanted))
    if essentials:
        found, missed = _essentials(system, replace(bare, domains=domains), vdpa, classes.get("block"))
        unseen += missed
        users.append(found)
    drivers = _host_drivers(system, wanted, aliases, kernel)
    nvidia, missed = _nvidia(
        system, replace(bare, domains=domains), wanted, information if nvml else {}, cuts
    )
    unseen += missed
    amd, gim = _amd(system, wanted, renders)
    vfs: dict[Address, list[Address]] = {}
    for device in devices:
        if device.physfn is not None:
            vfs.setdefault(device.physfn, []).append(device.address)
    details = {
        device.address: read_detail(
            system,
            device,
            Vendor(
                host_driver=drivers.get(device.address),
                nvidia=nvidia.get(device.address),
                amd=amd.get(device.address),
                gim=gim.get(device.address),
            ),
            tuple(vfs.get(device.address, ())),
            described,
            settings,
        )
        for device in wanted
    }
    users.append(_boot_displays(details))
    details |= {
        address: replace(detail, **asdict(_mediated(system, address, mdevs, users)))
        for address, detail in details.items()
        if address in parents
    }
    labels = read_names(system, wanted) if names and wanted else {}
    if any(_sees_no_extended(details[address]) for address in [*details][:1]):
        unseen.append("ACS and serial numbers of PCI devices: run as root")
    host = Host(
        devices=tuple(
            _completed(device, details, labels, _joined(device.address, users)) for device in devices
        ),
        mdev_buses=tuple(
            replace(
                bus,
                detail=_mediated(system, bus.address, mdevs, users) if bus.address in asked_about else None,
                users=_joined(bus.address, users),
            )
            for bus in others
        ),
        domains=domains,
        iommu=read_iommu(system, groups, wanted),
        boot_id=system.boot_id(),
        machine_id=system.machine_id(),
        sriov_manage=system.exists(SRIOV_MANAGE),
        awake=_awake(system, details) if settings else frozenset(),
        links=_links(system, wanted) if settings else {},
        vendor_reset=settings and system.exists("/sys/module/vendor_reset"),
        nvidia_ctk=_nvidia_ctk(system) if programs else None,
        libvirt=_libvirt_version(system, connect, devices, bool(windows)),
        kernel=kernel,
        available_memory=_available_memory(system),
        nodes=_nodes(system) if nodes else None,
        roms={path: system.why_no_rom(path) for path in roms},
        stoppable=names_to_stop,
        unseen=tuple(dict.fromkeys(unseen)),
    )
    host = _with_marks(system, host) if marks else host
    host = _named_by_drivers(host) if names else host
    return _with_sights(system, host) if cuts and asked_about else host


def _completed(
    device: Device, details: Mapping[Address, Detail], labels: Mapping[str, str], users: tuple[User, ...]
) -> Device:
    detail = details.get(device.address)
    if detail is None and not users:
        return device
    return replace(device, detail=detail, users=users, name=labels.get(device.ids, device.name))


def _machines(system: Reader) -> "tuple[Machine, ...]":
    if not system.exists(PROXMOX):
        return ()
    from gpupass.observe.proxmox import read_machines

    return read_machines(system)


def _of_machines(machines: "Iterable[Machine]", devices: Iterable[Device], running: Users) -> Users:
    """Of those whose process is no user of it already."""
    if not machines:
        return {}
    from gpupass.observe.proxmox import users_of_machines

    here = {user.handle for users in running.values() for user in users}
    wanted = users_of_machines(machines, [device.address for device in devices], here)
    return {str(address): tuple(found) for address, found in wanted.items()}


def _framebuffers(system: Reader, devices: Iterable[Device]) -> Users:
    displays = [device for device in devices if device.class_code >> 16 == _DISPLAY]
    if not displays:
        return {}
    from gpupass.observe.framebuffers import read_framebuffers

    return {str(address): found for address, found in read_framebuffers(system, displays).items()}


def _joined(name: str, sources: Iterable[Users]) -> tuple[User, ...]:
    return tuple(user for source in sources for user in source.get(name, ()))


def _host_drivers(
    system: Reader, devices: Collection[Device], aliases: Mapping[Address, str], kernel: str
) -> dict[Address, str]:
    if not devices:
        return {}
    from gpupass.observe.drivers import host_drivers

    return host_drivers(system, devices, aliases, kernel)


def _mediated(system: Reader, parent: Address, mdevs: Mdevs, users: Iterable[Users]) -> Mediated:
    """The mediated devices that it can have and has."""
    alive = tuple(replace(mdev, users=_joined(mdev.uuid, users)) for mdev in mdevs.get(parent, ()))
    return Mediated(mdev_types=tuple(read_types(system, parent)), mdevs=alive)


def _information(system: Reader, devices: Collection[Device]) -> "Information":
    if not any(device.driver == NVIDIA for device in devices):
        return {}
    from gpupass.observe.nvidia import read_information

    return read_information(system, {device.address for device in devices})


def _minors(information: "Information") -> Mapping[int, Address]:
    if not information:
        return {}
    from gpupass.observe.nvidia import minors

    return minors(information)


def _nvidia(
    system: Reader, host: Host, devices: tuple[Device, ...], information: "Information", cuts: bool
) -> tuple[dict[Address, Nvidia], tuple[str, ...]]:
    driven = {device.address for device in devices if device.driver == NVIDIA}
    if not driven:
        return {}, ()
    from gpupass.observe.nvidia import read_nvidia, with_vfs

    return read_nvidia(system, information, driven if cuts else (), with_vfs(host.devices), host.domains)


def _renders(system: Reader, devices: Iterable[Device]) -> Renders:
    if not any(device.driver == "amdgpu" for device in devices):
        return {}
    from gpupass.observe.amd import read_nodes

    return read_nodes(system)


def _amd(
    system: Reader, devices: tuple[Device, ...], renders: Renders
) -> tuple[dict[Address, Amd | None], dict[Address, Gim]]:
    if not any(device.driver in ("amdgpu", "gim") for device in devices):
        return {}, {}
    from gpupass.observe.amd import read_amd, read_gims

    return (
        {d.address: read_amd(system, d.address, renders) for d in devices if d.driver == "amdgpu"},
        read_gims(system, [device.address for device in devices if device.driver == "gim"]),
    )


def _sees_no_extended(detail: Detail) -> bool:
    """Ordinary users get the first 64 bytes of configuration space only."""
    return detail.acs is Acs.UNKNOWN and detail.responds


def _vdpa(system: Reader) -> "tuple[Vdpa, ...]":
    if not system.exists(_VDPA):
        return ()
    from gpupass.observe.vdpa import read_vdpa

    return read_vdpa(system)


def _essentials(
    system: Reader, host: Host, vdpa: "tuple[Vdpa, ...]", blocks: tuple[str, ...] | None
) -> tuple[Users, tuple[str, ...]]:
    from gpupass.observe.blocks import read_blocks
    from gpupass.observe.disks import read_disk_users
    from gpupass.observe.networks import read_network, read_network_users

    network = read_network(system)
    disks, unseen = read_disk_users(system, read_blocks(system, network, blocks), host.devices, host.domains)
    networks = read_network_users(system, network, host.devices, host.domains, vdpa)
    found: dict[str, tuple[User, ...]] = {}
    for device in host.devices:
        users = (*disks.get(device.address, ()), *networks.get(device.address, ()))
        if users and not device.is_bridge:
            found[device.address] = found.get(device.address, ()) + users
            if device.physfn is not None:
                found[device.physfn] = found.get(device.physfn, ()) + users
    return found, unseen


def _awake(system: Reader, addresses: Iterable[Address]) -> frozenset[Address]:
    return frozenset(one for one in addresses if system.read(sysfs(one, "power/control")) == "on")


def _links(system: Reader, devices: Iterable[Device]) -> dict[Address, VfLink]:
    """Of network VFs, as their physical functions tell; a record does not keep that."""
    pfs = {one.physfn for one in devices if one.physfn is not None and one.is_network}
    if not pfs or not isinstance(system, System):
        return {}
    from gpupass.steps.vf_link import read_links

    return {vf: link for pf in sorted(pfs) for vf, link in read_links(system, pf).items()}


def _boot_displays(details: Mapping[Address, Detail]) -> Users:
    user = User(kind=UserKind.BOOT_DISPLAY, name="console", detail="boot display")
    return {address: (user,) for address, detail in details.items() if detail.boot_display}


def _with_sights(system: Reader, host: Host) -> Host:
    from gpupass.methods import with_sights

    return with_sights(system, host)


def _with_marks(system: Reader, host: Host) -> Host:
    if not isinstance(system, System):
        if not system.exists(STATE):
            return host
        from gpupass.observe.recorded_marks import read_marks
        from gpupass.planner.unknown import still_meant

        marks, unseen = read_marks(system)
        return replace(host, marks=still_meant(marks, host), unseen=(*host.unseen, *unseen))
    if not is_there(system.state):
        return host
    from gpupass.observe.remembered import read_remembered
    from gpupass.planner.unknown import still_meant

    marks, unseen = read_remembered(system, host)
    return replace(host, marks=still_meant(marks, host), unseen=(*host.unseen, *unseen))


def _named_by_drivers(host: Host) -> Host:
    """What the hardware database does not know has the name that its driver gives it, or gave it."""
    nameless = (device for device in host.devices if device.detail is not None and not device.name)
    named = {device.address: name for device in nameless if (name := product_of(device, host))}
    if not named:
        return host
    devices = (replace(one, name=named[one.address]) if one.address in named else one for one in host.devices)
    return replace(host, devices=tuple(devices))


def _nodes(system: Reader) -> Nodes:
    from gpupass.observe.nodes import read_nodes

    return read_nodes(system)


def _nvidia_ctk(system: Reader) -> bool | None:
    from gpupass.observe.programs import read_nvidia_ctk

    return read_nvidia_ctk(system)


def _libvirt_version(
    system: Reader, connect: str | None, devices: tuple[Device, ...], lends: bool
) -> tuple[int, int, int] | None:
    """Where something is to be lent, or a VF is there that an older libvirt would not take."""
    if connect is None or not (lends or any(device.lends_itself for device in devices)):
        return None
    from gpupass.observe.domains import read_version

    return read_version(system, connect)


def _available_memory(system: Reader) -> int | None:
    for line in (system.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            kib = number((line.split()[1:] or [""])[0])
            return None if kib is None else kib << 10
    return None
