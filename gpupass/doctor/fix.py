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
from gpupass.model.ground import Family, Ground, Loader, LoaderKind
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.steps.file import WriteFile
from gpupass.steps.kernel_arguments import AddKernelArguments
from gpupass.steps.module import LoadModule
from gpupass.steps.refresh import FileReader, Refresh

_READERS = {
    LoaderKind.UPDATE_GRUB: FileReader.GRUB,
    LoaderKind.PROXMOX_BOOT_TOOL: FileReader.PROXMOX_BOOT_TOOL,
    LoaderKind.SDBOOTUTIL: FileReader.SDBOOTUTIL,
}
_FIXED = (*_READERS, LoaderKind.GRUBBY, LoaderKind.ENTRIES)
_AT_BOOT = (*_READERS.values(), FileReader.INITRAMFS_TOOLS, FileReader.DRACUT, FileReader.MKINITCPIO)
_LOADERS = ("/boot/", "/efi/", "/etc/modprobe.d/")
_HEAD = "# Written by `gpupass doctor --fix`.\n"
_TITLE = "set right what the doctor has found"


def fixable(remedy: Remedy | None, ground: Ground) -> bool:
    match remedy:
        case Arguments(add=add, remove=remove, doubt=doubt):
            known = (ground.loader or Loader()).kind in _FIXED
            return bool(add) and not remove and not doubt and known and not stands(remedy, ground)
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
    return tuple(dict.fromkeys((MODPROBE, AT_BOOT, DROP_IN, *files, *units)))


def fix_plan(found: Iterable[Diagnosis], ground: Ground, boot: BootState) -> Plan:
    """Each file once, whatever several remedies say of it; who reads them, reads them at the end."""
    cures = tuple(
        dict.fromkeys(one.cure for one in found if one.cure is not None and fixable(one.cure, ground))
    )
    steps = (*_modules(cures, ground, boot), *_limits(cures, boot), *_arguments(cures, ground, boot))
    return Plan(title=_TITLE, steps=steps, devices=(BOOT,))


def needs_reboot(plan: Plan) -> bool:
    """What the kernel and its modules are told counts from the next boot on."""
    return any(
        isinstance(step, AddKernelArguments)
        or (isinstance(step, Refresh) and step.what in _AT_BOOT)
        or (isinstance(step, WriteFile) and step.path.startswith(_LOADERS))
        for step in plan.steps
    )


def _modules(cures: tuple[Remedy, ...], ground: Ground, boot: BootState) -> Iterator[Deed]:
    lines = [line for cure in cures if isinstance(cure, Options) for line in cure.lines]
    written = _added(boot, MODPROBE, lines, "how modules are loaded")
    if written is not None:
        yield written
        tool = initramfs_tool(boot)
        if not isinstance(tool, Unknown):
            yield Refresh(what=tool, why="modules are loaded from the initramfs already")
        elif ground.distribution.family is Family.ARCH:
            yield Refresh(what=FileReader.MKINITCPIO, why="modules are loaded from the initramfs already")
    modules = [name for cure in cures if isinstance(cure, Load) for name in cure.modules]
    for name in dict.fromkeys(modules):
        yield LoadModule(module=name, why="needed, and not there")
    at_boot = _added(boot, AT_BOOT, modules, "what every boot loads")
    if at_boot is not None:
        yield at_boot


def _limits(cures: tuple[Remedy, ...], boot: BootState) -> Iterator[Deed]:
    steps = []
    for cure in cures:
        if isinstance(cure, Limit):
            text = f"{_HEAD}[Service]\n{cure.line}\n"
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
    if loader.kind is LoaderKind.GRUBBY:
        yield AddKernelArguments(arguments=words, why="from the next boot on")
        return
    for path in (DROP_IN,) if loader.kind is LoaderKind.UPDATE_GRUB else loader.files:
        step = _told(boot, path, loader.kind, missing) if missing else None
        if step is not None:
            yield step
    if loader.kind in _READERS:
        yield Refresh(what=_READERS[loader.kind], why="so that the next boot is told")


def _told(boot: BootState, path: str, kind: LoaderKind, words: tuple[str, ...]) -> WriteFile | None:
    said = " ".join(words)
    why = "the kernel's command line"
    if kind is LoaderKind.UPDATE_GRUB:
        return _added(boot, path, [f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {said}"'], why)
    before = boot.file(path)
    if before is None:
        return None
    if kind is LoaderKind.ENTRIES:
        text = re.sub(r"^(options[ \t].*?)[ \t]*$", rf"\1 {said}", before.text, count=1, flags=re.MULTILINE)
    else:
        first, end, rest = before.text.partition("\n")
        text = f"{first.rstrip()} {said}{end}{rest}"
    return WriteFile(path=path, text=text, mode=before.mode, why=why) if text != before.text else None


def _added(boot: BootState, path: str, lines: Iterable[str], why: str) -> WriteFile | None:
    """A file of gpupass's own, with these lines beside those that it has."""
    before = boot.file(path)
    text = before.text if before is not None else _HEAD
    new = [line for line in dict.fromkeys(lines) if line not in text.splitlines()]
    if not new:
        return None
    start = text if text.endswith("\n") or not text else f"{text}\n"
    return WriteFile(path=path, text=start + "".join(f"{line}\n" for line in new), why=why)
