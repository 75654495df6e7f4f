"""What a profile may ask of a whole function for a domain."""

from typing import Annotated, ClassVar

from gpupass.model.address import Address
from gpupass.model.key import Key
from gpupass.model.profile import ADDRESS, DRIVER, DRIVER_FORM, Rule, Said


class PassthroughRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: passthrough`: the whole function can be given to a domain."""

    use: ClassVar[str] = "passthrough"
    lends_whole: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    driver: Annotated[str, Key("the VFIO driver", pattern=DRIVER, form=DRIVER_FORM)] = "vfio-pci"
    with_: Annotated[
        tuple[Address, ...],
        Key("other devices of the IOMMU group that may move along", spelled="with", pattern=ADDRESS),
    ] = ()
    allow_boot_display: Annotated[
        bool, Key("take the boot display, too: the console goes dark", spelled="allow-boot-display")
    ] = False

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        return f"'{rule.get('name')}' says use: passthrough, and is attached as a whole" if part else ""
