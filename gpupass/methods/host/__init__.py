"""The host works with the device."""

from gpupass.method import Nothing
from gpupass.methods.host.plan import cut as cut
from gpupass.methods.host.plan import export as export
from gpupass.methods.host.rule import HostRule
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "host"
RULE: type[Rule] = HostRule
TAKES = frozenset({CarrierKind.FUNCTION, CarrierKind.VF, CarrierKind.BUS})
STEPS: tuple[type[Deed], ...] = ()
MARKS: tuple[type[Mark], ...] = ()

read = Nothing.read
alike = Nothing.alike
company = Nothing.company
asks = Nothing.asks
slots = Nothing.slots
clear = Nothing.clear
seen_after = Nothing.seen_after
renew = Nothing.renew
lend_findings = Nothing.lend_findings
unseen = Nothing.unseen
adopt = Nothing.adopt
foreign = Nothing.foreign
owner = Nothing.owner
users = Nothing.users
carries = Nothing.carries
