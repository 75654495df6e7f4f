"""What a profile may ask of NVIDIA vGPUs."""

from typing import Annotated, ClassVar

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.model.mig import LayoutEntry
from gpupass.model.profile import Rule, Said
from gpupass.model.types import TYPE_FORM, TypeCount, why_no_type


class VgpuParam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing a vGPU's plugin is told when its guest starts."""

    name: Annotated[str, Key("parameter", pattern=r"[A-Za-z][A-Za-z0-9_.-]{0,62}", form=TYPE_FORM)]
    value: Annotated[
        str, Key("value", pattern=r"[A-Za-z0-9_.:/-]{1,63}", form="letters, digits, or one of '_.:/-'")
    ]


class VgpuRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: vgpu`: NVIDIA vGPUs for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    use: ClassVar[str] = "vgpu"
    whole: ClassVar[bool] = True
    mediates: ClassVar[bool] = True

    types: Annotated[
        tuple[TypeCount, ...], Key("how many of which type: {A100-4C: 3, A100-8C: 1}", mapping=True)
    ]
    layout: Annotated[
        tuple[LayoutEntry, ...] | str | None,
        Key(
            "GPU instances for MIG-backed types (H100-1-10C), as in use: mig",
            short="profile",
            word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
        ),
    ] = None
    params: Annotated[
        tuple[VgpuParam, ...], Key("vgpu_params of each, {frame_rate_limiter: 0}", mapping=True)
    ] = ()
    scheduler: Annotated[
        str | None, Key("how they take turns", choices=("best-effort", "equal-share", "fixed-share"))
    ] = None

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        return why_no_type(rule, cls.use, part)

    def names(self, part: str) -> bool:
        return any(part in one.parts for one in self.types)
