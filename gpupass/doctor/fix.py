"""What of the remedies gpupass does itself: what adds a file or words, and can be taken back whole.

What somebody has written on purpose is only told: to take that out is his to do.
"""

import re
from collections.abc import Iterable, Iterator

from gpupass.boot.initramfs import Unknown, initramfs_tool
from gpupass.doctor.examine import Diagnosis
from gpupass.doctor.remedy import Arguments, Limit, Load, Options, Remedy
from gpupass.doctor.words import AT_BOOT, DROP_IN, MODPROBE, drop_in, stands
from gpupass.model.address import BOOT
from gpupass.model.boot import BootState, HostFile
from gpupass.model.ground import Ground, Loader, LoaderKind
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.steps.file import WriteFile
from gpupass.steps.kernel_arguments import WORD, SetKernelArguments
from gpupass.steps.module import LoadModule
from gpupass.steps.refresh import FileReader, Refresh

READERS = {
    LoaderKind.UPDATE_GRUB: FileReader.GRUB,
    LoaderKind.PROXMOX_BOOT_TOOL: FileReader.PROXMOX_BOOT_TOOL,
    LoaderKind.SDBOOTUTIL: FileReader.SDBOOTUTIL,
}
_FIXED = (*READERS, LoaderKind.GRUBBY, LoaderKind.ENTRIES)
_AT_BOOT = (*READERS.values(), FileReader.INITRAMFS_TOOLS, FileReader.DRACUT, FileReader.MKINITCPIO)
_LOADERS = ("/boot/", "/efi/", "/etc/modprobe.d/")
TOLD = "/etc/gpupass/kernel-arguments"  # what it has put where others write, too: one word a line
HEAD = "# Written by `gpupass doctor --fix`.\n"
_LINE = "the kernel's command line"
_TITLE = "set right what the doctor has found"


def fixable(remedy: Remedy | None, ground: Ground) -> bool:
    match remedy:
        case Arguments(add=add, remove=remove, doubt=doubt):
            known = (ground.loader or Loader()).kind in _FIXED
            plain = bool(add) and all(map(WORD.fullmatch, add))
            return plain and not remove and not doubt and known and not stands(remedy, ground)
        case Options():
            return not stands(remedy, ground)
        case Load() | Limit():
            return True
        case _:
            return False


def paths(ground: Ground, found: Iterable[Diagnosis]) -> tuple[str, ...]:
    """The files that a plan could write."""
    units = (drop_in(one.cure.unit) for one in found if isinstance(one.cure, Limit))
    loader = ground.loader or Loader()
    files = loader.files if loader.kind in _FIXED else ()
    return tuple(dict.fromkeys((MODPROBE, AT_BOOT, DROP_IN, TOLD, *files, *units)))


def fix_plan(found: Iterable[Diagnosis], ground: Ground, boot: BootState) -> Plan:
    """Each file once, whatever several remedies say of it; who reads them, reads them at the end."""
    cures = tuple(
        dict.fromkeys(one.cure for one in found if one.cure is not None and fixable(one.cure, ground))
    )
    steps = (*_modules(cures, boot), *_limits(cures, boot), *_arguments(cures, ground, boot))
    return Plan(title=_TITLE, steps=steps, devices=(BOOT,))


def needs_reboot(plan: Plan) -> bool:
    """What the kernel and its modules are told counts from the next boot on."""
    return any(
        isinstance(step, SetKernelArguments)
        or (isinstance(step, Refresh) and step.what in _AT_BOOT)
        or (isinstance(step, WriteFile) and step.path.startswith(_LOADERS))
        for step in plan.steps
    )


def _modules(cures: tuple[Remedy, ...], boot: BootState) -> Iterator[Deed]:
    lines = [line for cure in cures if isinstance(cure, Options) for line in cure.lines]
    written = _added(boot, MODPROBE, lines, "how modules are loaded")
    if written is not None:
        yield written
        reader = maker(boot)
        if reader is not None:
            yield Refresh(what=reader, why="modules are loaded from the initramfs already")
    modules = [name for cure in cures if isinstance(cure, Load) for name in cure.modules]
    for name in dict.fromkeys(modules):
        yield LoadModule(module=name, why="needed, and not there")
    at_boot = _added(boot, AT_BOOT, modules, "what every boot loads")
    if at_boot is not None:
        yield at_boot


def maker(boot: BootState) -> FileReader | None:
    """Who makes the initramfs anew."""
    tool = initramfs_tool(boot)
    if isinstance(tool, Unknown):
        return FileReader.MKINITCPIO if tool.mkinitcpio else None
    return tool


def _limits(cures: tuple[Remedy, ...], boot: BootState) -> Iterator[Deed]:
    steps = []
    for cure in cures:
        if isinstance(cure, Limit):
            text = f"{HEAD}[Service]\n{cure.line}\n"
            path = drop_in(cure.unit)
            if boot.file(path) != HostFile(path=path, text=text):
                steps.append(WriteFile(path=path, text=text, prune=True, why=f"for {cure.unit}"))
    yield from steps
    if steps:
        yield Refresh(what=FileReader.SYSTEMD, why="so that it knows them when the service starts anew")


def _arguments(cures: tuple[Remedy, ...], ground: Ground, boot: BootState) -> Iterator[Deed]:
    words = tuple(dict.fromkeys(word for cure in cures if isinstance(cure, Arguments) for word in cure.add))
    loader = ground.loader or Loader()
    missing = tuple(word for word in words if word not in (loader.words or ()))
    if not words:
        return
    if loader.kind is LoaderKind.UPDATE_GRUB and missing:
        line = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {" ".join(missing)}"'
        yield from filter(None, (_added(boot, DROP_IN, [line], _LINE),))
    elif missing:
        yield from filter(None, (_added(boot, TOLD, missing, "what --undo takes away again"),))
        if loader.kind is LoaderKind.GRUBBY:
            yield SetKernelArguments(add=missing, why="from the next boot on")
        else:
            yield from filter(None, (rewritten(boot, path, loader.kind, missing) for path in loader.files))
    if loader.kind in READERS:
        yield Refresh(what=READERS[loader.kind], why="so that the next boot is told")


def rewritten(
    boot: BootState, path: str, kind: LoaderKind, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()
) -> WriteFile | None:
    """The line of options of an entry, or the only line of a file, with and without these words."""
    before = boot.file(path)
    if before is None:
        return None
    form = r"^options[ \t].*$" if kind is LoaderKind.ENTRIES else r"\A.*$"
    text = re.sub(form, lambda line: _line(line[0], add, remove), before.text, count=1, flags=re.MULTILINE)
    if text == before.text:
        return None
    return WriteFile(path=path, text=text, mode=before.mode, why=_LINE)


def _line(line: str, add: tuple[str, ...], remove: tuple[str, ...]) -> str:
    for word in remove:
        line = re.sub(rf"(^|[ \t]+){re.escape(word)}(?=[ \t]|$)", "", line)
    return " ".join((line.rstrip(), *add))


def _added(boot: BootState, path: str, lines: Iterable[str], why: str) -> WriteFile | None:
    """A file of gpupass's own, with these lines beside those that it has."""
    before = boot.file(path)
    text = before.text if before is not None else HEAD
    new = [line for line in dict.fromkeys(lines) if line not in text.splitlines()]
    if not new:
        return None
    start = text if text.endswith("\n") or not text else f"{text}\n"
    return WriteFile(path=path, text=start + "".join(f"{line}\n" for line in new), why=why)
