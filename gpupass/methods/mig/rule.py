"""What a profile may ask of GPU instances."""

from typing import Annotated, ClassVar

from gpupass.model.key import Key
from gpupass.model.mig import LayoutEntry
from gpupass.model.profile import Rule, Said


class MigRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: mig`: an NVIDIA GPU is cut into GPU instances, called NAME/3g.20gb@4: profile and first slice."""

    use: ClassVar[str] = "mig"

    layout: Annotated[
        tuple[LayoutEntry, ...] | str,
        Key(
            "GPU instances, as profiles (3g.20gb) or {profile, start, compute}; or a layout's name: "
            "balanced, empty, all-1g, all-1g.5gb+me",
            short="profile",
            word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
            also=("mig-devices", "instances", "profiles"),
        ),
    ]

    leave: bool = False  # asked by another way: whatever there is stays
    bare: bool = False  # asked by another way: who has an instance makes its compute instances
    used: tuple[tuple[int, str], ...] = ()  # likewise: ids of instances, and who of that way is on them

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        name = rule.get("name")
        return f"'{name}' says use: mig, whose slots have no PCI function; domains take those of use: vgpu"
