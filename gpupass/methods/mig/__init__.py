"""NVIDIA MIG: GPU instances."""

from gpupass.method import Method
from gpupass.methods.mig import plan
from gpupass.methods.mig.mode import SetMigMode
from gpupass.methods.mig.ownership import Made
from gpupass.methods.mig.rule import MigRule
from gpupass.methods.mig.steps import SetComputeInstance, SetGpuInstance

MIG = Method(
    rule=MigRule,
    steps=(SetMigMode, SetComputeInstance, SetGpuInstance),
    marks=(Made,),
    slots=plan.slots,
    cut=plan.cut,
    clear=plan.clear,
    export=plan.export,
    unseen=plan.unseen,
    adopt=plan.adopt,
    foreign=plan.foreign,
    owner=plan.owner,
    users=plan.users,
)
