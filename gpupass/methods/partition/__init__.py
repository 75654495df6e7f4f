"""AMD GPUs in parts: compute partitions and memory modes."""

from gpupass.method import Nothing
from gpupass.methods.partition.ownership import Made
from gpupass.methods.partition.plan import adopt as adopt
from gpupass.methods.partition.plan import alike as alike
from gpupass.methods.partition.plan import company as company
from gpupass.methods.partition.plan import cut as cut
from gpupass.methods.partition.plan import export as export
from gpupass.methods.partition.plan import owner as owner
from gpupass.methods.partition.plan import slots as slots
from gpupass.methods.partition.rule import PartitionRule
from gpupass.methods.partition.steps import SetComputePartition, SetMemoryPartition
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "partition"
RULE: type[Rule] = PartitionRule
TAKES = frozenset({CarrierKind.FUNCTION})
STEPS: tuple[type[Deed], ...] = (SetComputePartition, SetMemoryPartition)
MARKS: tuple[type[Mark], ...] = (Made,)

read = Nothing.read
asks = Nothing.asks
clear = Nothing.clear
renew = Nothing.renew
lend_findings = Nothing.lend_findings
unseen = Nothing.unseen
users = Nothing.users
carries = Nothing.carries
seen_after = Nothing.seen_after
foreign = Nothing.foreign
