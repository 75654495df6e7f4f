"""Virtual functions as they are → the rule that asks for nothing else; pure."""

from msgspec.structs import replace

from gpupass.methods.sriov.making import by_script, vfs_of
from gpupass.methods.sriov.rule import Share, SriovRule, Turn, Vf, VfDriver, VfShare
from gpupass.model.host import Device, Host, Sriov
from gpupass.model.intel import Intel, Knob
from gpupass.model.profile import Rule

_MIB = 1 << 20


def as_it_is(host: Host, pf: Device, sriov: Sriov, as_rule: Rule) -> SriovRule:
    autoprobe = sriov.autoprobe and not by_script(host, pf)  # which binds them whatever it says
    vf, own = _shares(pf.facts.intel, sriov.enabled, _vf(vfs_of(host, pf), autoprobe))
    return SriovRule(
        name=as_rule.name,
        select=as_rule.select,
        vfs=sriov.enabled,
        vf=vf,
        pf=own,
        take_over=as_rule.take_over,
    )


def _vf(vfs: tuple[Device, ...], autoprobe: bool) -> Vf:
    drivers = [vf.driver for vf in vfs]
    common = max(dict.fromkeys(drivers), key=drivers.count, default=None)
    others = tuple(
        VfDriver(index=number, driver=driver) for number, driver in enumerate(drivers) if driver != common
    )
    return Vf(driver=common, autoprobe=autoprobe, drivers=others)


def _shares(intel: Intel | None, count: int, vf: Vf) -> tuple[Vf, Turn]:
    """What most VFs have is said once. No limit is said, too: a rollback has to bring it back."""
    if intel is None:
        return vf, Turn()
    had = [
        Share(
            quantum=_value(intel.quantum, number),
            timeout=_value(intel.timeout, number),
            memory=(_value(intel.memory, number) or 0) // _MIB or None,
        )
        for number in range(count)
    ]
    quantum = _common([share.quantum for share in had])
    timeout = _common([share.timeout for share in had])
    memory = _common([share.memory for share in had])
    own = [
        Share(
            quantum=share.quantum if share.quantum != quantum else None,
            timeout=share.timeout if share.timeout != timeout else None,
            memory=share.memory if share.memory != memory else None,
        )
        for share in had
    ]
    shares = tuple(VfShare(index=at, share=share) for at, share in enumerate(own) if share != Share())
    pf = Turn(quantum=_value(intel.quantum, None), timeout=_value(intel.timeout, None))
    return replace(vf, quantum=quantum, timeout=timeout, memory=memory, shares=shares), pf


def _value(knob: Knob | None, vf: int | None) -> int | None:
    return knob.value(vf) if knob is not None else None


def _common(values: list[int | None]) -> int | None:
    return max(dict.fromkeys(values), key=values.count)
