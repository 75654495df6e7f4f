"""Builds the lab machine's disk, kernel and initramfs from Debian packages, once for each recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.lab import host, mirror, prune

SUITE = "trixie"
DISK_SIZE = 6 << 30
_HERE = Path(__file__).parent
_LIB = "usr/lib/gpupass-lab"
_BUILD_SECONDS = 1800.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    key: str
    root: Path

    @property
    def disk(self) -> Path:
        return self.root / "root.img"

    @property
    def kernel(self) -> Path:
        return self.root / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.root / "initrd.img"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def exists(self) -> bool:
        return self.disk.is_file() and self.kernel.is_file() and self.initrd.is_file()


def recipe_files() -> dict[str, bytes]:
    """Path inside the image → content of every file gpupass itself puts there."""
    tree = _HERE / "recipe" / "files"
    files = {str(p.relative_to(tree)): p.read_bytes() for p in sorted(tree.rglob("*")) if p.is_file()}
    for name in ("agent.py", "frames.py"):
        files[f"{_LIB}/{name}"] = (_HERE / name).read_bytes()
    for source in sorted((_HERE / "guests").glob("*.asm")):
        files[f"{_LIB}/guests/{source.name}"] = source.read_bytes()
    for source in sorted((_HERE / "modules").glob("*/*")):
        if source.name != "Makefile" and source.suffix not in (".c", ".h"):
            continue  # left behind by somebody's build
        files[f"{_LIB}/modules/{source.parent.name}/{source.name}"] = source.read_bytes()
    files[f"{_LIB}/build-packages"] = "\n".join(packages("build-packages.txt")).encode() + b"\n"
    return files


def packages(name: str) -> tuple[str, ...]:
    lines = (_HERE / "recipe" / name).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def image_key() -> str:
    digest = hashlib.sha256(f"{SUITE} {DISK_SIZE} {packages('packages.txt')}".encode())
    for path, content in recipe_files().items():
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def current() -> Image:
    key = image_key()
    return Image(key=key, root=host.cache_dir() / "images" / key)


def require() -> Image:
    image = current()
    if not image.exists:
        raise GpupassError("cannot start the lab: its image is not built yet", "gpupass lab build")
    prune.used(image.root)
    return image


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on `path`; says so once when it has to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(progress: Progress, *, unshare: bool | None = None) -> Image:
    """The image of the current recipe, built if it is not there."""
    image = current()
    images = image.root.parent
    with locked(images.parent / "build.lock", lambda: progress("waiting for another build to end")):
        if image.exists:
            return image
        host.need("mmdebstrap", "mke2fs", "debugfs")
        for leftover in images.glob("building-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        images.mkdir(parents=True, exist_ok=True)
        _check_space(images)
        work = Path(tempfile.mkdtemp(prefix="building-", dir=images))
        try:
            _build_in(work, progress, os.getuid() != 0 if unshare is None else unshare)
            work.chmod(0o755)
            work.rename(image.root)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        for key in prune.images(host.cache_dir()):
            progress(f"removed image {key} and its snapshots: not in use, and others were used since")
    return image


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < 6 << 30:
        raise GpupassError(
            f"cannot build the lab's image in {folder}: {free >> 20} MiB free, 6144 MiB needed",
            "XDG_CACHE_HOME=/somewhere/larger gpupass lab build",
        )


def _build_in(work: Path, progress: Progress, unshare: bool) -> None:
    recipe = work / "recipe.tar"
    _write_tar(recipe)
    disk = work / "root.img"
    with disk.open("w+b") as file:
        file.truncate(DISK_SIZE)
        # The file system is made by a hook that may run as another user id: it reaches the disk through the
        # inherited descriptor, which needs no way through this user's folders.
        os.fchmod(file.fileno(), 0o666)
        _mmdebstrap(recipe, file.fileno(), progress, unshare)
    disk.chmod(0o644)
    recipe.unlink()
    progress("taking the kernel out of the image")
    for source, target in (("gpupass-vmlinuz", "vmlinuz"), ("gpupass-initrd.img", "initrd.img")):
        host.run_tool(["debugfs", "-R", f"dump /boot/{source} {work / target}", str(disk)])
        if not (work / target).is_file() or (work / target).stat().st_size == 0:
            raise GpupassError(f"cannot take /boot/{source} out of the lab's image: debugfs did not find it")


def _write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        folders: set[str] = set()
        for name, content in recipe_files().items():
            for parent in reversed(Path(name).parents[:-1]):
                if str(parent) not in folders:
                    folders.add(str(parent))
                    folder = tarfile.TarInfo(str(parent))
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(folder)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mtime = int(time.time())
            tar.addfile(entry, io.BytesIO(content))


def _mmdebstrap(recipe: Path, disk_fd: int, progress: Progress, unshare: bool) -> None:
    # mmdebstrap has /proc and /sys mounted in the new root while hooks run; a plain bind mount omits them.
    make_disk = (
        'set -e; flat=$(mktemp -d); mount --bind "$1" "$flat"; trap \'umount "$flat"; rmdir "$flat"\' EXIT; '
        "mke2fs -q -F -t ext4 -L gpupass-lab -E lazy_itable_init=1,nodiscard -J size=32"
        f' -d "$flat" /proc/self/fd/{disk_fd} >&2'
    )
    argv = [
        "mmdebstrap", "--variant=minbase", f"--mode={'unshare' if unshare else 'root'}", "--format=null",
        "--include=" + ",".join(packages("packages.txt") + packages("build-packages.txt")),
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")),
        *(f"--aptopt={option}" for option in mirror.apt_options()),
        f"--customize-hook=tar-in {recipe} /",
        f'--customize-hook=chroot "$1" sh /{_LIB}/customize.sh',
        f"--customize-hook={make_disk}",
        SUITE, "-",
    ]  # fmt: skip
    uri = mirror.find_mirror()
    if uri is not None:
        argv.append(uri)
    environment = {**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", pass_fds=(disk_fd,), start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith("I: ") and line.rstrip().endswith("..."):
                progress(line[3:].strip().rstrip("."))
            elif line.startswith("gpupass-lab: "):
                progress(line.partition(": ")[2].strip())
            elif "mke2fs" in line and line.startswith("I: running"):
                progress("making the disk image")
        status = process.wait(_BUILD_SECONDS)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status != 0:
        _explain(said)


def _explain(said: list[str]) -> None:
    log = host.cache_dir() / "build.log"
    log.write_text("\n".join(said) + "\n", encoding="utf-8")
    errors = [line for line in said if line.startswith(("E: ", "mke2fs:")) or "error:" in line.lower()]
    why = errors[0].removeprefix("E: ") if errors else (said[-1] if said else "mmdebstrap said nothing")
    hint = f"less {log}"
    if "subuid" in why or "uidmap" in why or "newuidmap" in why:
        hint = "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
    raise GpupassError(f"cannot build the lab's image: {why}", hint)
