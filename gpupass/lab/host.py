"""What the machine that runs the lab offers: programs, a QEMU new enough, a KVM that works, folders."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from gpupass.errors import GpupassError, Usage

QEMU = "qemu-system-x86_64"
PACKAGES_HINT = "sudo ./scripts/host-packages"
_PROBE_SECONDS = 20.0


def run_tool(argv: list[str], *, timeout: float | None = 120.0) -> subprocess.CompletedProcess[str]:
    """One external program to its end; its own words become the reason when it fails."""
    try:
        return subprocess.run(
            argv, check=True, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout
        )
    except FileNotFoundError as error:
        raise missing(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise GpupassError(f"cannot run {argv[0]}: no end after {timeout:.0f} s") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:]
        why = last[0] if last else f"exit status {error.returncode}"
        raise GpupassError(f"cannot run {argv[0]}: {why}") from error


def missing(program: str) -> GpupassError:
    return GpupassError(f"cannot find {program}: it is not installed", PACKAGES_HINT)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise missing(program)


def qemu_version() -> str:
    """The installed QEMU's version; an error when it is missing or too old for the lab's devices."""
    need(QEMU)
    text = run_tool([QEMU, "--version"]).stdout
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise GpupassError(f"cannot read the version of {QEMU}: it said {text.splitlines()[:1]}")
    if int(match[1]) < 8:
        raise GpupassError(
            f"cannot use QEMU {match[1]}.{match[2]}: the lab needs version 8 or newer (its igb has SR-IOV)",
            PACKAGES_HINT,
        )
    return ".".join(match.groups())


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "gpupass" / "lab"


def checked_name(name: str, what: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", name):
        raise Usage(f"cannot use {name!r} as {what}: 1 to 32 of a-z, 0-9 and '-' are allowed")
    return name


def socket_dir(instance: Path) -> Path:
    """A private folder with a path short enough for Unix sockets, one for each instance folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if runtime.startswith("/") and os.access(runtime, os.W_OK) else Path("/tmp")
    tag = hashlib.sha256(str(instance).encode()).hexdigest()[:12]
    path = base / f"gpupass-lab-{os.getuid()}-{tag}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise GpupassError(f"cannot use {path}: it is not a private folder of this user", f"rm -r {path}")
    return path


def accelerator(kernel: Path, cache: Path) -> str:
    """`kvm` when this machine's KVM boots the lab's kernel, else `tcg`; tried once and remembered."""
    device = Path("/dev/kvm")
    if not os.access(device, os.R_OK | os.W_OK):
        return "tcg"
    booted = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    tag = hashlib.sha256(f"{booted} {kernel} {qemu_version()}".encode()).hexdigest()[:16]
    answer = cache / f"accelerator-{tag}"
    if not answer.exists():
        works = _kvm_boots(kernel)
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.write_text("kvm" if works else "tcg", encoding="ascii")
    return "kvm" if answer.read_text(encoding="ascii") == "kvm" else "tcg"


def _kvm_boots(kernel: Path) -> bool:
    """Boot the kernel without a root: with working KVM it panics, and so ends QEMU, within seconds."""
    argv = [
        QEMU, "-M", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host", "-m", "512M", "-nodefaults",
        "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", str(kernel),
        "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROBE_SECONDS)
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0 and b"Kernel panic" in done.stdout
