"""What a profile may ask of mediated devices."""

from typing import Annotated, ClassVar

from gpupass.model.key import Key
from gpupass.model.profile import Rule, Said
from gpupass.model.types import TypeCount, why_no_type


class MdevRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: mdev`: mediated devices for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    use: ClassVar[str] = "mdev"
    mediates: ClassVar[bool] = True

    types: Annotated[tuple[TypeCount, ...], Key("how many of which type: {i915-GVTg_V5_4: 2}", mapping=True)]

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        return why_no_type(rule, cls.use, part)

    def names(self, part: str) -> bool:
        return any(part in one.parts for one in self.types)
