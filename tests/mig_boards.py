"""The boards that NVIDIA's tables are published of (tests/nvml/published), as a driver would tell them."""

import re
from collections.abc import Iterator
from pathlib import Path

from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigProfile, Placement
from gpupass.model.user import User, UserKind

PUBLISHED = Path(__file__).parent / "nvml" / "published"
BOARDS = ("A30", "A100-40", "A100-80", "H100-80", "H200")  # which the double plays, too
PCI_IDS = {
    "A30": ("20b7",),
    "A100-40": ("20b0", "20b1", "20f1", "20f6"),
    "A100-80": ("20b2", "20b5", "20f3", "20f5"),
    "H100-80": ("2330", "2331", "2322", "2324"),
    "H200": ("2335", "233b"),
    "RTX-PRO-6000": ("2bb5",),
}


def published(name: str) -> list[list[str]]:
    lines = (PUBLISHED / name).read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


_SEVEN = {name: (ids.split(","), names) for name, ids, *names in published("seven-slices")}
PCI_IDS |= {name: tuple(ids) for name, (ids, _) in _SEVEN.items()}
ALL_BOARDS = tuple(PCI_IDS)
_LIKE = {one: at for at, one in enumerate(("19", "15", "14", "9", "5", "0"))}  # of A100 and H100


def board(name: str, *instances: GpuInstance) -> MigGpu:
    rows = published(name) if name not in _SEVEN else _seven(_SEVEN[name][1])
    return MigGpu(profiles=tuple(map(_profile, rows)), instances=instances)


def _seven(names: list[str]) -> Iterator[list[str]]:
    """Rows of the H100 under other names; the memory is what the name says."""
    for id_, _, *rest in published("H100-80"):
        called = names[_LIKE[id_]] if id_ in _LIKE else f"{names[0]}+me"
        most, _, *more = rest
        yield [id_, called, most, re.search(r"[.](\d+)gb", called)[1], *more]


def _profile(row: list[str]) -> MigProfile:
    id_, name, most, gib, *_, starts, size = row
    return MigProfile(
        id=int(id_),
        name=name,
        slices=int(name.partition("g")[0]),
        memory=int(float(gib) * 1024),
        most=int(most),
        placements=tuple(Placement(start=int(start), size=int(size)) for start in starts.split(",")),
    )


def python(pid: int) -> User:
    return User(kind=UserKind.PROCESS, name="python", pid=pid)


def instance(
    gpu: MigGpu, profile: str, start: int, *compute: ComputeInstance, users: tuple[User, ...] = ()
) -> GpuInstance:
    """As it is created by default: with one compute instance, which is all of it; `users` work on that one."""
    kind = gpu.profile(profile)
    assert kind is not None
    whole = ComputeInstance(id=0, placement=Placement(start=0, size=kind.slices), users=users)
    place = Placement(start=start, size=kind.size)
    return GpuInstance(id=start + 7, profile=profile, placement=place, compute=compute or (whole,))


def cut(name: str, *wanted: tuple[str, int] | tuple[str, int, int]) -> MigGpu:
    """The board with instances of (profile, start) or (profile, start, pid of who works on it)."""
    gpu = board(name)
    users = [(python(one[2]),) if len(one) == 3 else () for one in wanted]
    made = (instance(gpu, one[0], one[1], users=who) for one, who in zip(wanted, users, strict=True))
    return MigGpu(profiles=gpu.profiles, instances=tuple(made))
