"""A whole function, with its IOMMU group, for a domain."""

from gpupass.method import Method
from gpupass.methods.passthrough import plan
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.carrier import CarrierKind

PASSTHROUGH = Method(
    rule=PassthroughRule,
    takes=frozenset({CarrierKind.FUNCTION, CarrierKind.VF}),
    slots=plan.slots,
    cut=plan.cut,
    export=plan.export,
    users=plan.users,
)
