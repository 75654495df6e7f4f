"""Which host processes hold which device, by its files: VFIO, displays, sound, buses, RDMA, disks, …"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Device
from gpupass.model.mdev import Mdev
from gpupass.model.user import Holder, User, UserKind
from gpupass.model.wire import to_json
from gpupass.observe import recorded
from gpupass.observe.paths import addresses_in, disk_paths
from gpupass.observe.vdpa import VDPA, Vdpa
from gpupass.system import Reader

if TYPE_CHECKING:
    from gpupass.observe.owners import Owner
    from gpupass.observe.proxmox import Machine
    from gpupass.system.holders import Holder as Process

NOT_SEEN = "device files held by other users' processes: run as root"
_USB = re.compile(r"/usb\d+/")  # what can be pulled out lets go of whoever has it open
_BLOCK = "block"
_LOOKERS = ("systemd-udevd.service", "multipathd.service")  # at disks, for others; what those have is told


def read_processes(
    system: Reader,
    devices: Collection[Device],
    mdevs: Mapping[Address, tuple[Mdev, ...]],
    minors: Mapping[int, Address],
    renders: Mapping[Address, tuple[str, ...]],
    domains: Collection[Domain] = (),
    machines: "Collection[Machine]" = (),
    vdpa: Collection[Vdpa] = (),
    *,
    classes: Mapping[str, tuple[str, ...]],
) -> tuple[dict[str, tuple[User, ...]], tuple[str, ...]]:
    """Users by address, and by UUID of a mediated device; and what could not be seen.

    `minors` are the numbers of NVIDIA's GPUs, `renders` the render nodes of AMD's partitions, `classes` what
    the kernel has of each class that has device files.
    """
    from gpupass.system.holders import node_of

    found, unseen = read_holders(system, classes, vdpa)
    if not found and not any(domain.parts for domain in domains):
        return {}, unseen
    from gpupass.observe.owners import read_owner

    nodes = _nodes(system, devices, classes) | {node: [one.address] for one in vdpa for node in one.nodes}
    for minor, gpu in minors.items():
        nodes.setdefault(f"/dev/nvidia{minor}", []).append(gpu)
    for gpu, parts in renders.items():
        for part in parts:
            addresses = nodes.setdefault(f"/dev/dri/{part}", [])
            addresses += [gpu] if gpu not in addresses else []
    for parent, alive in mdevs.items():
        for mdev in alive:
            for node in _mdev_nodes(system, mdev):
                nodes[node] = [mdev.uuid, parent]
    users: dict[str, list[User]] = {}
    owners: dict[int, Owner] = {}
    disks = {node_of(_BLOCK, name) for name in classes[_BLOCK]}
    for holder in found:
        addresses = nodes.get(holder.node, [])
        if addresses and holder.pid not in owners:
            owners[holder.pid] = read_owner(system, holder.pid, holder.name, domains, machines)
        if addresses and owners[holder.pid].handle in _LOOKERS and holder.node in disks:
            continue
        for address in addresses:
            users.setdefault(address, []).append(_user(holder, owners[holder.pid]))
    for address, user in _drawn_on(domains, nodes):
        its = users.setdefault(address, [])
        if not any((one.holder, one.handle) == (user.holder, user.handle) for one in its):
            its.append(user)
    return {address: tuple(sorted(found, key=_order)) for address, found in users.items()}, unseen


def _user(holder: "Process", owner: "Owner") -> User:
    words = [f"pid {holder.pid}", holder.node, *([owner.words] if owner.words else [])]
    return User(
        kind=UserKind.PROCESS,
        name=holder.name,
        detail=", ".join(words),
        pid=holder.pid,
        holder=owner.holder,
        handle=owner.handle,
    )


def _drawn_on(domains: Iterable[Domain], nodes: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, User]]:
    """Running domains whose XML names a device file: what an ordinary user sees of their QEMU."""
    for domain in domains:
        for part in domain.parts:
            for address in nodes.get(part.name, ()):
                yield (
                    address,
                    User(
                        kind=UserKind.PROCESS,
                        name=f"domain {domain.name}",
                        detail=part.name,
                        holder=Holder.DOMAIN,
                        handle=domain.name,
                    ),
                )


def read_holders(
    system: Reader, classes: Mapping[str, tuple[str, ...]], vdpa: Iterable[Vdpa] = ()
) -> tuple[tuple["Process", ...], tuple[str, ...]]:
    """Of the nodes of these classes of devices, NVIDIA's and vDPA's, which have none."""
    from gpupass.system.holders import Holder as Held
    from gpupass.system.holders import holders, known_nodes, number_of

    if system.recorded:

        def _holder(item: Mapping[str, object]) -> Held:
            return Held(pid=int(str(item["pid"])), name=str(item["name"]), node=str(item["node"]))

        return recorded.load(
            system,
            recorded.HOLDERS,
            lambda data: (tuple(_holder(item) for item in data["holders"]), tuple(map(str, data["unseen"]))),
            {"holders": [], "unseen": []},
        )
    nodes = known_nodes(system, classes)
    for one in vdpa:
        for node in one.nodes:
            number = number_of(system.read(f"{VDPA}/{one.name}/{node.rpartition('/')[2]}/dev"))
            nodes |= {number: node} if number is not None else {}
    if not nodes:  # looking through all processes is dear
        return (), ()
    unseen = () if system.target("/proc/1/exe") is not None else (NOT_SEEN,)
    return tuple(holders(system, nodes)), unseen


def spell_holders(found: tuple["Process", ...], unseen: tuple[str, ...]) -> str:
    return to_json({"holders": found, "unseen": unseen}, indent=1).decode()


def _order(user: User) -> tuple[int, str]:
    return (user.pid or 0, user.detail)


def _mdev_nodes(system: Reader, mdev: Mdev) -> Iterator[str]:
    yield f"/dev/vfio/{mdev.group}"
    for name in system.names(f"/sys/bus/mdev/devices/{mdev.uuid}/vfio-dev"):
        yield f"/dev/vfio/devices/{name}"


def _nodes(
    system: Reader, devices: Iterable[Device], classes: Mapping[str, tuple[str, ...]]
) -> dict[str, list[str]]:
    """Device node → the functions it stands for; a VFIO group stands for all its members."""
    from gpupass.system.holders import node_of

    nodes: dict[str, list[str]] = {}
    for device in devices:
        if device.group is not None and device.on_vfio:
            nodes.setdefault(f"/dev/vfio/{device.group}", []).append(device.address)
    for kind, names in classes.items():
        for name in names:
            for address in _functions_of(system, kind, name):
                nodes.setdefault(node_of(kind, name), []).append(address)
    return nodes


def _functions_of(system: Reader, kind: str, name: str) -> list[Address]:
    """Where a device of a class hangs from: in its own path, or in that of its `device`."""
    entry = f"/sys/class/{kind}/{name}"
    for link in (entry, f"{entry}/device"):
        path = system.resolve(link) or ""
        paths = disk_paths(system, path) if kind == _BLOCK else [path]
        found = [address for one in paths for address in addresses_in(one)[-1:]]
        if found:
            return [] if _USB.search(path) else found
    return []
