"""To whom a process belongs, so that what would start it anew can be told to end: by its control group.

The kernel's path is read from its top: what lies below `user.slice` its user may call anything
(systemd.resource-control(5), machine naming of libvirt's src/util/virsystemd.c).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import DecodeError, Struct, json

from gpupass.lending.qemu_arguments import read_arguments
from gpupass.model.domain import Domain
from gpupass.model.user import Holder
from gpupass.observe.proxmox import Machine, proxmox_files
from gpupass.system import Reader

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
_CONTAINER = re.compile(r"(docker|libpod|cri-containerd|crio|nerdctl)-([0-9a-f]{64})\.scope")
_HEX = re.compile(r"[0-9a-f]{64}")
_IN_POD = re.compile(r"kubepods-.*:(?:cri-containerd|crio):([0-9a-f]{64})")
_JOB = re.compile(r"job_(\d{1,10})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
_RUNTIMES = {
    "docker": Holder.DOCKER,
    "nerdctl": Holder.DOCKER,
    "libpod": Holder.PODMAN,
    "cri-containerd": Holder.KUBERNETES,
    "crio": Holder.KUBERNETES,
}
_OF_LXC = {
    "/etc/pve": Holder.PROXMOX_CONTAINER,
    "/var/lib/incus": Holder.INCUS,
    "/var/lib/lxd": Holder.LXD,
    "/var/snap/lxd": Holder.LXD,
}
_DOCKER = "/var/lib/docker/containers"
_PODMAN = "/var/lib/containers/storage/overlay-containers/containers.json"
_SCREENS = (  # what draws a session's screen; names of comm, 15 bytes
    *("Xorg", "X", "Xwayland", "gnome-shell", "kwin_wayland", "kwin_x11", "plasmashell", "sway", "Hyprland"),
    *("weston", "mutter", "labwc", "wayfire", "cage", "gamescope", "gamescope-wl", "cosmic-comp", "river"),
)
_QEMU = re.compile(r"qemu|kvm")
_OTHER_VMMS = ("cloud-hypervis", "cloud-hypervisor", "crosvm", "firecracker")
_MANAGERS = {  # whose QEMUs live in its own service, and outlive it (KillMode=process)
    "incus.service": Holder.INCUS,
    "lxd.service": Holder.LXD,
    "snap.lxd.daemon.service": Holder.LXD,
}
_ITS_OWN = (Holder.NOBODY, Holder.PROCESS, Holder.USER_UNIT)  # a QEMU that somebody has started by hand


class Owner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`words` are for people: "service sddm.service", "container web (docker)", "domain vm1"."""

    holder: Holder
    handle: str = ""
    words: str = ""


_NOBODY = Owner(holder=Holder.NOBODY)


def read_owner(
    system: Reader, pid: int, name: str, domains: Iterable[Domain] = (), machines: Iterable[Machine] = ()
) -> Owner:
    """Whoever has started the process; what can be seen of a QEMU names its guest."""
    path = _path(system.read(f"/proc/{pid}/cgroup") or "")
    parts = [part for part in path.split("/") if part]
    found = (
        _guest(parts, domains, machines)
        or _container(system, parts)
        or _job(parts)
        or _of_user(parts, name)
        or _unit(parts)
        or _NOBODY
    )
    return _of_vmm(system, pid, name, found) or found


def _of_vmm(system: Reader, pid: int, name: str, found: Owner) -> Owner | None:
    """Its guest: no VMM is to be killed, nor what has started it to be stopped for it."""
    manager = _MANAGERS.get(found.handle) if found.holder is Holder.UNIT else None
    if not _QEMU.match(name) and name not in _OTHER_VMMS:
        return None
    if manager is None and found.holder not in _ITS_OWN:
        return None
    called = read_arguments(_command_line(system, pid)).name
    if manager is not None and _NAME.fullmatch(called):
        return Owner(holder=manager, handle=called, words=f"instance {called}")
    return Owner(holder=Holder.QEMU, handle=called, words=f"VM {called}" if called else "")


