"""Profiles through a mincer: the answer is a Profile or a GpupassError, never a traceback."""

import random
import re
from collections.abc import Callable
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.methods.host.rule import HostRule
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.sriov.rule import SriovRule, Vf
from gpupass.model.profile import Select
from gpupass.profiles import load_profile, write_profile
from gpupass.profiles.document import Document, Override
from gpupass.profiles.spelling import keys_of
from gpupass.system.texts import LIMIT

_EXAMPLES = Path(__file__).parents[2] / "profiles"
_OWN = b"""version: 1
include: [other.yaml, parts/third.yaml]
gpus:
  - {name: a, select: {vendor: amd, slot: 3, numa: 0}, use: passthrough, with: [01:00.1, "0000:02:00.0"]}
  - &b {name: b, select: {serial: 0123, model: "*A100*"}, use: sriov, vfs: 4, vf: {drivers: {2: no}}}
attachments: [{domain: vm1, device: a}, {domain: vm2, device: b/vf3}]
hosts: {h: {gpus: [{name: b, select: {uuid: GPU-1}, use: host}]}, "h*": {attachments: [{domain: x, device: a}]}}
"""
_KEYS = sorted(
    {
        key
        for kind in (Document, Override, HostRule, PassthroughRule, SriovRule, Select, Vf)
        for key in keys_of(kind)
    }
)
_NASTY = [
    "*",
    "&",
    "!",
    "!!python/object:os.system",
    "!!int",
    "!!set",
    "<<",
    ":",
    "-",
    "?",
    "|",
    ">",
    ">-",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "%",
    "@",
    "`",
    "\\",
    "~",
    "---",
    "...",
    "*b",
    "&b",
    "\t",
    "\n",
    "\x00",
    "\ufeff",
    "\u2028",
    "\x85",
    "1e999",
    "0x1f",
    "1_000",
    "010",
    "1:30",
    ".nan",
    "2024-01-02",
    "yes",
    "-1",
    "99999999999999999999",
    "01:00.0",
    "a/vf0",
    "a/vf99999999999",
    "a/0",
    "//",
    "é",
    "😀",
]
_TOKEN = re.compile(rb"[\w.*-]+|\s+|.", re.DOTALL)
Mutation = Callable[[random.Random, bytes], bytes]


def fuzz_profiles(count: int, seed: int = 0) -> int:
    """Mince `count` profiles; how many were still valid. AssertionError names the one that broke the rule."""
    chance = random.Random(seed)
    corpus = [_OWN, *(path.read_bytes() for path in sorted(_EXAMPLES.glob("*.yaml")))]
    return sum(_survives(chance, corpus, f"seed {seed}, number {number}") for number in range(count))


def _survives(chance: random.Random, corpus: list[bytes], which: str) -> bool:
    data = chance.choice(corpus)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        data = chance.choice(MUTATIONS)(chance, data)[:LIMIT]
    files = {"p.yaml": data, "other.yaml": chance.choice(corpus), "parts/third.yaml": data[: len(data) // 2]}

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path].decode()

    try:
        profile = load_profile("p.yaml", read, "h")
        assert load_profile("p.yaml", lambda name: write_profile(profile), "h") == profile
    except GpupassError as error:
        assert error.exit_code == 2 and str(error).startswith(("cannot use p.yaml: ", "cannot read p.yaml: "))
        return False
    except Exception as error:
        raise AssertionError(f"{which}: {type(error).__name__}: {error} from {data!r}") from error
    return True


def _flip(chance: random.Random, data: bytes) -> bytes:
    minced = bytearray(data)
    for _ in range(chance.choice((1, 1, 4))):
        if minced:
            minced[chance.randrange(len(minced))] ^= 1 << chance.randrange(8)
    return bytes(minced)


def _cut(chance: random.Random, data: bytes) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:end] if chance.random() < 0.5 else data[:start] + data[min(end, start + 40) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    start, end = sorted(chance.randrange(len(lines) + 1) for _ in range(2))
    return b"".join(lines[:end] + lines[start:end] * chance.choice((1, 2, 20)) + lines[end:])


def _swap(chance: random.Random, data: bytes) -> bytes:
    tokens = _TOKEN.findall(data) or [b""]
    one, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return b"".join(tokens)


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_NASTY).encode() + data[at:]


def _replace(chance: random.Random, data: bytes) -> bytes:
    tokens = _TOKEN.findall(data) or [b""]
    tokens[chance.randrange(len(tokens))] = chance.choice(_NASTY).encode()
    return b"".join(tokens)


def _rename(chance: random.Random, data: bytes) -> bytes:
    words = sorted(set(re.findall(rb"[a-z-]+(?=:)", data)))
    if not words:
        return data
    return data.replace(
        chance.choice(words) + b":", chance.choice(_KEYS).encode() + b":", chance.choice((1, -1))
    )


MUTATIONS: tuple[Mutation, ...] = (_flip, _cut, _repeat, _swap, _insert, _replace, _rename)
