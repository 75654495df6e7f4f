"""Virtual functions, by whatever makes them: the kernel, NVIDIA's script, AMD's GIM."""

from gpupass.method import Method
from gpupass.methods.sriov import plan
from gpupass.methods.sriov.marks import Made
from gpupass.methods.sriov.rule import SriovRule
from gpupass.methods.sriov.steps import ReloadModule, SetMemoryMode, SetShare

SRIOV = Method(
    rule=SriovRule,
    steps=(ReloadModule, SetMemoryMode, SetShare),
    marks=(Made,),
    alike=plan.alike,
    company=plan.company,
    slots=plan.slots,
    cut=plan.cut,
    clear=plan.clear,
    export=plan.export,
    adopt=plan.adopt,
    foreign=plan.foreign,
    owner=plan.owner,
    users=plan.users,
)
