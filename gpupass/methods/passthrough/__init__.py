"""A whole function, with its IOMMU group, for a domain."""

from gpupass.method import Nothing
from gpupass.methods.passthrough.plan import cut as cut
from gpupass.methods.passthrough.plan import export as export
from gpupass.methods.passthrough.plan import slots as slots
from gpupass.methods.passthrough.plan import users as users
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "passthrough"
RULE: type[Rule] = PassthroughRule
TAKES = frozenset({CarrierKind.FUNCTION, CarrierKind.VF})
STEPS: tuple[type[Deed], ...] = ()
MARKS: tuple[type[Mark], ...] = ()

read = Nothing.read
alike = Nothing.alike
company = Nothing.company
asks = Nothing.asks
clear = Nothing.clear
seen_after = Nothing.seen_after
renew = Nothing.renew
lend_findings = Nothing.lend_findings
unseen = Nothing.unseen
adopt = Nothing.adopt
foreign = Nothing.foreign
owner = Nothing.owner
carries = Nothing.carries
