"""observe(): basics of all functions, then detail and users of those asked about."""

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from gpupass.model.address import Address, is_pci
from gpupass.model.amd import Amd, Gim
from gpupass.model.domain import Domain
from gpupass.model.host import SRIOV_MANAGE, Detail, Device, Host, Mdev, Nvidia
from gpupass.model.nodes import Nodes
from gpupass.model.record import Record
from gpupass.model.user import User, UserKind
from gpupass.observe.iommu import read_iommu
from gpupass.observe.mdev import PARENTS, read_mdevs, read_parents, read_types
from gpupass.observe.naming import read_names
from gpupass.observe.pci import Vendor, is_boot_display, read_detail, read_devices
from gpupass.system import System

Users = Mapping[str, tuple[User, ...]]  # by address, and by UUID of a mediated device
Mdevs = Mapping[Address, tuple[Mdev, ...]]
Wanted = Callable[[Host], Iterable[Address]]


def nothing(host: Host) -> Iterable[Address]:
    return ()


def everything(host: Host) -> Iterable[Address]:
    return (device.address for device in host.devices)


def observe(
    system: System,
    *,
    detail: Wanted = everything,
    connect: str | None = "qemu:///system",
    processes: bool = True,
    essentials: bool = True,
    records: bool = True,
    names: bool = True,
    cuts: bool = True,
    nodes: bool = False,
    programs: bool = False,
) -> Host:
    """Look once.

    `detail` gets the host with the basics only and says which functions are worth all their facts;
    `connect` None leaves libvirt out; `essentials` are the host's own disks and networks, `cuts` what GPUs
    are cut into by their drivers, `nodes` the device files that containers can be given, `programs` those
    of others that a profile can ask for.
    """
    devices = (*read_devices(system), *read_parents(system))
    mdevs = read_mdevs(system)
    unseen: list[str] = []
    bare = Host(devices=devices)
    wanted = tuple(bare.devices_at(sorted(set(detail(bare)))))
    users: list[Users] = []
    found: Users
    domains: tuple[Domain, ...] = ()
    if connect is not None:
        from gpupass.observe.domains import read_domains, users_of

        domains, missed = read_domains(system, connect)
        unseen += missed
        parents = {mdev.uuid: parent for parent, alive in mdevs.items() for mdev in alive}
        users.append(users_of(domains, parents))
    if processes:
        from gpupass.observe.processes import read_processes

        found, missed = read_processes(system, devices, mdevs)
        unseen += missed
        users.append(found)
    if essentials:
        found, missed = _essentials(system, bare)
        unseen += missed
        users.append(found)
    users.append(_boot_displays(system, devices))
    details, missed = _details(system, replace(bare, domains=domains), wanted, mdevs, users, cuts)
    unseen += missed
    labels = read_names(system, wanted) if names and wanted else {}
    if any(not _sees_extended(system, address) for address in [*filter(is_pci, details)][:1]):
        unseen.append("ACS and serial numbers of PCI devices: run as root")
    return Host(
        devices=tuple(
            _completed(device, details, labels, _joined(device.address, users)) for device in devices
        ),
        domains=domains,
        iommu=read_iommu(system),
        boot_id=system.boot_id(),
        machine_id=system.machine_id(),
        sriov_manage=system.exists(SRIOV_MANAGE),
        nvidia_ctk=_nvidia_ctk(system) if programs else None,
        libvirt=_libvirt_version(system, connect, devices),
        kernel=(system.read("/proc/sys/kernel/osrelease") or ""),
        available_memory=_available_memory(system),
        records=_records(system) if records else (),
        nodes=_nodes(system) if nodes else None,
        unseen=tuple(dict.fromkeys(unseen)),
    )


def _completed(
    device: Device, details: Mapping[Address, Detail], labels: Mapping[str, str], users: tuple[User, ...]
) -> Device:
    detail = details.get(device.address)
    if detail is None and not users:
        return device
    return replace(device, detail=detail, users=users, name=labels.get(device.ids, device.name))


def _joined(name: str, sources: Iterable[Users]) -> tuple[User, ...]:
    return tuple(user for source in sources for user in source.get(name, ()))


