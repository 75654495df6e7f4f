"""Facts in the few words a table has room for; pure."""

import re
from collections.abc import Iterator

from gpupass.model.amd import Amd, Gim
from gpupass.model.host import Bar, Base, Device, Link, Sriov, Vgpu
from gpupass.model.intel import Intel
from gpupass.model.mdev import Mdev
from gpupass.model.mig import GpuInstance, MigState
from gpupass.model.pci_class import class_words
from gpupass.model.user import User, UserKind
from gpupass.model.verdict import Verdict

_COMPANY = re.compile(
    r"(,? (Corporation|Corp\.|Inc\.|Incorporated|Ltd\.?|Limited|Co\.?|Electronics|Technology Group Ltd\.))+ "
)
_AMD = re.compile(r"Advanced Micro Devices, Inc\. \[AMD(/ATI)?\] ")
_SOLD_AS = re.compile(r"(\S+) .*\[(.+)\]$")


def full_name(device: Base) -> str:
    """ "NVIDIA GA102 [GeForce RTX 3090]"; class and numbers where the database knows nothing."""
    if not isinstance(device, Device):
        return device.address
    if not device.name:
        return f"{class_words(device.class_code)} {device.ids}"
    return _COMPANY.sub(" ", _AMD.sub("AMD ", device.name), count=1)


def short_name(device: Base) -> str:
    """ "NVIDIA GeForce RTX 3090": a card under the name it was sold by."""
    name = full_name(device)
    sold_as = _SOLD_AS.match(name) if isinstance(device, Device) and device.is_gpu else None
    return f"{sold_as[1]} {sold_as[2]}" if sold_as else name


def users_text(users: tuple[User, ...], detailed: bool = False) -> str:
    """A domain first: it says more than the QEMU process that belongs to it."""
    if detailed:
        return "; ".join(_user(user, detailed) for user in users)
    running = {user.name for user in users if user.kind is UserKind.DOMAIN}
    words = dict.fromkeys(
        _user(user)
        for user in users
        if not (user.kind is UserKind.DOMAIN_CONFIG and user.name in running)
        and not (running and user.kind is UserKind.PROCESS and user.name.startswith("qemu"))
    )
    return ", ".join(words) or "-"


def _user(user: User, detailed: bool = False) -> str:
    detail = f" ({user.detail})" if detailed and user.detail else ""
    match user.kind:
        case UserKind.DOMAIN:
            return f"domain {user.name}{detail}"
        case UserKind.DOMAIN_CONFIG:
            return f"domain {user.name}, persistent XML{detail}" if detailed else f"({user.name})"
        case UserKind.VM:
            return f"VM {user.name}{detail}"
        case UserKind.PROCESS:
            number = f"[{user.pid}]" if user.pid is not None else ""
            return f"process {user.name}{detail}" if detailed else f"{user.name}{number}"
        case UserKind.DISK:
            return f"disk {user.name}{detail}"
        case UserKind.KERNEL:
            return f"{user.name}{detail}"
        case UserKind.NETWORK:
            return f"network {user.name}{detail}"
        case UserKind.BOOT_DISPLAY:
            return "boot display"


def verdict_line(verdict: Verdict) -> str:
    """ "ok", "ok, moves 0000:01:00.1 along", "no: root disk /dev/nvme0n1p1 on 0000:03:00.0"."""
    if verdict.bridges == verdict.members:
        return "no: bridges stay with the host"
    if not verdict.viable:
        return "no: " + "; ".join(verdict.reasons)
    if not verdict.companions:
        return "ok"
    return "ok, moves " + ", ".join(companion.address for companion in verdict.companions) + " along"


def link_text(link: Link | None) -> str:
    if link is None:
        return ""
    now = f"{_speed(link.speed)} x{link.width}"
    most = f"{_speed(link.max_speed)} x{link.max_width}"
    return now if now == most else f"{now} (can do {most})"


def _speed(text: str) -> str:
    return text.removesuffix(" PCIe")


