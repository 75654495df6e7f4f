"""Virtual functions of any physical function with SR-IOV: how many, and who drives each; pure."""

from collections.abc import Iterator

from gpupass.methods.mig_ownership import ours
from gpupass.methods.mig_plan import instances
from gpupass.methods.passthrough import plan_bind
from gpupass.model.host import Device, Host, Sriov
from gpupass.model.profile import HostRule, Rule, SriovRule, Vf
from gpupass.model.record import Record, RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.model.vendor import Vendor
from gpupass.plan import Disruption, Finding, Plan, adopt_or_take_over
from gpupass.step import Deed
from gpupass.steps.bind import BindDriver
from gpupass.steps.record import WriteRecord
from gpupass.steps.vfs import SetVfs

_KERNELS_CHOICE = True  # sriov_drivers_autoprobe as the kernel sets it (drivers/pci/iov.c)


def supports(device: Device) -> str | None:
    """None: it can have VFs; else why not."""
    if device.physfn is not None:
        return f"{device.address} is itself a virtual function of {device.physfn}"
    if device.facts.sriov is None:
        return f"{device.address} has no SR-IOV capability, or the firmware has switched it off"
    return None


def vf_part(number: int) -> str:
    """What VF `number` is called among the slots of its PF."""
    return f"vf{number}"


def slots(host: Host, pf: Device) -> Iterator[Slot]:
    sriov = pf.facts.sriov
    for vf in host.devices_at(sriov.vfs) if sriov is not None else ():
        number = sriov.vfs.index(vf.address) if sriov is not None else 0
        yield Slot(kind=SlotKind.VF, device=vf.address, of=pf.address, part=vf_part(number))


def cut(host: Host, pf: Device, rule: SriovRule) -> Plan:
    """As many VFs as the rule says."""
    why_not = supports(pf)
    if why_not is not None:
        finding = Finding(message=why_not, remedy=f"gpupass show {pf.address}")
        return Plan(title=f"cut {pf.address}", findings=(finding,))
    script = by_script(host, pf)
    autoprobe = rule.vf.autoprobe if rule.vfs else autoprobe_before(host, pf)
    if script and pf.facts.sriov is not None:
        autoprobe = pf.facts.sriov.autoprobe  # the script binds them itself
    return plan_vfs(host, pf, rule.vfs, autoprobe, rule.take_over, script)


def by_script(host: Host, pf: Device) -> bool:
    """NVIDIA's driver refuses sriov_numvfs where its own script is installed."""
    return host.sriov_manage and pf.vendor == Vendor.NVIDIA and pf.driver == "nvidia"


def uncut(host: Host, pf: Device, rule: Rule) -> Plan:
    """No VFs, where gpupass made them or may take them over; a host may work with those that others made."""
    sriov = pf.facts.sriov
    title = f"remove the virtual functions of {pf.address}"
    if sriov is None or not sriov.enabled:
        return Plan(title=title)
    if made_by_us(host, pf) is not None or rule.take_over:
        record = made_by_us(host, pf)
        script = by_script(host, pf) or (record is not None and record.script)
        return plan_vfs(host, pf, 0, autoprobe_before(host, pf), rule.take_over, script)
    left = f"{pf.address} has {sriov.enabled} virtual functions that gpupass did not make"
    return Plan(title=title, foreign=(left,) if isinstance(rule, HostRule) else ())


def made_by_us(host: Host, pf: Device) -> Record | None:
    """The record of our making its VFs, when that was since the last boot."""
    return host.record_of_this_boot(RecordKind.VFS, pf.address)