def _path(text: str) -> str:
    """Of the unified hierarchy, or systemd's own before that."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    whole = [line for line in lines if len(line) == 3]
    chosen = [line[2] for line in whole if line[0] == "0"] + [
        line[2] for line in whole if line[1] == "name=systemd"
    ]
    return next((path for path in chosen if path != "/"), "")


def _command_line(system: Reader, pid: int) -> list[str]:
    data = system.read_bytes(f"/proc/{pid}/cmdline", limit=1 << 16) or b""
    return data.decode(errors="replace").split("\0")


# ── guests ─────────────────────────────────────────────────────────────────────────────────────────────────


def _guest(parts: list[str], domains: Iterable[Domain], machines: Iterable[Machine]) -> Owner | None:
    """machine.slice/machine-qemu-1-vm1.scope, machine/qemu-1-vm1.libvirt-qemu; qemu.slice/100.scope."""
    if len(parts) < 2 or parts[0] not in ("machine.slice", "machine", "qemu.slice"):
        return None
    if parts[0] == "qemu.slice":
        number = re.fullmatch(r"(\d{1,9})\.scope", parts[1])
        known = {machine.id: machine.name for machine in machines}
        if number is None:
            return None
        name = known.get(number[1])
        words = f"Proxmox VM {number[1]}" + (f" ({name})" if name else "")
        return Owner(holder=Holder.PROXMOX, handle=number[1], words=words)
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), parts[1])
    machine = re.fullmatch(r"(?:machine-)?qemu-(\d+)-(.+?)(?:\.scope|\.libvirt-qemu)", plain)
    if machine is None:
        return None
    name = next((domain.name for domain in domains if _machine_name(domain.name) == machine[2]), machine[2])
    return Owner(holder=Holder.DOMAIN, handle=name, words=f"domain {name}")


def _machine_name(domain: str) -> str:
    """As virDomainGenerateMachineName makes it: what no host may be called is left out."""
    return re.sub(r"[^A-Za-z0-9.-]", "", domain).strip(".-")


# ── containers ─────────────────────────────────────────────────────────────────────────────────────────────


def _container(system: Reader, parts: list[str]) -> Owner | None:
    if not parts or parts[0] == "user.slice":
        return None
    first = _first(parts)
    scope = _CONTAINER.fullmatch(first)
    if scope:
        return _named(system, _RUNTIMES[scope[1]], scope[2])
    if parts[0] == "docker" and len(parts) > 1 and _HEX.fullmatch(parts[1]):
        return _named(system, Holder.DOCKER, parts[1])
    in_pod = _IN_POD.fullmatch(parts[-1])
    if in_pod:
        return _named(system, Holder.KUBERNETES, in_pod[1])
    if parts[0] == "kubepods" and _HEX.fullmatch(parts[-1]):
        return _named(system, Holder.KUBERNETES, parts[-1])
    lxc = parts[0].removeprefix("lxc.payload.") if parts[0].startswith("lxc.payload.") else ""
    lxc = lxc or (parts[1] if parts[0] in ("lxc", "lxc.payload") and len(parts) > 1 else "")
    if lxc and _NAME.fullmatch(lxc):
        return Owner(holder=_lxc(system), handle=lxc, words=f"container {lxc}")
    nspawn = re.fullmatch(r"systemd-nspawn@(.+)\.service", first)
    if nspawn and _NAME.fullmatch(nspawn[1]):
        return Owner(holder=Holder.NSPAWN, handle=nspawn[1], words=f"container {nspawn[1]}")
    return None


def _job(parts: list[str]) -> Owner | None:
    """Slurm's: /system.slice/slurmstepd.scope/job_12/step_0, /slurm/uid_1000/job_12; not all of a node's."""
    slurm = any(part in ("slurm", "slurmstepd.scope", "slurmd.service") for part in parts[:2])
    number = next((found[1] for part in parts if (found := _JOB.fullmatch(part))), None)
    return Owner(holder=Holder.SLURM, handle=number, words=f"job {number}") if slurm and number else None


def _lxc(system: Reader) -> Holder:
    return next((holder for path, holder in _OF_LXC.items() if system.exists(path)), Holder.LXC)


def _named(system: Reader, runtime: Holder, identity: str) -> Owner:
    """By its name, where the runtime's own files tell it; else by the beginning of its id."""
    names = {Holder.DOCKER: _docker, Holder.PODMAN: _podman}
    name = names[runtime](system, identity) if runtime in names else ""
    called = name if _NAME.fullmatch(name) else identity[:12]
    return Owner(holder=runtime, handle=called, words=f"container {called} ({runtime})")


