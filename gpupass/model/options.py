"""How a domain has a slot: what an attachment may say beside domain and device, spelled alike everywhere.

What is not said (None) is left as it is; `default` takes back what was said before.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.key import Key

DEFAULT, NONE = "default", "none"
VFIO, IOMMUFD = "vfio", "iommufd"


class BarSize(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: Annotated[int, Key("number of the BAR", choices=(0, 1, 2, 3, 4, 5))]
    size: Annotated[str, Key("its size", pattern=r"[1-9][0-9]{0,3}[MGT]", form="a size like 256M or 16G")]

    @property
    def bytes(self) -> int:
        return int(self.size[:-1]) << {"M": 20, "G": 30, "T": 40}[self.size[-1]]

    def __str__(self) -> str:
        return f"{self.index}={self.size}"


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every field is one option; None: nobody has said anything."""

    rom: Annotated[
        str | None,
        Key(
            "ROM that the guest sees of it: an absolute path, none, or default: the device's own",
            pattern=r"none|default|/\S.{0,1022}",
        ),
    ] = None
    guest_address: Annotated[
        Address | None,
        Key("its PCI address in the guest, on a free hot-plug port: 05:00.0", spelled="guest-address"),
    ] = None
    driver: Annotated[
        str | None, Key("how QEMU opens it; iommufd takes libvirt 12.1", choices=(VFIO, IOMMUFD))
    ] = None

    reset_method: Annotated[
        str | None,
        Key(
            "how it is reset: a name that its reset_method lists, or default",
            spelled="reset-method",
            pattern=r"[a-z_]{2,20}",
            form="flr, bus, pm, device_specific, …, or default",
        ),
    ] = None
    disable_idle_d3: Annotated[
        bool | None, Key("it never sleeps while nobody uses it", spelled="disable-idle-d3")
    ] = None
    bar: Annotated[
        tuple[BarSize, ...], Key("sizes of its resizable BARs, by number: {1: 16G}", mapping=True)
    ] = ()

    mac: Annotated[
        str | None,
        Key(
            "MAC of a network's virtual function, or default: its guest chooses",
            pattern=r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}|default",
            form="like 52:54:00:12:34:56, of one station",
        ),
    ] = None
    vlan: Annotated[
        int | None, Key("VLAN that it is in without its guest's knowing, up to 4094; 0: none", minimum=0)
    ] = None
    trust: Annotated[bool | None, Key("its guest may change its MAC and hear what is not for it")] = None
    rate: Annotated[
        int | None, Key("what it may send at most, in Mbit/s; 0: as much as it can", minimum=0)
    ] = None

    qemu_property: Annotated[
        tuple[str, ...],
        Key(
            "what QEMU's vfio-pci has and libvirt has no element for: refused, with the way that works",
            spelled="qemu-property",
            pattern=r"[a-z][a-z0-9-]{0,62}=[\w.:+-]{1,62}",
            form="NAME=VALUE, like x-igd-opregion=on",
        ),
    ] = ()

    @property
    def set_it(self) -> bool:
        """Something of the device itself."""
        return self != self.in_xml

    @property
    def in_xml(self) -> "Options":
        """Those that libvirt is told."""
        return Options(rom=self.rom, guest_address=self.guest_address, driver=self.driver)

    @property
    def rom_file(self) -> str | None:
        return self.rom if self.rom not in (None, NONE, DEFAULT) else None

    @property
    def said(self) -> "Options | None":
        """None where there are none."""
        return None if self == UNSAID else self

    def over(self, others: "Options") -> "Options":
        """These, and where they say nothing the others."""
        return replace(others, **dict(self._said()))

    @property
    def words(self) -> str:
        """rom none, guest-address 0000:05:00.0"""
        return ", ".join(f"{name.replace('_', '-')} {_word(value)}" for name, value in self._said())

    def _said(self) -> Iterator[tuple[str, Any]]:
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return ((name, value) for name, value in values if value not in (None, ()))


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


UNSAID = Options()
