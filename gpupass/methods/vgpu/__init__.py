"""NVIDIA vGPUs, of both frameworks."""

from gpupass.method import Method
from gpupass.methods.vgpu import made, plan
from gpupass.methods.vgpu.card import SetVgpuScheduler, SetVgpuSharing
from gpupass.methods.vgpu.made import Made
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.methods.vgpu.steps import SetVgpuType

VGPU = Method(
    rule=VgpuRule,
    steps=(SetVgpuScheduler, SetVgpuSharing, SetVgpuType),
    marks=(Made,),
    asks=plan.asks,
    slots=made.slots,
    cut=plan.cut,
    clear=plan.clear,
    seen_after=plan.seen_after,
    renew=plan.renew,
    lend_findings=plan.lend_findings,
    export=plan.export,
    adopt=plan.adopt,
    foreign=plan.foreign,
    owner=plan.owner,
    users=plan.users,
    carries=plan.carries,
)
