"""Cutting GPUs over the fake library of tests/nvml: gpupass and mig-parted as they are, in turns."""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import Goal, environment, tell, unmeasured
from tests.nvml.stage import Stage, may_enter

BOARD, COUNTS = "A100-40", (1, 8)
LAYOUTS = {"whole": {"3g.20gb": 1, "2g.10gb": 1, "1g.5gb": 2}, "sliced": {"1g.5gb": 7}}
# after a first apply of "whole"; how much less than mig-parted's, on 8 GPUs
WORK = {"export": 3.0, "check": 5.0, "idle apply": 5.0, "change": 5.0, "change back": 5.0}


def measure(peer: str | None, rounds: int, short: bool) -> None:
    if not may_enter():
        unmeasured("MIG", "needs root and a mount namespace")
        return
    with tempfile.TemporaryDirectory() as directory, environment(short) as packages:
        program = str(packages / "bin/gpupass")
        stages = {count: _stage(Path(directory) / str(count), count) for count in COUNTS}
        for stage in stages.values():
            _measure(stage, program, peer, rounds)
        if not short:
            _at_once(stages, program)


def _measure(stage: Stage, program: str, peer: str | None, rounds: int) -> None:
    tools = {
        "gpupass": _gpupass(stage, program),
        **({"mig-parted": _mig_parted(stage, peer)} if peer else {}),
    }
    calls = {tool: _calls(stage, commands) for tool, commands in tools.items()}
    seconds = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool, commands in tools.items():
            seconds[tool].append([cpu for cpu, _ in stage.run([(argv, {}) for argv in commands])][1:])
    for number, (work, least) in enumerate(WORK.items()):
        mine = [turn[number] for turn in seconds["gpupass"]]
        name = f"MIG {work}, {stage.count} GPU{'s' if stage.count > 1 else ''}"
        if not peer:
            what = f"{median(mine) * 1000:.0f} ms CPU, {calls['gpupass'][number]} NVML calls"
            unmeasured(f"{name}: mig-parted / gpupass", f"no mig-parted ({what})")
            continue
        theirs = [turn[number] for turn in seconds["mig-parted"]]
        ratio = median(their / my for my, their in zip(mine, theirs, strict=True))
        goal = Goal(least=least) if stage.count == COUNTS[-1] else Goal()
        tell(f"{name}: mig-parted / gpupass", median(theirs), median(mine), ratio, "CPU", goal)
        more, less = calls["gpupass"][number], calls["mig-parted"][number]
        print(f"{f'{name}: NVML calls':<58} {more:6} / {less}{Goal(most=1).words(more / less)}", flush=True)


def _at_once(stages: dict[int, Stage], program: str) -> None:
    """Where each change takes the driver its time, GPUs are changed side by side."""
    slow = {"FAKE_NVML_DELAY_MS": "300"}
    one, eight = (
        stage.run([(argv, slow) for argv in _gpupass(stage, program)])[-1][1] for stage in stages.values()
    )
    tell("MIG change, 300 ms per NVML change: 8 GPUs / 1", eight, one, eight / one, "wall", Goal(most=1.3))


def _stage(directory: Path, count: int) -> Stage:
    stage = Stage(directory, count)
    stage.build(BOARD)
    entries = "".join(
        f"  {name}: [{{devices: all, mig-enabled: true, mig-devices: {_yaml(layout)}}}]\n"
        for name, layout in LAYOUTS.items()
    )
    (directory / "configs.yaml").write_text(f"version: v1\nmig-configs:\n{entries}")
    for name, layout in LAYOUTS.items():
        parts = ", ".join(profile for profile, many in layout.items() for _ in range(many))
        use = f"use: mig, take-over: true, layout: [{parts}]"
        rules = "".join(
            f"  - {{name: g{n}, select: {{address: '{address}'}}, {use}}}\n"
            for n, address in enumerate(stage.addresses)
        )
        (directory / f"{name}.yaml").write_text(f"version: 1\ngpus:\n{rules}")
    return stage


def _yaml(layout: dict[str, int]) -> str:
    return "{" + ", ".join(f"{profile}: {many}" for profile, many in layout.items()) + "}"


def _gpupass(stage: Stage, program: str) -> list[list[str]]:
    whole, sliced = (str(stage.directory / f"{name}.yaml") for name in LAYOUTS)
    words = (
        ("apply", whole),
        ("export",),
        ("check", whole),
        *(("apply", one) for one in (whole, sliced, whole)),
    )
    return [[program, *one, *(["--yes"] if "apply" in one else [])] for one in words]


def _mig_parted(stage: Stage, program: str) -> list[list[str]]:
    def do(verb: str, name: str) -> list[str]:
        return [program, verb, "-f", str(stage.directory / "configs.yaml"), "-c", name]

    whole, sliced = LAYOUTS
    again = (do("apply", name) for name in (whole, sliced, whole))
    return [do("apply", whole), [program, "export"], do("assert", whole), *again]


def _calls(stage: Stage, commands: list[list[str]]) -> list[int]:
    """NVML calls of each piece of work."""
    traces = [stage.directory / f"trace{number}" for number in range(len(commands))]
    stage.run([(argv, {"FAKE_NVML_TRACE": str(trace)}) for argv, trace in zip(commands, traces, strict=True)])
    counts = [trace.read_bytes().count(b"\n") for trace in traces]
    for trace in traces:
        trace.unlink()
    return counts[1:]
