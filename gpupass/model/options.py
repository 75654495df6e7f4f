"""How a domain has a slot: what an attachment may say beside domain and device, spelled alike everywhere.

What is not said (None) is left as it is; `default` takes back what was said before.
"""

from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.key import Key

DEFAULT, NONE = "default", "none"
VFIO, IOMMUFD = "vfio", "iommufd"


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
        said = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return replace(others, **said)

    @property
    def words(self) -> str:
        """rom none, guest-address 0000:05:00.0"""
        names = (name for name in self.__struct_fields__ if getattr(self, name) is not None)
        return ", ".join(f"{name.replace('_', '-')} {getattr(self, name)}" for name in names)


UNSAID = Options()
