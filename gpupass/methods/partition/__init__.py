"""AMD GPUs in parts: compute partitions and memory modes."""

from gpupass.method import Method
from gpupass.methods.partition import plan
from gpupass.methods.partition.ownership import Made
from gpupass.methods.partition.rule import PartitionRule
from gpupass.methods.partition.steps import SetComputePartition, SetMemoryPartition

PARTITION = Method(
    rule=PartitionRule,
    steps=(SetComputePartition, SetMemoryPartition),
    marks=(Made,),
    alike=plan.alike,
    company=plan.company,
    slots=plan.slots,
    cut=plan.cut,
    export=plan.export,
    adopt=plan.adopt,
    owner=plan.owner,
)
