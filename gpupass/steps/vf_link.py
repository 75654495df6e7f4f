"""What a physical function lets one of its virtual ones be on the network: MAC, VLAN, trust, rate.

libvirt's <interface type='hostdev'> sets MAC and VLAN alone, by the same netlink messages of the physical
function's interface; ip(8) sets all four, whatever plugs the virtual function in.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from gpupass.errors import GpupassError
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Host
from gpupass.model.vf_link import MAC, NOBODYS, RATE, TRUST, VLAN, VfLink
from gpupass.model.wire import from_json
from gpupass.steps.tuning import Tuning, still_ours
from gpupass.system import System

_WORDS = {MAC: "mac", VLAN: "vlan", TRUST: "trust", RATE: "max_tx_rate"}


class SetVf(Tuning, frozen=True, kw_only=True):
    """One of them. ValueError: there is no such setting."""

    pf: Address
    setting: str
    value: str

    Before: ClassVar[Any] = str | None

    def __post_init__(self) -> None:
        if self.setting not in _WORDS:
            raise ValueError(f"{self.setting!r} is no setting of a virtual function")

    def words(self) -> str:
        return f"set {self.setting} of {self.address} to {self.value}{self._as}"

    def after(self, host: Host) -> Host:
        return host.linked(self.address, self.setting, self.value)

    def current(self, system: System) -> str | None:
        """None: nobody tells."""
        link = read_links(system, self.pf).get(self.address)
        return link.value(self.setting) if link is not None else None

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the driver does not know it, or makes something else of it."""
        self._set(system, self.value)

    def undo(self, before: Any, system: System) -> None:
        def look() -> str:
            return f"ip -details link show dev {interface_of(system, self.pf)}"

        if still_ours(f"{self.setting} of {self.address}", self.current(system), self.value, before, look):
            self._set(system, before)

    def _set(self, system: System, value: str) -> None:
        if self.current(system) == value:
            return
        pf, what = self.pf, f"set {self.setting} of {self.address} to {value}"
        name, number = interface_of(system, pf), _numbers(system, pf).get(self.address)
        if name is None or number is None:
            raise GpupassError(f"cannot {what}: it is not a VF of {pf} any more", f"gpupass show {pf}")
        line = ("ip", "link", "set", "dev", name, "vf", str(number), _WORDS[self.setting], value)
        hint = f"ip -details link show dev {name}"
        try:
            system.run(*line, timeout=10.0, about=(pf, self.address))
        except GpupassError as error:
            raise GpupassError(f"cannot {what}: {error.message.rpartition(': ')[2]}", hint) from None
        now = self.current(system)
        if now != value:
            raise GpupassError(f"cannot {what}: the driver of {pf} made it {now or 'nothing'}", hint)


def interface_of(system: System, pf: Address) -> str | None:
    """The network interface of a physical function; None where it has none, or several."""
    names = system.names(sysfs(pf, "net"))
    return names[0] if len(names) == 1 else None


def _numbers(system: System, pf: Address) -> dict[Address, int]:
    links = ((name, system.link(sysfs(pf, name))) for name in system.names(sysfs(pf)))
    return {
        Address(vf): int(name.removeprefix("virtfn"))
        for name, vf in links
        if vf is not None and name.startswith("virtfn")
    }


def read_links(system: System, pf: Address) -> dict[Address, VfLink]:
    """Of its virtual functions; empty where nobody tells."""
    name = interface_of(system, pf)
    if name is None:
        return {}
    try:
        said = system.run("ip", "-details", "-json", "link", "show", "dev", name, timeout=10.0)
    except GpupassError:
        return {}
    told = parse_links(said)
    return {vf: told[number] for vf, number in _numbers(system, pf).items() if number in told}


def parse_links(said: str) -> Mapping[int, VfLink]:
    """What `ip -json` says, by the numbers of the VFs; empty where it means nothing."""
    try:
        (interface,) = from_json(said, Any)
        return {int(told["vf"]): _link(told) for told in interface.get("vfinfo_list", ())}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _link(told: Mapping[str, Any]) -> VfLink:
    """iproute2 (ip/ipaddress.c) has had `mac` and `vlan` where it has `address` and a list now."""
    vlans = told.get("vlan_list") or [told]
    return VfLink(
        mac=str(told.get("address", told.get("mac", NOBODYS))).lower(),
        vlan=int(vlans[0].get("vlan", 0)),
        trust=told.get("trust") is True,
        rate=int((told.get("rate") or {}).get("max_tx", 0)),
    )
