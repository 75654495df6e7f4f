"""The host `mig-server`."""

from msgspec import to_builtins

from gpupass.system.nvml import GpuAnswer
from tests.host_tree import GIB, MEM64_PREFETCH, MIB, Function, HostTree
from tests.mig_boards import board, cut

GPUS = (
    ("0000:07:00.0", "10de:20b0", "NVIDIA A100-SXM4-40GB", "GPU-5f1c7f0e-0001-4000-8000-000000000001", 40960),
    ("0000:0f:00.0", "10de:2330", "NVIDIA H100 80GB HBM3", "GPU-5f1c7f0e-0002-4000-8000-000000000002", 81559),
    ("0000:47:00.0", "10de:2330", "NVIDIA H100 80GB HBM3", "GPU-5f1c7f0e-0003-4000-8000-000000000003", 81559),
    ("0000:4e:00.0", "10de:1eb8", "Tesla T4", "GPU-5f1c7f0e-0004-4000-8000-000000000004", 15360),
)
NAMES = {  # of an older hardware database: it knows no H100
    "10de:20b0": "NVIDIA Corporation GA100 [A100 SXM4 40GB]",
    "10de:1eb8": "NVIDIA Corporation TU104GL [Tesla T4]",
}

CUT = cut("A100-40", ("3g.20gb", 4, 4711), ("2g.10gb", 0), ("1g.5gb", 3))


def mig_server(tree: HostTree) -> None:
    """An A100 cut in three, with a job on it; an H100 not cut, one in MIG mode without instances; a T4."""
    tree.kernel("6.8.0-45-generic")
    tree.iommu()
    for number, (address, ids, *_) in enumerate(GPUS):
        bars = ((16 * MIB, MEM64_PREFETCH), (0, 0), (64 * GIB, MEM64_PREFETCH))
        tree.function(
            Function(
                address=address,
                ids=ids,
                class_code=0x030200,
                driver="nvidia",
                group=40 + number,
                reset="flr",
                bars=bars,
            )
        )
    tree.function(
        Function(
            address="0000:61:00.0", ids="144d:a80a", class_code=0x010802, driver="nvme", group=60, reset="flr"
        )
    )
    tree.disk("nvme0n1", f"{tree.path('0000:61:00.0')}/nvme/nvme0", "259:0", ("nvme0n1p1",))
    tree.mounts((("259:1", "/", "ext4", "/dev/nvme0n1p1"),))
    cuts = (
        {"mig": True, "mig_gpu": CUT},
        {"mig": False, "mig_gpu": board("H100-80"), "mig_resets": False},
        {"mig": True, "mig_gpu": board("H100-80"), "mig_resets": False},
        {"mig": None},
    )
    nodes = [f"nvidia{number}" for number in range(len(GPUS))]
    nodes += ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
    lines, caps = _capabilities()
    tree.file("/proc/driver/nvidia-caps/mig-minors", lines)
    for node in (*nodes, *caps):
        tree.file(f"/dev/{node}", "")
    answers = []
    for number, ((address, ids, name, uuid, memory), told) in enumerate(zip(GPUS, cuts, strict=True)):
        text = f"Model: \t\t {name}\nGPU UUID: \t {uuid}\nDevice Minor: \t {number}\n"
        tree.file(f"/proc/driver/nvidia/gpus/{address}/information", text)
        answer = GpuAnswer(
            bus_id=f"0000{address}".upper(),
            uuid=uuid,
            serial=f"132002100000{number}",
            name=name,
            part_number=f"900-2{ids[-4:]}-0000-000",
            minor=number,
            mig_pending=told["mig"],
            memory_total=memory,
            memory_used=0,
            persistence=True,
            **told,
        )
        answers.append(to_builtins(answer))
    tree.answers("nvml", {"gpus": answers, "unseen": []})
    tree.answers("names", NAMES)
    tree.answers(
        "holders", {"holders": [{"pid": 4711, "name": "python", "node": "/dev/nvidia0"}], "unseen": []}
    )
    tree.answers("domains", {"domains": [], "unseen": []})


def _capabilities() -> tuple[str, list[str]]:
    """The driver's numbers for access nodes: the same on every host, made for what there is; one is missing."""
    lines = ["config 1", "monitor 2"]
    for gpu in range(2):
        for gi in range(15):
            base = 3 + (gpu * 15 + gi) * 9
            lines.append(f"gpu{gpu}/gi{gi}/access {base}")
            lines += [f"gpu{gpu}/gi{gi}/ci{ci}/access {base + 1 + ci}" for ci in range(8)]
    found = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
    made = [f"gpu0/gi{one.id}/" for one in CUT.instances]
    caps = [found[f"{name}{rest}"] for name in made for rest in ("access", "ci0/access")]
    return "".join(f"{line}\n" for line in lines), [
        f"nvidia-caps/nvidia-cap{n}" for n in ("1", "2", *caps[:-1])
    ]
