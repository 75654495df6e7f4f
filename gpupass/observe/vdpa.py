"""vDPA devices: made of a network function's queues, for a guest or for the host itself (drivers/vdpa)."""

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.observe.paths import addresses_in
from gpupass.system import Reader

VDPA = "/sys/bus/vdpa/devices"


class Vdpa(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One; `nodes` are the device files of vhost_vdpa, which are of no class."""

    name: str
    address: Address
    driver: str | None
    nodes: tuple[str, ...] = ()


def read_vdpa(system: Reader) -> tuple[Vdpa, ...]:
    found = (_vdpa(system, name) for name in system.names(VDPA))
    return tuple(one for one in found if one is not None)


def _vdpa(system: Reader, name: str) -> Vdpa | None:
    path = system.resolve(f"{VDPA}/{name}") or ""
    addresses = addresses_in(path)
    nodes = tuple(f"/dev/{node}" for node in system.names(path) if node.startswith("vhost-vdpa-"))
    driver = system.link(f"{path}/driver")
    return Vdpa(name=name, address=addresses[-1], driver=driver, nodes=nodes) if addresses else None
