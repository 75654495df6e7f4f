"""Which device it is that has an address: cards are added and pulled out, and then it is another one's."""

from msgspec import Struct


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a function keeps as long as it is that function, whoever drives it.

    `subsystem` is vendor:device of the board, `serial` the PCI Express Device Serial Number. "": there is
    none, or it was not to be read: an ordinary user sees no serial number, a device that is lost has none.
    """

    ids: str  # vendor:device, 10de:2204
    subsystem: str = ""
    serial: str = ""

    def contradicts(self, other: "Identity") -> bool:
        """Another device for certain: what only one of them tells speaks for nothing."""
        return _first_difference(self, other) is not None

    def is_surely(self, other: "Identity") -> bool:
        """The same piece of hardware, wherever it sits."""
        return bool(self.serial) and self.serial == other.serial and not self.contradicts(other)

    def beside(self, other: "Identity") -> str:
        """For people, as far as it takes to tell it from the other one."""
        difference = _first_difference(self, other)
        more = {None: "", "ids": "", "subsystem": self.subsystem, "serial": self.serial}[difference]
        return f"{self.ids} ({difference} {more})" if more else self.ids


def _first_difference(one: Identity, other: Identity) -> str | None:
    for field in ("ids", "subsystem", "serial"):
        mine, its = getattr(one, field), getattr(other, field)
        if mine and its and mine != its:
            return field
    return None