def bars_text(bars: tuple[Bar, ...]) -> tuple[str, ...]:
    return tuple(_bar(bar) for bar in bars)


def _bar(bar: Bar) -> str:
    kind = "I/O" if bar.is_io else "64-bit" if bar.is_64bit else "32-bit"
    words = f"{bar.index}: {size_text(bar.size)} {kind}{', prefetchable' if bar.prefetchable else ''}"
    if bar.sizes:
        words += f", resizable {size_text(min(bar.sizes))} to {size_text(max(bar.sizes))}"
    return words


def size_text(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or size % 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} TiB"


def sriov_text(sriov: Sriov | None) -> str:
    if sriov is None:
        return ""
    words = f"{sriov.enabled} of {sriov.total} virtual functions on"
    return f"{words}: {', '.join(sriov.vfs)}" if sriov.vfs else words


def mig_rows(state: MigState | None) -> Iterator[tuple[str, str]]:
    """What a MIG GPU is cut into, and what it could be."""
    if state is None:
        return
    if state.unseen:
        yield "MIG instances", f"not seen: {state.unseen}"
    if state.gpu is None:
        return
    for one in state.gpu.instances:
        yield "MIG instance", f"{one.name} (id {one.id}){_parts(one)}"
    if state.gpu.profiles:
        yield "MIG profiles", ", ".join(f"{profile.most}x {profile.name}" for profile in state.gpu.profiles)


def _parts(instance: GpuInstance) -> str:
    words = [f"{part.name} {part.uuid or ''}".rstrip() + _used(part.users) for part in instance.compute]
    return (f": {'; '.join(words)}" if words else "") + _used(instance.users)


def _used(users: tuple[User, ...]) -> str:
    return f", used by {users_text(users)}" if users else ""


def mdev_text(mdev: Mdev) -> str:
    users = "; ".join(_user(user) for user in mdev.users)
    return f"{mdev.uuid} ({mdev.type})" + (f", {users}" if users else "")


def vgpu_text(vgpu: Vgpu) -> str:
    if vgpu.current:
        return f"type {vgpu.current}" + (f", {vgpu.params}" if vgpu.params else "")
    return "none; can be " + (", ".join(kind.name for kind in vgpu.creatable) or "none at present")


def shares_text(intel: Intel | None, enabled: int) -> tuple[str, ...]:
    """ "pf: 64 ms at a time", "vf0, vf1: 20 ms at a time, stopped after 40000 µs, 2048 MiB"."""
    if intel is None:
        return ()
    lines: dict[str, list[str]] = {}
    for vf in (None, *range(enabled)):
        words = ", ".join(_share(intel, vf)) or "no limit"
        lines.setdefault(words, []).append("pf" if vf is None else f"vf{vf}")
    return tuple(f"{', '.join(names)}: {words}" for words, names in lines.items())


def _share(intel: Intel, vf: int | None) -> Iterator[str]:
    quantum = intel.quantum.value(vf) if intel.quantum is not None else None
    timeout = intel.timeout.value(vf) if intel.timeout is not None else None
    memory = intel.memory.value(vf) if intel.memory is not None else None
    if quantum:
        yield f"{quantum} ms at a time"
    if timeout:
        yield f"stopped after {timeout} µs"
    if memory:
        yield f"{memory >> 20} MiB"


def partitions_text(amd: Amd | None) -> tuple[str, ...]:
    """ "CPX, NPS4", what else it can be, its render nodes."""
    if amd is None:
        return ()
    modes = f"{amd.compute or '?'}, {amd.memory or '?'}"
    others = "; ".join(", ".join(words) for words in (amd.computes, amd.memories) if words)
    nodes = ", ".join(f"{part.name} {part.render or '(no render node)'}" for part in amd.partitions)
    return (f"{modes} (can be {others})" if others else modes, *((nodes,) if nodes else ()))


def gim_text(gim: Gim | None) -> str:
    return ", ".join(mode for mode in (gim.compute, gim.memory) if mode) if gim is not None else ""
