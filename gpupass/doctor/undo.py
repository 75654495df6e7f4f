"""What `doctor --fix` has written is taken away again: its files, and its words of the command line; pure."""

from collections.abc import Iterator

from gpupass.doctor.fix import HEAD, READERS, TOLD, maker, rewritten
from gpupass.doctor.words import AT_BOOT, DROP_IN, MODPROBE, drop_in
from gpupass.model.address import BOOT
from gpupass.model.boot import BootState
from gpupass.model.ground import Ground, Loader, LoaderKind
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.steps.file import WriteFile
from gpupass.steps.kernel_arguments import WORD, SetKernelArguments
from gpupass.steps.refresh import FileReader, Refresh

_LIMITS = tuple(drop_in(unit) for unit in ("libvirtd.service", "virtqemud.service"))
_WHY = "no longer wanted"


def written_paths(ground: Ground) -> tuple[str, ...]:
    loader = ground.loader or Loader()
    return (MODPROBE, AT_BOOT, DROP_IN, TOLD, *_LIMITS, *loader.files)


def undo_plan(ground: Ground, boot: BootState) -> Plan:
    """Only files that begin as it begins them: what somebody has put in their place is his."""
    loader = ground.loader or Loader()
    ours = tuple(path for path in (MODPROBE, AT_BOOT, DROP_IN, *_LIMITS) if _is_ours(boot, path))
    gone = tuple(
        WriteFile(path=path, text=None, prune=path.startswith("/etc/systemd/"), why=_WHY) for path in ours
    )
    steps = (*gone, *_words(loader, boot), *_read_again(ours, loader, boot))
    return Plan(title="take back what doctor --fix has written", steps=steps, devices=(BOOT,))


def _is_ours(boot: BootState, path: str) -> bool:
    file = boot.file(path)
    return file is not None and file.text.startswith(HEAD)


def _words(loader: Loader, boot: BootState) -> Iterator[Deed]:
    """Those that it has noted."""
    note = boot.file(TOLD)
    if note is None:
        return
    words = tuple(line for line in note.text.splitlines() if WORD.fullmatch(line))
    if loader.kind is LoaderKind.GRUBBY and words:
        yield SetKernelArguments(remove=words, why=_WHY)
    elif words:
        for path in loader.files:
            step = rewritten(boot, path, loader.kind, remove=words)
            if step is not None:
                yield step
    yield WriteFile(path=TOLD, text=None, prune=True, why=_WHY)


def _read_again(ours: tuple[str, ...], loader: Loader, boot: BootState) -> Iterator[Deed]:
    why = "so that it knows the files as they are now"
    reader = maker(boot) if MODPROBE in ours else None
    if reader is not None:
        yield Refresh(what=reader, why=why)
    if loader.kind in READERS and (DROP_IN in ours or boot.file(TOLD) is not None):
        yield Refresh(what=READERS[loader.kind], why=why)
    if any(path in ours for path in _LIMITS):
        yield Refresh(what=FileReader.SYSTEMD, why=why)
