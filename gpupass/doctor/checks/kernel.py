"""The running kernel: what it is known for, and what hangs in it."""

from gpupass.doctor.check import ALL, VFIO, WHOLE, Check, Level, Purpose, Said, Sight, Told, fine, hidden
from gpupass.doctor.checks.vfio import release
from gpupass.doctor.remedy import Type
from gpupass.lending.preflight import size_text
from gpupass.model.vendor import Vendor

_BROKEN = ((6, 12, 23), (6, 14, 2))  # zen-kernel issue 380: 6.12.22 and 6.14.1 are good
_RDNA3 = (0x744C, 0x7448, 0x745E, 0x747E, 0x7480, 0x7483, 0x7489)  # void-packages issue 56829
_LARGE = 32 << 30
_PVE = range(12, 21)  # 6.8.12-12-pve to -20: i915-sriov-dkms issue 458


def _resets(sight: Sight) -> Told:
    version = release(sight.ground.kernel.release)
    if not version:
        return
    if version in _BROKEN:
        why = f"under Linux {sight.ground.kernel.release} GPUs were reported not to come back from a guest"
        yield Said(
            why=why, remedy=Type(words="boot another kernel: 6.12.22 and 6.14.1 were good, newer ones may be")
        )
    elif (6, 15) <= version[:2] <= (6, 16) and any(
        gpu.device in _RDNA3 for gpu in sight.of_vendor(Vendor.AMD)
    ):
        why = "under Linux 6.15 and 6.16 RDNA 3 cards were reported to hang after their second guest"
        yield Said(why=why, remedy=Type(words="boot another kernel: 6.14 was good"))
    elif sight.gpus:
        yield fine("nothing is known against it")


def _slow(sight: Sight) -> Told:
    """Linux 6.12 maps a BAR in huge pages (vfio_pci, huge pfnmap)."""
    large = [gpu for gpu in sight.gpus if any(bar.size >= _LARGE for bar in gpu.facts.bars)]
    for gpu in large:
        size = size_text(max(bar.size for bar in gpu.facts.bars))
        if (0,) < release(sight.ground.kernel.release) < (6, 12):
            why = f"before Linux 6.12 a BAR of {size} is mapped page by page: an attach takes long"
            yield Said(about=gpu.address, why=why, remedy=Type(words="boot Linux 6.12 or newer"))
        else:
            yield fine(f"its BAR of {size} is mapped in large pages", gpu.address)


def _shutdown(sight: Sight) -> Told:
    text = sight.ground.kernel.release
    vfs = [gpu for gpu in sight.of_vendor(Vendor.INTEL) if gpu.driver == "i915" and gpu.facts.sriov]
    if not vfs or not text.endswith("-pve"):
        return
    number = text.split("-")[1]
    if text.startswith("6.8.12-") and number.isdecimal() and int(number) in _PVE:
        why = f"{text} was reported to hang at shutdown while i915 has virtual functions"
        yield Said(
            about=vfs[0].address, why=why, remedy=Type(words="proxmox-boot-tool kernel pin 6.8.12-11-pve")
        )
    else:
        yield fine("nothing is known against its shutdown")


def _stuck(sight: Sight) -> Told:
    kernel = sight.ground.kernel
    for task in kernel.stuck:
        why = f"{task} hangs in the kernel while it unbinds a device"
        yield Said(why=why, remedy=Type(words="only a reboot ends it; before: shut the guests down"))
    if not kernel.stuck and not sight.ground.as_root:
        yield hidden(sight, "what hangs in the kernel")
    elif not kernel.stuck and kernel.release:
        yield fine("nothing hangs in the kernel")


def _panics(sight: Sight) -> Told:
    """A guest that does not let go keeps an unbind waiting for longer than that."""
    kernel = sight.ground.kernel
    for name in kernel.panics:
        typed = f"sysctl kernel.{name}=0; at every boot: echo kernel.{name}=0 >> /etc/sysctl.d/gpupass.conf"
        yield Said(
            why=f"kernel.{name} is on: an unbind that waits for a guest panics the host",
            remedy=Type(words=typed),
        )
    if not kernel.panics and kernel.release:
        yield fine("a task that waits does not panic the host")


KERNEL = (
    Check(id="kern.reset", title="resets under this kernel", purposes=WHOLE, worst=Level.WARN, find=_resets),
    Check(id="kern.large", title="large BARs", purposes=WHOLE, worst=Level.WARN, find=_slow),
    Check(
        id="kern.shutdown",
        title="shutting down",
        purposes=frozenset({Purpose.SRIOV}),
        worst=Level.WARN,
        find=_shutdown,
    ),
    Check(id="kern.stuck", title="what hangs", purposes=ALL, worst=Level.FAIL, find=_stuck),
    Check(id="kern.panic", title="patience", purposes=VFIO, worst=Level.WARN, find=_panics),
)
