"""The boards that NVIDIA's tables are published of (tests/nvml/published), as a driver would tell them."""

from pathlib import Path

from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigProfile, Placement
from gpupass.model.user import User, UserKind

PUBLISHED = Path(__file__).parent / "nvml" / "published"
BOARDS = ("A30", "A100-40", "A100-80", "H100-80", "H200")


def published(name: str) -> list[list[str]]:
    lines = (PUBLISHED / name).read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def board(name: str, *instances: GpuInstance) -> MigGpu:
    return MigGpu(profiles=tuple(map(_profile, published(name))), instances=instances)


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
