"""Block devices: their names, what they stand on and what stands on them, the PCI functions behind them."""

import re
from collections.abc import Mapping

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.observe.networks import Network
from gpupass.observe.paths import addresses_in, disk_paths
from gpupass.system import Reader

BLOCK = "/sys/class/block"
VIRTUAL = "/sys/devices/virtual/"
_FABRICS = ("tcp", "rdma")
_DEEP = 16


class Remote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a disk comes from that is of another machine: "iSCSI from 10.0.0.2"."""

    words: str
    host: str


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One block device as the kernel names it."""

    name: str
    path: str
    slaves: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    whole: str | None = None  # the disk that it is a partition of
    label: str | None = None  # device mapper's name
    backing: str | None = None  # what a loop device is of
    functions: tuple[Address, ...] = ()
    remote: Remote | None = None


class Blocks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a host."""

    known: Mapping[str, Block]

    def lowest(self, name: str, depth: int = 0) -> list[str]:
        """Through device mapper, md and bcache down to what has no slaves."""
        block = self.known.get(name)
        slaves = block.slaves if block is not None else ()
        whole = self.known.get(block.whole or "") if block is not None else None
        slaves = slaves or (whole.slaves if whole is not None else ())
        if not slaves or depth > _DEEP:
            return [name]
        return list(dict.fromkeys(low for slave in slaves for low in self.lowest(slave, depth + 1)))

    def tops(self, name: str, depth: int = 0) -> list[str]:
        """Up to what nothing stands on any more; the device itself where nothing does."""
        block = self.known.get(name)
        if block is None or not block.holders or depth > _DEEP:
            return [name]
        return list(dict.fromkeys(top for one in block.holders for top in self.tops(one, depth + 1)))

    def functions(self, name: str) -> tuple[Address, ...]:
        """The endpoints that it lies behind; of a remote disk the network card on the way to it."""
        return self.known[name].functions if name in self.known else ()

    def is_virtual(self, name: str) -> bool:
        return name not in self.known or self.known[name].path.startswith(VIRTUAL)


def block_name(system: Reader, blocks: Blocks, source: str) -> str | None:
    """/dev/sda1, a link below /dev/disk, and the links of device mapper and LVM, as the kernel's name."""
    real = system.resolve(source) or source
    name = real.removeprefix("/dev/").replace("/", "!")
    if name in blocks.known:
        return name
    parts = source.removeprefix("/dev/mapper/").removeprefix("/dev/").split("/")
    mapped = "-".join(part.replace("-", "--") for part in parts) if len(parts) > 1 else parts[0]
    return next((one.name for one in blocks.known.values() if one.label == mapped), None)


def read_blocks(system: Reader, network: Network, names: tuple[str, ...] | None = None) -> Blocks:
    """`names` where they are known already."""
    found = system.names(BLOCK) if names is None else names
    return Blocks(known={name: _block(system, network, name) for name in found})


def _block(system: Reader, network: Network, name: str) -> Block:
    path = system.resolve(f"{BLOCK}/{name}") or VIRTUAL
    files = system.names(path)
    remote = _remote(system, path)
    return Block(
        name=name,
        path=path,
        slaves=system.names(f"{path}/slaves") if "slaves" in files else (),
        holders=system.names(f"{path}/holders") if "holders" in files else (),
        whole=path.split("/")[-2] if "partition" in files else None,
        label=system.read(f"{path}/dm/name") if name.startswith("dm-") else None,
        backing=system.read(f"{path}/loop/backing_file") if name.startswith("loop") else None,
        functions=tuple(one for low in disk_paths(system, path) for one in addresses_in(low))
        or (network.way_to(remote.host) if remote else ()),
        remote=remote,
    )


def _remote(system: Reader, path: str) -> Remote | None:
    """By the session that it is in: NVMe over a network, iSCSI."""
    controllers = (re.search(r"/nvme-fabrics/ctl/(nvme\d+)", one) for one in disk_paths(system, path))
    for controller in filter(None, controllers):
        about = f"/sys/class/nvme/{controller[1]}"
        transport = system.read(f"{about}/transport") or ""
        fields = dict(re.findall(r"(\w+)=([^,]+)", system.read(f"{about}/address") or ""))
        if transport in _FABRICS and "traddr" in fields:
            words = f"NVMe over {transport} from {fields['traddr']}"
            return Remote(words=words, host=fields["traddr"])
    session = re.search(r"/session(\d+)/", path)
    for name in system.names("/sys/class/iscsi_connection") if session else ():
        if session and name.startswith(f"connection{session[1]}:"):
            host = system.read(f"/sys/class/iscsi_connection/{name}/address") or ""
            return Remote(words=f"iSCSI from {host}", host=host)
    return None
