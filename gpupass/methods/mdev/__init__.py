"""Mediated devices of any parent."""

from gpupass.devices.mediated import Made
from gpupass.method import Method
from gpupass.methods.mdev import plan
from gpupass.methods.mdev.rule import MdevRule
from gpupass.model.carrier import CarrierKind

MDEV = Method(
    rule=MdevRule,
    takes=frozenset({CarrierKind.FUNCTION, CarrierKind.BUS}),
    marks=(Made,),
    slots=plan.slots,
    cut=plan.cut,
    renew=plan.renew,
    export=plan.export,
    adopt=plan.adopt,
    foreign=plan.foreign,
    owner=plan.owner,
    users=plan.users,
)
