"""(BootState, what is wanted) → Plan: which files change, who reads them again, and in which order; pure."""

from gpupass.boot.early import PATHS, RULES, SOFTDEP, Early, early_bound, early_files
from gpupass.boot.findings import early_findings
from gpupass.boot.initramfs import Unknown, initramfs_tool
from gpupass.boot.units import (
    ATTACHMENTS,
    DEVICES,
    PROFILE,
    PROMISES,
    UNITS,
    promises_file,
    unit_files,
    unit_path,
)
from gpupass.model.address import BOOT, Address, same_slot
from gpupass.model.boot import BootState, HostFile
from gpupass.model.host import Device, Host
from gpupass.model.identity import Identity
from gpupass.plan import Finding, Plan
from gpupass.step import Deed
from gpupass.steps.file import WriteFile
from gpupass.steps.refresh import FileReader, Refresh
from gpupass.steps.unit import EnableUnit, RunUnit

_WHY = {
    PROFILE: "the profile that every boot applies",
    unit_path(DEVICES): "prepares the devices before libvirt starts domains",
    unit_path(ATTACHMENTS): "attaches them once their domains run",
    unit_path(PROMISES): "gives domains what they are promised",
    RULES: "names the driver of these functions before any driver is loaded",
    SOFTDEP: "loads vfio-pci before the drivers they would have otherwise",
}
_IN_INITRAMFS = "drivers are loaded from the initramfs already"


def enable_plan(boot: BootState, profile: str, executable: str, source: str) -> Plan:
    """Install the profile and the units, and have systemd start them at every boot."""
    title = f"enable {source} at every boot"
    units = tuple(step for file in unit_files(executable) if (step := _write(boot, file)) is not None)
    installed = _write(boot, HostFile(path=PROFILE, text=profile, mode=0o600), prune=True)
    starts = tuple(
        EnableUnit(unit=unit, on=True, why="at every boot") for unit in UNITS if unit not in boot.enabled
    )
    return Plan(
        title=title,
        steps=(*_optional(installed), *_read_again(_of_systemd(units), units), *starts),
        findings=_needs_systemd(boot),
        devices=(BOOT,),
    )


def disable_plan(boot: BootState) -> Plan:
    """No unit and no profile is left."""
    stops = tuple(
        EnableUnit(unit=unit, on=False, why="no longer at boot") for unit in UNITS if unit in boot.enabled
    )
    units = tuple(step for unit in UNITS if (step := _remove(boot, unit_path(unit))) is not None)
    profile = _remove(boot, PROFILE, prune=True)
    steps = (*_read_again(_of_systemd(units), (*stops, *units)), *_optional(profile))
    return Plan(
        title="disable the profile at boot",
        steps=steps,
        findings=_needs_systemd(boot) if steps else (),
        devices=(BOOT,),
    )


def listen_plan(boot: BootState, executable: str) -> Plan:
    """A unit listens to libvirt, now and from every boot on; one that was written otherwise starts anew."""
    written = _optional(_write(boot, promises_file(executable)))
    enabled = _optional(
        EnableUnit(unit=PROMISES, on=True, why="at every boot") if PROMISES not in boot.enabled else None
    )
    runs = PROMISES in boot.running
    starts = RunUnit(unit=PROMISES, on=True, anew=runs, why="domains are promised devices")
    return Plan(
        title="listen for the starts of domains",
        steps=(
            *_read_again((FileReader.SYSTEMD,), written),
            *enabled,
            *(() if runs and not written else (starts,)),
        ),
        findings=_needs_systemd(boot),
        devices=(BOOT,),
    )


def unlisten_plan(boot: BootState) -> Plan:
    """Nobody is promised anything any more."""
    stop = RunUnit(unit=PROMISES, on=False, why="nobody is promised anything any more")
    off = EnableUnit(unit=PROMISES, on=False, why="no longer at boot")
    removed = _optional(_remove(boot, unit_path(PROMISES)))
    first = (*((stop,) if PROMISES in boot.running else ()), *((off,) if PROMISES in boot.enabled else ()))
    return Plan(
        title="listen no longer for the starts of domains",
        steps=(*first, *_read_again((FileReader.SYSTEMD,), removed)),
        devices=(BOOT,),
    )


