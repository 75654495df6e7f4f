"""What a profile may ask of an AMD GPU in parts."""

from typing import Annotated, ClassVar

from gpupass.model.key import Key
from gpupass.model.profile import Rule, Said

COMPUTES = ("SPX", "DPX", "TPX", "QPX", "CPX")
MEMORIES = ("NPS1", "NPS2", "NPS4", "NPS8")


class PartitionRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: partition`: an AMD GPU in parts, for containers of the host."""

    use: ClassVar[str] = "partition"

    compute: Annotated[
        str, Key("compute partitions: SPX is the whole GPU, CPX as many as it has dies", choices=COMPUTES)
    ]
    memory: Annotated[
        str | None, Key("memory partitions, of all GPUs of its hive; without it they stay", choices=MEMORIES)
    ] = None

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        name = rule.get("name")
        why = "whose slots have no PCI function; domains take those of use: sriov"
        return f"'{name}' says use: partition, {why}"
