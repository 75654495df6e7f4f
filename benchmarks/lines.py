"""Files and lines of each package, now and at an earlier commit."""

import io
import subprocess
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath

from benchmarks.measure import unmeasured

ROOT = Path(__file__).resolve().parents[1]
CODE = (".py", ".c", ".h", ".sh", ".asm", "")
Table = dict[str, tuple[int, int]]


def measure(since: str) -> None:
    try:
        before, after = _at(since), _now()
    except (OSError, subprocess.CalledProcessError):
        unmeasured("files and lines of each package", f"no git checkout that knows {since}")
        return
    print(f"{'':<24}{'files':>12}{'lines':>16}   ({since} → now)")
    for package in sorted({*before, *after}):
        (files, lines), (more_files, more_lines) = before.get(package, (0, 0)), after.get(package, (0, 0))
        print(f"{package:<24}{files:>5} → {more_files:>4}{lines:>8} → {more_lines:>5}")


def _at(revision: str) -> Table:
    done = subprocess.run(["git", "-C", str(ROOT), "archive", revision], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        texts = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        return _table({name: file.read() for name, file in texts.items() if file is not None})


def _now() -> Table:
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True)
    names = [name for name in done.stdout.decode().split("\0") if name]
    return _table({name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()})


def _table(texts: dict[str, bytes]) -> Table:
    files, lines = Counter[str](), Counter[str]()
    for name, text in texts.items():
        path = PurePosixPath(name)
        if path.suffix in CODE and (package := _package(path)):
            files[package] += 1
            lines[package] += text.count(b"\n")
    return {package: (files[package], lines[package]) for package in files}


def _package(path: PurePosixPath) -> str:
    """gpupass/app, gpupass (what lies directly in it), scripts, tests; recorded hosts are data."""
    first, *rest = path.parts
    if first == "gpupass":
        return f"gpupass/{rest[0]}" if len(rest) > 1 else "gpupass"
    return first if first in ("benchmarks", "scripts", "tests") and rest[0] != "hosts" else ""
