"""What an attachment sets of the device itself, and how it was before: set anew, kept or put back; pure.

What is set is remembered with its value before (Setting), ends with the attachment, and goes along to the
next guest of a move where nothing else is said.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from gpupass.lending.lender import Loan
from gpupass.model.address import Address
from gpupass.model.host import Bar, Device, Host
from gpupass.model.mark import Setting
from gpupass.model.options import DEFAULT, UNSAID, BarSize, Options
from gpupass.model.vf_link import MAC, RATE, TRUST, VLAN, VfLink
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed
from gpupass.steps.remember import Remember
from gpupass.steps.tuning import ALWAYS_ON, AS_VFIO_HAS_IT, POWER, RESET_METHOD, ResizeBar, Tune
from gpupass.steps.vf_link import SetVf

_BAR = "bar"
_OF_LINK = (MAC, VLAN, TRUST, RATE)
_MOST_VLANS = 4094
_DEVICE_SPECIFIC = "device_specific"
Wanted = dict[str, str | None]  # by setting; None: as it was before


def tuning(host: Host, loan: Loan) -> Draft:
    """What is not yet so; () where the domain may not have what it asks for."""
    device, wanted = host.device(loan.address), _wanted(loan.options)
    if device is None or not wanted:
        return NOTHING
    unfit = tuple(_unfit(host, device, loan))
    if unfit:
        return Draft(findings=unfit)
    steps = (_step(host, device, name, value) for name, value in wanted.items())
    return Draft(makes=tuple(step for step in steps if step is not None))


def in_its_guest(steps: Iterable[Deed]) -> bool:
    """Can all of that be set while a guest has it?"""
    return not any(isinstance(step, ResizeBar) or _is_mac(step) for step in steps)


def _is_mac(step: Deed) -> bool:
    """Its guest takes a new one at the next reset only."""
    return isinstance(step, SetVf) and step.setting == MAC


def untuned(host: Host, address: Address, options: Options = UNSAID) -> Draft:
    """As it was before it was lent, but for what the options say."""
    device, kept = host.device(address), _wanted(options)
    if device is None:
        return NOTHING
    marks = (mark for mark in host.marks_of(Setting, address) if mark.part not in kept)
    draft = NOTHING
    for mark in marks:
        if mark.boot_id != host.boot_id:
            forget = Remember(address=address, forgets=(mark.key,), why="the host has booted anew")
            draft += Draft(takes=(forget,))
        elif device.on_vfio or not mark.part.startswith(_BAR):
            draft += Draft(takes=(_back(device, mark),))
        else:
            draft += Draft(findings=(_stays(device, mark),))
    return draft


def settings_of(host: Host, address: Address, exact: bool = False) -> Options:
    """What its attachment has set of it; `exact`: also what is as usual, as far as it was looked at."""
    device = host.device(address)
    if device is None or device.detail is None:
        return UNSAID
    marks = {mark.part for mark in host.marks_of(Setting, address) if mark.boot_id == host.boot_id}
    methods = device.detail.reset_methods
    link, told = host.links.get(address, VfLink()), marks | set(_OF_LINK if exact else ())
    told &= set(_OF_LINK if address in host.links else ())
    bars = (bar for bar in device.detail.bars if f"{_BAR}{bar.index}" in marks or (exact and bar.sizes))
    return Options(
        reset_method=methods[0] if RESET_METHOD in marks and methods else DEFAULT if exact else None,
        disable_idle_d3=True if POWER in marks else False if exact else None,
        mac=None if MAC not in told else link.mac if MAC in marks else DEFAULT,
        vlan=link.vlan if VLAN in told else None,
        trust=link.trust if TRUST in told else None,
        rate=link.rate if RATE in told else None,
        bar=tuple(BarSize(index=bar.index, size=_text(bar.size)) for bar in bars if bar.size >= 1 << 20),
    )


def _wanted(options: Options) -> Wanted:
    found: Wanted = {f"{_BAR}{bar.index}": str(bar.bytes) for bar in options.bar}
    if options.reset_method is not None:
        found[RESET_METHOD] = None if options.reset_method == DEFAULT else options.reset_method
    if options.disable_idle_d3 is not None:
        found[POWER] = ALWAYS_ON if options.disable_idle_d3 else None
    if options.mac is not None:
        found[MAC] = None if options.mac == DEFAULT else options.mac.lower()
    for name, value in ((VLAN, options.vlan), (RATE, options.rate)):
        found |= {name: str(value)} if value is not None else {}
    return found | ({TRUST: "on" if options.trust else "off"} if options.trust is not None else {})


def _step(host: Host, device: Device, name: str, value: str | None) -> Deed | None:
    """None: it is so already."""
    mark = host.mark_of_this_boot(Setting, device.address, name)
    if value is None or (mark is not None and mark.before == value):
        return _back(device, mark) if mark is not None else None
    now = _now(host, device, name)
    if now == value:
        return None
    before = mark.before if mark is not None else now
    known = Setting(carrier=device.address, part=name, before=before, boot_id=host.boot_id)
    return _set(device, name, value, marks=(known,))


def _now(host: Host, device: Device, name: str) -> str:
    """Of what vfio-pci itself sets when it is bound: as that has it."""
    if name == RESET_METHOD:
        return " ".join(device.facts.reset_methods)
    if name in _OF_LINK:
        return host.links.get(device.address, VfLink()).value(name)
    if name == POWER:
        return ALWAYS_ON if device.on_vfio and device.address in host.awake else AS_VFIO_HAS_IT
    return str(_bar(device, int(name.removeprefix(_BAR))).size)


def _set(device: Device, name: str, value: str, marks: tuple[Setting, ...]) -> Deed:
    if name in _OF_LINK:
        return _of_link(device, name, value, marks=marks, why="asked for")
    if name.startswith(_BAR):
        number, driver = int(name.removeprefix(_BAR)), device.driver if device.on_vfio else None
        return ResizeBar(
            address=device.address, bar=number, size=int(value), driver=driver or "vfio-pci", marks=marks
        )
    return Tune(address=device.address, setting=name, value=value, marks=marks, why="asked for")


def _of_link(device: Device, name: str, value: str, **how: Any) -> SetVf:
    pf = device.physfn or device.address
    return SetVf(address=device.address, pf=pf, setting=name, value=value, **how)


def _back(device: Device, mark: Setting) -> Deed:
    forgets, why = (mark.key,), "as it was before it was lent"
    if mark.part in _OF_LINK:
        return _of_link(device, mark.part, mark.before, back=True, forgets=forgets, why=why)
    if mark.part.startswith(_BAR):
        number = int(mark.part.removeprefix(_BAR))
        return ResizeBar(
            address=device.address,
            bar=number,
            size=int(mark.before),
            driver=device.driver or "vfio-pci",
            back=True,
            forgets=forgets,
            why=why,
        )
    return Tune(
        address=device.address, setting=mark.part, value=mark.before, back=True, forgets=forgets, why=why
    )


def _stays(device: Device, mark: Setting) -> Finding:
    return Finding(
        message=f"{mark.part} of {device.address} stays {_text(_bar(device, int(mark.part[3:])).size)}: "
        f"{device.driver or 'nobody'} has it now, and it is changed without a driver only",
        remedy=f"gpupass bind {device.address} && gpupass unbind {device.address}",
        fatal=False,
    )


def _bar(device: Device, number: int) -> Bar:
    return next(
        (bar for bar in device.facts.bars if bar.index == number),
        Bar(index=number, size=0, prefetchable=False, is_64bit=False),
    )


def _unfit(host: Host, device: Device, loan: Loan) -> Iterator[Finding]:
    if loan.mdev is not None:
        names = ", ".join(_wanted(loan.options))
        yield Finding(
            message=f"{loan.mdev} is a mediated device, which has no {names} of its own",
            remedy=f"leave it out; of {loan.address} itself: a rule with use: passthrough",
        )
        return
    yield from _unfit_link(host, device, loan.options)
    yield from _unfit_reset(host, device, loan.options.reset_method)
    for wanted in loan.options.bar:
        yield from _unfit_bar(device, wanted)


def _unfit_reset(host: Host, device: Device, method: str | None) -> Iterator[Finding]:
    """The file lists what was chosen last; before gpupass chose, it had what there is."""
    mark = host.mark_of_this_boot(Setting, device.address, RESET_METHOD)
    offered = mark.before.split() if mark is not None else device.facts.reset_methods
    if method in (None, DEFAULT, *offered) or (method == _DEVICE_SPECIFIC and host.vendor_reset):
        return
    there = ", ".join(offered) or "none"
    remedy = f"echo default > /sys/bus/pci/devices/{device.address}/reset_method"
    yield Finding(
        message=f"the kernel knows no reset {method} for {device.address}: it offers {there}",
        remedy="modprobe vendor-reset" if method == _DEVICE_SPECIFIC else remedy,
    )


def _unfit_link(host: Host, device: Device, options: Options) -> Iterator[Finding]:
    names = ", ".join(name for name in _wanted(options) if name in _OF_LINK)
    if not names:
        return
    if device.physfn is None or not device.is_network:
        what = "virtual function of a network card" if device.is_network else "network function"
        yield Finding(
            message=f"{device.address} is no {what}, and so has no {names} to set",
            remedy="leave it out" if not device.is_network else "cut virtual functions: use: sriov",
        )
    elif device.address not in host.links:
        yield Finding(
            message=f"nobody tells of {names} of {device.address}: {device.physfn} has no network interface, "
            "or ip is not installed",
            remedy=f"gpupass unbind {device.physfn}; command -v ip",
        )
    elif options.vlan is not None and options.vlan > _MOST_VLANS:
        yield Finding(message=f"there is no VLAN {options.vlan}", remedy=f"up to {_MOST_VLANS}; 0 for none")


def _unfit_bar(device: Device, wanted: BarSize) -> Iterator[Finding]:
    bar = _bar(device, wanted.index)
    sriov = device.facts.sriov
    if wanted.bytes == bar.size:
        return
    if wanted.bytes not in bar.sizes:
        known = ", ".join(map(_text, bar.sizes))
        told = f"can be {known}" if known else "is not resizable, or the firmware does not let it be"
        yield Finding(
            message=f"BAR {wanted.index} of {device.address} {told}", remedy=f"gpupass show {device.address}"
        )
    if sriov is not None and sriov.enabled:
        yield Finding(
            message=f"BAR {wanted.index} of {device.address} is not changed while it has virtual functions",
            remedy=f"echo 0 > /sys/bus/pci/devices/{device.address}/sriov_numvfs",
        )


def _text(size: int) -> str:
    for unit, bits in (("T", 40), ("G", 30)):
        if size >= 1 << bits and not size % (1 << bits):
            return f"{size >> bits}{unit}"
    return f"{size >> 20}M"