def plan_vfs(
    host: Host,
    pf: Device,
    count: int,
    autoprobe: bool,
    take_over: bool = False,
    script: bool = False,
    anew: bool = False,
) -> Plan:
    """Another number of VFs goes through 0, so none may be in use. Nothing to do when the number is right.

    `script`: by NVIDIA's sriov-manage; `anew`: the same number goes through 0, too.
    """
    title = f"make {count} virtual functions of {pf.address}"
    sriov = pf.facts.sriov
    same = sriov is not None and sriov.enabled == count and (not count or sriov.autoprobe == autoprobe)
    if sriov is None or (same and not anew):
        return Plan(title=title, devices=(pf.address,))
    record = made_by_us(host, pf)
    old = host.devices_at(sriov.vfs)
    gone = f"all {sriov.enabled} virtual functions" + (", made anew" if count else "")
    recount = anew or sriov.enabled != count
    if not recount and record is None and not take_over:  # autoprobe is about VFs to come
        return Plan(title=title, devices=(pf.address,))
    steps: list[Deed] = []
    if count and (record is None or record.vfs != count):
        made = Record(
            kind=RecordKind.VFS,
            address=pf.address,
            vfs=count,
            autoprobe=record.autoprobe if record is not None else sriov.autoprobe,
            script=script,
            boot_id=host.boot_id,
        )
        why = "so that they are known as gpupass's"
        steps.append(WriteRecord(kind=RecordKind.VFS, address=pf.address, record=made, why=why))
    if recount:
        steps += forget(host, old)
        through = ", and another number goes through none" if count and sriov.enabled else ""
        before = f"it has {sriov.enabled or 'none'}{through}"
    else:
        before = f"autoprobe is {'on' if sriov.autoprobe else 'off'}"
    steps.append(SetVfs(address=pf.address, count=count, autoprobe=autoprobe, script=script, why=before))
    if not count and record is not None:
        steps.append(
            WriteRecord(kind=RecordKind.VFS, address=pf.address, record=None, why="it has none any more")
        )
    return Plan(
        title=title,
        steps=tuple(steps),
        findings=(
            *_limits(pf, sriov, count),
            *(_script_limits(host, pf, sriov, count, take_over) if recount and script else ()),
            *(_foreign(pf, sriov, record, take_over, anew) if recount else ()),
            *(in_use(pf, old) if recount else ()),
        ),
        devices=(pf.address, *(vf.address for vf in old)),
        disruptions=(Disruption(victim=pf.address, loses=gone, at_work=False),)
        if recount and sriov.enabled
        else (),
    )


def autoprobe_before(host: Host, pf: Device) -> bool:
    """What the PF goes back to once it has no VFs."""
    record = made_by_us(host, pf)
    return record.autoprobe if record is not None and record.autoprobe is not None else _KERNELS_CHOICE


def plan_vf_drivers(host: Host, pf: Device, vf: Vf, take_over: bool = False) -> Plan:
    """Each VF to the driver its profile names."""
    sriov = pf.facts.sriov
    vfs = host.devices_at(sriov.vfs) if sriov is not None else ()
    plans = [plan for number, device in enumerate(vfs) if (plan := _plan_driver(host, device, vf, number))]
    steps = tuple(dict.fromkeys(step for plan in plans for step in plan.steps))  # a module is loaded once
    findings = tuple(finding for plan in plans for finding in plan.findings)
    if steps and made_by_us(host, pf) is None and not take_over:
        findings = (foreign(pf, "other drivers for its virtual functions"), *findings)
    return Plan(
        title=f"drive the virtual functions of {pf.address}",
        steps=steps,
        findings=findings,
        devices=tuple(device.address for device in vfs),
    )


def wanted_driver(vf: Vf, number: int) -> str | None:
    return next((entry.driver for entry in vf.drivers if entry.index == number), vf.driver)