def _details(
    system: System,
    host: Host,
    devices: tuple[Device, ...],
    mdevs: Mdevs,
    users: Iterable[Users],
    cuts: bool,
) -> tuple[dict[Address, Detail], tuple[str, ...]]:
    if not devices:
        return {}, ()
    from gpupass.observe.drivers import host_drivers

    drivers = host_drivers(system, devices)
    nvidia, unseen = _nvidia(system, host, devices, cuts)
    amd, gim = _amd(system, devices)
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
        )
        if is_pci(device.address)
        else Detail(express=False)
        for device in devices
    }
    return {
        address: _mediated(system, address, detail, mdevs, users) for address, detail in details.items()
    }, unseen


def _mediated(
    system: System, address: Address, detail: Detail, mdevs: Mdevs, users: Iterable[Users]
) -> Detail:
    """With the mediated devices it can have and has."""
    if not system.exists(f"{PARENTS}/{address}"):
        return detail
    alive = tuple(replace(mdev, users=_joined(mdev.uuid, users)) for mdev in mdevs.get(address, ()))
    return replace(detail, mdev_types=tuple(read_types(system, address)), mdevs=alive)


def _nvidia(
    system: System, host: Host, devices: tuple[Device, ...], cuts: bool
) -> tuple[dict[Address, Nvidia], tuple[str, ...]]:
    driven = {device.address for device in devices if device.driver == "nvidia"}
    if not driven:
        return {}, ()
    from gpupass.observe.nvidia import read_nvidia, with_vfs

    return read_nvidia(system, driven if cuts else (), with_vfs(host.devices), host.domains)


def _amd(system: System, devices: tuple[Device, ...]) -> tuple[dict[Address, Amd | None], dict[Address, Gim]]:
    if not any(device.driver in ("amdgpu", "gim") for device in devices):
        return {}, {}
    from gpupass.observe.amd import read_amd, read_gim, read_nodes

    nodes = read_nodes(system)
    return (
        {d.address: read_amd(system, d.address, nodes) for d in devices if d.driver == "amdgpu"},
        {d.address: read_gim(system, d.address) for d in devices if d.driver == "gim"},
    )


def _sees_extended(system: System, address: Address) -> bool:
    """Ordinary users get the first 64 bytes of configuration space only."""
    return len(system.read_bytes(f"/sys/bus/pci/devices/{address}/config", limit=256) or b"") > 64


def _essentials(system: System, host: Host) -> tuple[Users, tuple[str, ...]]:
    from gpupass.observe.disks import read_disk_users
    from gpupass.observe.networks import read_network_users

    disks, unseen = read_disk_users(system, host.devices)
    networks = read_network_users(system)
    found: dict[str, tuple[User, ...]] = {}
    for device in host.devices:
        users = (*disks.get(device.address, ()), *networks.get(device.address, ()))
        if users and not device.is_bridge:
            found[device.address] = found.get(device.address, ()) + users
            if device.physfn is not None:
                found[device.physfn] = found.get(device.physfn, ()) + users
    return found, unseen


def _boot_displays(system: System, devices: tuple[Device, ...]) -> Users:
    user = User(kind=UserKind.BOOT_DISPLAY, name="console", detail="boot display")
    displays = (device.address for device in devices if device.class_code >> 16 == 0x03)
    return {address: (user,) for address in displays if is_boot_display(system, address)}


def _records(system: System) -> tuple[Record, ...]:
    if not system.state.is_dir():
        return ()
    from gpupass.system.state import read_records

    return read_records(system.state)


def _nodes(system: System) -> Nodes:
    from gpupass.observe.nodes import read_nodes

    return read_nodes(system)


def _nvidia_ctk(system: System) -> bool | None:
    from gpupass.observe.programs import read_nvidia_ctk

    return read_nvidia_ctk(system)


def _libvirt_version(
    system: System, connect: str | None, devices: tuple[Device, ...]
) -> tuple[int, int, int] | None:
    """Only where a VF is there that an older libvirt would not take."""
    if connect is None or not any(device.own_vfio for device in devices):
        return None
    from gpupass.observe.domains import read_version

    return read_version(system, connect)


def _available_memory(system: System) -> int | None:
    for line in (system.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None
