"""How many virtual functions a device has, where the kernel or NVIDIA's script makes them; pure."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gpupass.devices.binding import origin_of
from gpupass.methods.sriov.marks import autoprobe_before, made_by_us, remembered
from gpupass.methods.sriov.rule import SriovRule
from gpupass.model.host import NVIDIA, Device, Host, Sriov
from gpupass.model.mark import Claim, MarkKey, Origin, tag_of
from gpupass.model.profile import Rule
from gpupass.model.user import User, UserKind
from gpupass.plan import Disruption, Draft, Finding, adopt_or_take_over
from gpupass.steps.vfs import SetVfs


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many virtual functions a device is to have; `rule` None: as few as its maker can make."""

    pf: Device
    count: int
    autoprobe: bool
    take_over: bool
    rule: SriovRule | None = None
    anew: bool = False  # the same number goes through none, too


def supports(device: Device) -> str | None:
    """None: it can have VFs; else why not."""
    if device.physfn is not None:
        return f"{device.address} is itself a virtual function of {device.physfn}"
    if device.facts.sriov is None:
        return f"{device.address} has no SR-IOV capability, or the firmware has switched it off"
    return None


def wish_of(host: Host, pf: Device, rules: tuple[Rule, ...], least: int = 0) -> Wish | None:
    """None: it stays as it is; a host may work with what others made."""
    rule = next((one for one in rules if isinstance(one, SriovRule)), None)
    take_over = any(one.take_over for one in rules)
    if rule is not None:
        autoprobe = rule.vf.autoprobe if rule.vfs else autoprobe_before(host, pf)
        return Wish(pf=pf, count=rule.vfs, autoprobe=autoprobe, take_over=take_over, rule=rule)
    sriov = pf.facts.sriov
    if sriov is None or sriov.enabled <= least or not (take_over or made_by_us(host, pf) is not None):
        return None
    return Wish(pf=pf, count=least, autoprobe=autoprobe_before(host, pf), take_over=take_over)


def vfs_of(host: Host, pf: Device) -> tuple[Device, ...]:
    """By number."""
    return host.devices_at(pf.facts.sriov.vfs) if pf.facts.sriov is not None else ()


def by_script(host: Host, pf: Device) -> bool:
    """NVIDIA's driver refuses sriov_numvfs where its own script is installed."""
    mark = made_by_us(host, pf)
    installed = host.sriov_manage and pf.driver == NVIDIA
    return installed or (mark is not None and mark.script)


def draft_of(host: Host, wish: Wish, keep: tuple[str, ...] = ()) -> Draft:
    """Another number goes through none, so none of them may be in use. Nothing when the number is right.

    `keep`: files of the PF that lose their values with the functions.
    """
    pf, sriov = wish.pf, wish.pf.facts.sriov
    if sriov is None:
        return Draft(devices=(pf.address,))
    script, mark = by_script(host, pf), made_by_us(host, pf)
    autoprobe = sriov.autoprobe if script else wish.autoprobe  # the script binds them itself
    recount = wish.anew or sriov.enabled != wish.count
    if not recount and not _autoprobe_moves(sriov, wish, autoprobe, mark is not None):
        return Draft(devices=(pf.address,))
    old = vfs_of(host, pf)
    end = SetVfs(
        address=pf.address,
        count=0,
        autoprobe=autoprobe,
        script=script,
        keep=keep,
        forgets=(*forgotten(host, old), *(() if wish.count or mark is None else (mark.key,))),
        why=f"it has {sriov.enabled}" + (", and another number goes through none" if wish.count else ""),
    )
    make = SetVfs(
        address=pf.address,
        count=wish.count,
        autoprobe=autoprobe,
        script=script,
        marks=(remembered(host, pf, wish.count, script),) if mark is None or mark.vfs != wish.count else (),
        why=f"it has {'none' if recount else sriov.enabled}",
    )
    loses = f"all {sriov.enabled} virtual functions" + (", made anew" if wish.count else "")
    going = recount and bool(sriov.enabled)
    return Draft(
        takes=(end,) if going else (),
        makes=(make,) if wish.count else (),
        findings=(
            *_limits(pf, sriov, wish.count),
            *(_script_limits(pf, sriov, wish.count) if recount and script else ()),
            *(_foreign(pf, sriov, mark is not None or wish.take_over, wish.anew) if recount else ()),
            *(in_use(pf, old) if recount else ()),
        ),
        losses=(Disruption(victim=pf.address, loses=loses, at_work=False),) if going else (),
        devices=(pf.address, *(vf.address for vf in old)),
    )


def forgotten(host: Host, vfs: Iterable[Device]) -> tuple[MarkKey, ...]:
    """What was remembered of functions that go."""
    return host.known((tag_of(kind), vf.address, "") for vf in vfs for kind in (Claim, Origin))


def foreign_functions(pf: Device, what: str) -> Finding:
    return Finding(
        message=f"{pf.address} has virtual functions that gpupass did not make; the profile wants {what}",
        remedy=adopt_or_take_over(pf.address),
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


def goes_home(host: Host, vf: Device, driver: str | None) -> Origin | None:
    """The driver that it is to have is the one that it had before."""
    origin = origin_of(host, vf)
    return origin if origin is not None and origin.driver == driver else None


def _autoprobe_moves(sriov: Sriov, wish: Wish, autoprobe: bool, ours: bool) -> bool:
    """It is about functions to come; those that others made are theirs."""
    return bool(wish.count) and sriov.autoprobe != autoprobe and (ours or wish.take_over)


def _foreign(pf: Device, sriov: Sriov, may: bool, anew: bool) -> Iterator[Finding]:
    if sriov.enabled and not may:
        yield foreign_functions(pf, "them made anew" if anew else "another number of them")


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


def _script_limits(pf: Device, sriov: Sriov, count: int) -> Iterator[Finding]:
    """It makes all or none."""
    if 0 < count < sriov.total:
        yield Finding(
            message=f"NVIDIA's sriov-manage makes all {sriov.total} virtual functions of {pf.address}, "
            f"not {count}",
            remedy=f"vfs: {sriov.total}",
        )


def _user(vf: Device) -> User | None:
    """A domain says more than the QEMU process that belongs to it; a persistent definition uses nothing."""
    order = (UserKind.DOMAIN, UserKind.DISK, UserKind.NETWORK, UserKind.PROCESS)
    users = sorted((user for user in vf.users if user.kind in order), key=lambda user: order.index(user.kind))
    return users[0] if users else None
