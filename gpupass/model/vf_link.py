"""What a network's virtual function is allowed by its physical one."""

from msgspec import Struct

MAC, VLAN, TRUST, RATE = "mac", "vlan", "trust", "rate"
NOBODYS = "00:00:00:00:00:00"


class VfLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """VLAN 0: none; the rate in Mbit/s, 0: as fast as it can. A MAC of zeros: the guest chooses it."""

    mac: str = NOBODYS
    vlan: int = 0
    trust: bool = False
    rate: int = 0

    def value(self, setting: str) -> str:
        found = getattr(self, setting)
        return ("on" if found else "off") if isinstance(found, bool) else str(found)

    def having(self, setting: str, value: str) -> "VfLink":
        """With this value of it, as `value` spells it."""
        parts = {MAC: self.mac, VLAN: self.vlan, TRUST: self.trust, RATE: self.rate}
        parts[setting] = value if setting == MAC else value == "on" if setting == TRUST else int(value)
        return VfLink(**parts)  # type: ignore[arg-type]
