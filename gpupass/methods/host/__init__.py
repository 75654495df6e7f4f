"""The host works with the device."""

from gpupass.method import Method
from gpupass.methods.host import plan
from gpupass.methods.host.rule import HostRule
from gpupass.model.carrier import CarrierKind

HOST = Method(
    rule=HostRule,
    takes=frozenset({CarrierKind.FUNCTION, CarrierKind.VF, CarrierKind.BUS}),
    cut=plan.cut,
    export=plan.export,
)