def _docker(system: Reader, identity: str) -> str:
    data = _document(system, f"{_DOCKER}/{identity}/config.v2.json")
    return str(data.get("Name", "")).removeprefix("/") if isinstance(data, dict) else ""


def _podman(system: Reader, identity: str) -> str:
    data = _document(system, _PODMAN)
    for one in data if isinstance(data, list) else ():
        if isinstance(one, dict) and one.get("id") == identity:
            names = one.get("names")
            return str(names[0]) if isinstance(names, list) and names else ""
    return ""


def _document(system: Reader, path: str) -> Any:
    """The runtime's own JSON; nothing of it but a name is taken."""
    try:
        return json.decode(system.read_bytes(path, limit=4 << 20) or b"null")
    except (DecodeError, RecursionError):
        return None


# ── services and sessions ──────────────────────────────────────────────────────────────────────────────────


def _of_user(parts: list[str], name: str) -> Owner | None:
    """A login session, or a service of a user's own manager."""
    if len(parts) < 3 or parts[0] != "user.slice":
        return None
    user = re.fullmatch(r"user-(\d{1,10})\.slice", parts[1])
    session = re.fullmatch(r"session-([A-Za-z0-9]{1,20})\.scope", parts[2])
    if user and session:
        holder = Holder.DESKTOP if name in _SCREENS else Holder.PROCESS
        return Owner(holder=holder, handle=session[1], words=f"session {session[1]} of user {user[1]}")
    if user and parts[2] == f"user@{user[1]}.service":
        unit = _first(parts[3:])
        if unit and not unit.startswith("init.scope"):
            units = _sockets(unit)
            return Owner(
                holder=Holder.USER_UNIT, handle=f"{user[1]} {units}", words=f"{unit} of user {user[1]}"
            )
    return None


def _sockets(unit: str) -> str:
    """Sound servers are started anew by their sockets."""
    name = unit.removesuffix(".service")
    return f"{name}.socket {unit}" if name in ("pipewire", "pipewire-pulse", "pulseaudio") else unit


def _unit(parts: list[str]) -> Owner | None:
    unit = _first(parts)
    if not unit or unit == "init.scope" or parts[0] == "user.slice":
        return None
    return Owner(holder=Holder.UNIT, handle=unit, words=f"service {unit}")


def _first(parts: Iterable[str]) -> str:
    """The uppermost unit below the slices."""
    return next((part for part in _units(parts)), "")


def _units(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if not part.endswith(".slice"):
            if part.endswith((".service", ".scope")) and _UNIT.fullmatch(part):
                yield part
            return


# ── what a record keeps of it ──────────────────────────────────────────────────────────────────────────────


def owner_files(system: Reader, names: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """(path, text) of what tells whose these processes are, and nothing else of them; names are by pid."""
    for pid, name in names.items():
        path = _path(system.read(f"/proc/{pid}/cgroup") or "")
        container = _CONTAINER.fullmatch(_first(filter(None, path.split("/"))))
        if container and container[1] == "docker":
            name_of = json.encode({"Name": _docker(system, container[2])}).decode()
            yield f"{_DOCKER}/{container[2]}/config.v2.json", name_of
        if _QEMU.match(name):
            found = read_arguments(_command_line(system, pid))
            yield f"/proc/{pid}/cmdline", "\0".join(("-name", found.name, "-uuid", found.uuid, ""))
    names_of = [
        {"id": one.get("id"), "names": one.get("names")}
        for one in _document(system, _PODMAN) or ()
        if isinstance(one, dict)
    ]
    if names_of:
        yield _PODMAN, json.encode(names_of).decode()
    for path in _OF_LXC:
        if system.exists(path):
            yield f"{path}/recorded", ""
    yield from proxmox_files(system)
