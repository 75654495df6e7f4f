"""Which host processes hold which device: nodes of the VFIO, DRM, accelerator and NVIDIA drivers."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gpupass.model.address import Address, parse_address
from gpupass.model.host import Device
from gpupass.model.mdev import Mdev
from gpupass.model.user import User, UserKind
from gpupass.model.wire import to_json
from gpupass.observe import recorded
from gpupass.system import Reader

if TYPE_CHECKING:
    from gpupass.system.holders import Holder

NOT_SEEN = "device files held by other users' processes: run as root"


def read_processes(
    system: Reader,
    devices: Collection[Device],
    mdevs: Mapping[Address, tuple[Mdev, ...]],
    minors: Mapping[int, Address],
    renders: Mapping[Address, tuple[str, ...]],
) -> tuple[dict[str, tuple[User, ...]], tuple[str, ...]]:
    """Users by address, and by UUID of a mediated device; and what could not be seen.

    `minors` are the numbers of NVIDIA's GPUs, `renders` the render nodes of AMD's partitions.
    """
    from gpupass.system.holders import listed

    classes = listed(system)
    found, unseen = read_holders(system, classes)
    if not found:
        return {}, unseen
    nodes = _nodes(system, devices, classes)
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
    for holder in found:
        user = User(
            kind=UserKind.PROCESS,
            name=holder.name,
            detail=f"pid {holder.pid}, {holder.node}",
            pid=holder.pid,
        )
        for address in nodes.get(holder.node, ()):
            users.setdefault(address, []).append(user)
    return {address: tuple(sorted(found, key=_order)) for address, found in users.items()}, unseen


def read_holders(
    system: Reader, classes: Mapping[str, tuple[str, ...]]
) -> tuple[tuple["Holder", ...], tuple[str, ...]]:
    """Of the nodes of these classes of devices, and NVIDIA's, which have none."""
    from gpupass.system.holders import Holder, holders, known_nodes

    if system.recorded:

        def _holder(item: Mapping[str, object]) -> Holder:
            return Holder(pid=int(str(item["pid"])), name=str(item["name"]), node=str(item["node"]))

        return recorded.load(
            system,
            recorded.HOLDERS,
            lambda data: (tuple(_holder(item) for item in data["holders"]), tuple(map(str, data["unseen"]))),
            {"holders": [], "unseen": []},
        )
    nodes = known_nodes(system, classes)
    if not nodes:  # looking through all processes is dear
        return (), ()
    unseen = () if system.target("/proc/1/exe") is not None else (NOT_SEEN,)
    return tuple(holders(system, nodes)), unseen


def spell_holders(found: tuple["Holder", ...], unseen: tuple[str, ...]) -> str:
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
    nodes: dict[str, list[str]] = {}
    for device in devices:
        if device.group is not None and device.on_vfio:
            nodes.setdefault(f"/dev/vfio/{device.group}", []).append(device.address)
    for kind, prefix in (("vfio-dev", "vfio/devices"), ("drm", "dri"), ("accel", "accel")):
        for name in classes[kind]:
            address = parse_address(system.link(f"/sys/class/{kind}/{name}/device") or "")
            if address is not None:
                nodes.setdefault(f"/dev/{prefix}/{name}", []).append(address)
    return nodes
