"""Consoles, framebuffers and desktops on the cards."""

from collections.abc import Iterator

from gpupass.devices.verdict import device_verdict
from gpupass.doctor.check import WHOLE, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Arguments, Type
from gpupass.model.host import Device
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder, User, UserKind
from gpupass.model.verdict import StayKind

_DISPLAY = 0x03
_BLACKLIST = "initcall_blacklist=sysfb_init"
_DOUBT = "it does not keep every simpledrm away: gpupass doctor looks again after the reboot"
_FRAMEBUFFER = "the kernel's framebuffer"  # as observe/framebuffers.py names it


def _displays(sight: Sight) -> tuple[Device, ...]:
    return tuple(gpu for gpu in sight.gpus if gpu.class_code >> 16 == _DISPLAY)


def _drawing(sight: Sight, *holders: Holder) -> Iterator[tuple[Device, User]]:
    for gpu in _displays(sight):
        for user in gpu.users:
            if user.kind is UserKind.KERNEL and user.holder in holders and user.name != "nvidia_drm":
                yield gpu, user


def _framebuffer(sight: Sight) -> Told:
    """Where it stays in the card's memory vfio-pci cannot reserve that ("BAR 0: can't reserve").

    simpledrm has been seen to come although sysfb_init was forbidden (siderolabs/talos issue 14356).
    """
    found = [
        (gpu, user)
        for gpu, user in _drawing(sight, Holder.FRAMEBUFFER, Holder.NOBODY)
        if user.name == _FRAMEBUFFER
    ]
    for gpu, user in found:
        at_run_time = remedy(user, gpu.address)
        if _BLACKLIST in sight.ground.kernel.words:
            why = f"{user.name} is still on it ({user.detail}): {_BLACKLIST} was booted, and did not help"
            yield Said(about=gpu.address, why=why, remedy=Type(words=at_run_time))
        elif user.holder is Holder.FRAMEBUFFER:
            yield Said(
                about=gpu.address, why=f"{user.name} is on it ({user.detail})", remedy=Type(words=at_run_time)
            )
        else:
            cure = Arguments(add=(_BLACKLIST,), doubt=_DOUBT)
            yield Said(about=gpu.address, why=f"{user.name} is on it ({user.detail})", remedy=cure)
    if _displays(sight) and not found and not sight.ground.as_root:
        yield hidden(sight, "what draws in their memory (/proc/iomem)")
    elif _displays(sight) and not found:
        yield fine("no framebuffer of the firmware's is in their memory")


def _console(sight: Sight) -> Told:
    found = list(_drawing(sight, Holder.CONSOLE))
    for gpu, user in found:
        why = f"{user.name} is on it ({user.detail})"
        yield Said(about=gpu.address, why=why, remedy=Type(words=remedy(user, gpu.address)))
    if _displays(sight) and not found:
        yield fine("the kernel's console is not on them")


def _boot_display(sight: Sight) -> Told:
    found = [
        (gpu, stay)
        for gpu in _displays(sight)
        for stay in device_verdict(gpu, sight.host).staying
        if stay.kind is StayKind.BOOT_DISPLAY and stay.address == gpu.address
    ]
    for gpu, stay in found:
        yield Said(about=gpu.address, why=stay.reason, remedy=Type(words=stay.remedy))
    if _displays(sight) and not found:
        yield fine("none of them is the boot display")


def _last(sight: Sight) -> Told:
    """A host with one display goes blind when that is given away."""
    displays = [device for device in sight.host.devices if device.class_code >> 16 == _DISPLAY]
    ours = _displays(sight)
    if len(displays) == 1 and ours:
        why = "it is the only display here: the host goes blind while a guest has it"
        yield Said(about=ours[0].address, why=why, remedy=Type(words="keep ssh or a serial console at hand"))
    elif ours:
        yield fine(f"there are {len(displays)} displays")


def _manager(sight: Sight) -> Told:
    services = sight.ground.services
    drawn = any(user.holder is Holder.DESKTOP for gpu in _displays(sight) for user in gpu.users)
    if services is None and _displays(sight):
        yield hidden(sight, "whether a desktop runs")
    elif services is not None and services.display_manager in services.active and services.display_manager:
        level = None if drawn or len(_displays(sight)) == 1 else Level.PASS
        why = f"{services.display_manager} runs, and may have it open"
        stop = Type(
            words="gpupass attach DOMAIN DEVICE --stop display-manager, which starts it again afterwards"
        )
        for gpu in _displays(sight)[:1]:
            yield Said(about=gpu.address, why=why, remedy=stop, level=level)
    elif _displays(sight):
        yield fine("no desktop runs")


DISPLAY = (
    Check(
        id="boot.fb", title="the firmware's framebuffer", purposes=WHOLE, worst=Level.FAIL, find=_framebuffer
    ),
    Check(id="boot.vtcon", title="the kernel's console", purposes=WHOLE, worst=Level.WARN, find=_console),
    Check(id="boot.vga", title="boot display", purposes=WHOLE, worst=Level.WARN, find=_boot_display),
    Check(id="boot.only-gpu", title="another display", purposes=WHOLE, worst=Level.WARN, find=_last),
    Check(
        id="dm.active",
        title="desktop",
        purposes=frozenset({Purpose.DESKTOP, Purpose.PASSTHROUGH}),
        worst=Level.WARN,
        find=_manager,
    ),
)