def _plan_driver(host: Host, device: Device, vf: Vf, number: int) -> Plan | None:
    """None: nothing to do. The driver of one that a domain has is for when it is back."""
    driver = wanted_driver(vf, number)
    if device.driver == driver or any(user.kind is UserKind.DOMAIN for user in device.users):
        return None
    origin = host.record_of_this_boot(RecordKind.ORIGIN, device.address)
    if origin is not None and origin.driver == driver:
        return _back(device, origin)
    if driver is not None:
        return plan_bind(host, device, driver)
    if vf.autoprobe:
        return None
    step = BindDriver(address=device.address, driver=None, override=None, why="no driver is asked for")
    return Plan(title=f"unbind {device.address}", steps=(step,), findings=tuple(in_use(device, (device,))))


def _back(device: Device, origin: Record) -> Plan:
    back = BindDriver(
        address=device.address, driver=origin.driver, override=origin.override, why="the driver it had before"
    )
    forget = WriteRecord(kind=RecordKind.ORIGIN, address=device.address, record=None, why="no longer needed")
    title = f"give {device.address} back"
    return Plan(title=title, steps=(back, forget), findings=tuple(in_use(device, (device,))))


def foreign(pf: Device, what: str) -> Finding:
    return Finding(
        message=f"{pf.address} has virtual functions that gpupass did not make; the profile wants {what}",
        remedy=adopt_or_take_over(pf.address),
    )


def _foreign(
    pf: Device, sriov: Sriov, record: Record | None, take_over: bool, anew: bool
) -> Iterator[Finding]:
    if sriov.enabled and record is None and not take_over:
        yield foreign(pf, "them made anew" if anew else "another number of them")


def _limits(pf: Device, sriov: Sriov, count: int) -> Iterator[Finding]:
    if count > sriov.total:
        yield Finding(
            message=f"{pf.address} can have {sriov.total} virtual functions at most, not {count}",
            remedy=f"vfs: {sriov.total}",
        )
    elif count and (pf.driver is None or pf.on_vfio):
        yield Finding(
            message=f"{pf.address} has no driver that could make virtual functions",
            remedy=f"gpupass show {pf.address}",
        )


def in_use(pf: Device, vfs: tuple[Device, ...]) -> Iterator[Finding]:
    """Removing a VF that somebody has open never returns (vfio_unregister_group_dev), so it is not tried."""
    for vf in vfs:
        user = _user(vf)
        if user is not None:
            domain = user.kind is UserKind.DOMAIN
            yield Finding(
                message=f"{vf.address} of {pf.address} is in use by "
                + (f"domain {user.name}" if domain else f"{user.name} ({user.detail})"),
                remedy=f"gpupass detach {user.name} {vf.address}" if domain else "stop using it",
            )


def _script_limits(host: Host, pf: Device, sriov: Sriov, count: int, take_over: bool) -> Iterator[Finding]:
    """It makes all or none, and binds the GPU anew."""
    if 0 < count < sriov.total:
        yield Finding(
            message=f"NVIDIA's sriov-manage makes all {sriov.total} virtual functions of {pf.address}, "
            f"not {count}",
            remedy=f"vfs: {sriov.total}",
        )
    names = [one.name for one in instances(pf)]
    others = [name for name in names if name not in ours(host, pf, names)]
    if others and not take_over:
        yield Finding(
            message=f"{pf.address} has {', '.join(others)}, which gpupass did not make and which another "
            "number of virtual functions loses",
            remedy=adopt_or_take_over(pf.address),
        )


def _user(vf: Device) -> User | None:
    """A domain says more than the QEMU process that belongs to it; a persistent definition uses nothing."""
    order = (UserKind.DOMAIN, UserKind.DISK, UserKind.NETWORK, UserKind.PROCESS)
    users = sorted((user for user in vf.users if user.kind in order), key=lambda user: order.index(user.kind))
    return users[0] if users else None


def forget(host: Host, vfs: tuple[Device, ...]) -> Iterator[Deed]:
    for vf in vfs:
        for kind in (RecordKind.CLAIM, RecordKind.ORIGIN):
            if host.record(kind, vf.address) is not None:
                yield WriteRecord(kind=kind, address=vf.address, record=None, why="this function goes")
