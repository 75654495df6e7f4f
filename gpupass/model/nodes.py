"""The device files of a host, as far as containers can be given them."""

from msgspec import Struct

from gpupass.model.address import Address


class MigMinor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the nvidia driver's mig-minors: whose access node has which number."""

    name: str  # gpu0/gi1/access, gpu0/gi1/ci0/access
    minor: int  # the N of /dev/nvidia-caps/nvidia-capN


class DrmNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node below /dev/dri and the function it belongs to."""

    name: str  # card0, renderD128
    address: Address


class Nodes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`present` are paths of device files that are there."""

    present: frozenset[str] = frozenset()
    mig: tuple[MigMinor, ...] = ()
    drm: tuple[DrmNode, ...] = ()

    def mig_minor(self, name: str) -> int | None:
        return next((line.minor for line in self.mig if line.name == name), None)

    def drm_of(self, address: Address) -> tuple[str, ...]:
        """Paths, in the order of their names."""
        return tuple(sorted(f"/dev/dri/{node.name}" for node in self.drm if node.address == address))
