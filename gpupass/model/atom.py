"""Atoms: the smallest things that two owners cannot have at once. Slots that share one cannot be lent to two.

Each is a text of a kind and what it is of, as the store keeps it: function:0000:01:00.0, group:12, mdev:UUID,
slice:0000:01:00.0/memory/3. One owner may hold an atom for several slots: functions of one IOMMU group.
"""

from collections.abc import Iterable

from gpupass.model.host import Device
from gpupass.model.mdev import Mdev

Atoms = frozenset[str]
_WORDS = {"function": "", "group": "IOMMU group ", "mdev": "the mediated device "}


def of_function(device: Device) -> Atoms:
    return frozenset({f"function:{device.address}"}) | _group(device.group)


def of_mdev(mdev: Mdev) -> Atoms:
    return frozenset({f"mdev:{mdev.uuid}"}) | _group(mdev.group)


def of_slices(gpu: str, kind: str, slices: Iterable[int]) -> Atoms:
    return frozenset(f"slice:{gpu}/{kind}/{number}" for number in slices)


def groups(atoms: Iterable[str]) -> tuple[str, ...]:
    """Those that several slots of one owner may be in."""
    return tuple(atom for atom in atoms if atom.startswith("group:"))


def words(atom: str) -> str:
    """For people: "IOMMU group 12"."""
    kind, _, of = atom.partition(":")
    return f"{_WORDS.get(kind, f'{kind} ')}{of}"


def _group(number: int | None) -> Atoms:
    """A group of less than 0 is one that the kernel has not made yet, under a number that it never uses."""
    return frozenset({f"group:{number}"}) if number is not None and number >= 0 else frozenset()