def early_bind_plan(
    host: Host, boot: BootState, devices: tuple[Device, ...], agreed: tuple[Address, ...] = ()
) -> Plan:
    """`devices` and their groups, besides those bound early already."""
    wanted = {
        member.address: member
        for device in devices
        for member in host.group_of(device)
        if not member.is_bridge
    }
    title = f"bind {', '.join(device.address for device in devices)} to vfio-pci from the next boot on"
    before = early_bound(boot.file(RULES))
    plan = _early_plan(title, host, boot, {**before, **host.identities(wanted)})
    settled = not plan.steps and all(device.address in before for device in devices)
    findings = () if settled else early_findings(host, devices, tuple(wanted.values()), agreed)
    return Plan(title=title, steps=plan.steps, findings=(*plan.findings, *findings), devices=plan.devices)


def early_bind_undo_plan(host: Host, boot: BootState, addresses: tuple[Address, ...] = ()) -> Plan:
    """Leave `addresses` and their groups to the host's drivers again; none given: all of them."""
    before = early_bound(boot.file(RULES))
    leave = addresses or tuple(before)
    title = f"leave {', '.join(leave) or 'every device'} to the host's drivers from the next boot on"
    kept = {address: who for address, who in before.items() if not _goes_with(host, address, leave)}
    return _early_plan(title, host, boot, kept)


def _goes_with(host: Host, address: Address, leave: tuple[Address, ...]) -> bool:
    """A function that has left the host has no group any more, but still its slot."""
    device = host.device(address)
    group = {member.address for member in host.group_of(device)} if device else {address}
    return any(other in group or same_slot(other, address) for other in leave)


def _early_plan(title: str, host: Host, boot: BootState, bound: dict[Address, Identity | None]) -> Plan:
    """`bound` None: whoever has the address, which is the device that has it now."""
    tool = initramfs_tool(boot)
    if isinstance(tool, Unknown):
        unknown = Finding(message=f"this host's initramfs is out of reach: {tool.why}", remedy=tool.remedy)
        return Plan(title=title, findings=(unknown,), devices=(BOOT,))
    there = host.identities(bound)
    known = {address: who or there.get(address) for address, who in bound.items()}
    early = (_early(host, boot, address, who) for address, who in known.items() if who is not None)
    files = early_files(tuple(early), tool)
    kept = {file.path for file in files}
    changes = tuple(
        step
        for step in (
            *(_write(boot, file) for file in files),
            *(_remove(boot, path) for path in PATHS if path not in kept),
        )
        if step is not None
    )
    return Plan(
        title=title,
        steps=_read_again((FileReader.UDEV, tool), changes),
        findings=tuple(_told_apart(known[address], address) for address, who in bound.items() if who is None),
        devices=(BOOT,),
    )


def _told_apart(who: Identity | None, address: Address) -> Finding:
    now = f"from now on only {who.ids} is" if who is not None else "nobody is there, and it is no longer"
    return Finding(
        message=f"whoever has {address} was bound early, as an earlier version wrote it: {now}",
        remedy="" if who is not None else "gpupass host early-bind DEVICE, when it is there",
        fatal=False,
    )


def _early(host: Host, boot: BootState, address: Address, identity: Identity) -> Early:
    device = host.device(address)
    driver = device.facts.host_driver if device else None
    return Early(address=address, identity=identity, module=boot.module(driver) if driver else None)


def _write(boot: BootState, file: HostFile, prune: bool = False) -> WriteFile | None:
    if boot.file(file.path) == file:
        return None
    why = _WHY.get(file.path, _IN_INITRAMFS)
    return WriteFile(path=file.path, text=file.text, mode=file.mode, prune=prune, why=why)


def _remove(boot: BootState, path: str, prune: bool = False) -> WriteFile | None:
    if boot.file(path) is None:
        return None
    return WriteFile(path=path, text=None, prune=prune, why="no longer wanted")


def _read_again(readers: tuple[FileReader, ...], changes: tuple[Deed, ...]) -> tuple[Deed, ...]:
    """The readers look when everything is written."""
    if not changes:
        return ()
    why = "so that it knows the files as they are now"
    return (
        *changes,
        *(Refresh(what=reader, why=why) for reader in readers),
    )


def _of_systemd(units: tuple[WriteFile, ...]) -> tuple[FileReader, ...]:
    return (FileReader.SYSTEMD,) if units else ()


def _optional(step: Deed | None) -> tuple[Deed, ...]:
    return () if step is None else (step,)


def _needs_systemd(boot: BootState) -> tuple[Finding, ...]:
    if boot.systemd:
        return ()
    return (Finding(message="systemd does not run this host", remedy="gpupass apply FILE, at every boot"),)
