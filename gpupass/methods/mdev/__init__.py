"""Mediated devices of any parent."""

from gpupass.devices.mediated import Made
from gpupass.method import Nothing
from gpupass.methods.mdev.plan import adopt as adopt
from gpupass.methods.mdev.plan import cut as cut
from gpupass.methods.mdev.plan import export as export
from gpupass.methods.mdev.plan import foreign as foreign
from gpupass.methods.mdev.plan import owner as owner
from gpupass.methods.mdev.plan import renew as renew
from gpupass.methods.mdev.plan import slots as slots
from gpupass.methods.mdev.plan import users as users
from gpupass.methods.mdev.rule import MdevRule
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "mdev"
RULE: type[Rule] = MdevRule
TAKES = frozenset({CarrierKind.FUNCTION, CarrierKind.BUS})
STEPS: tuple[type[Deed], ...] = ()
MARKS: tuple[type[Mark], ...] = (Made,)

read = Nothing.read
alike = Nothing.alike
company = Nothing.company
asks = Nothing.asks
seen_after = Nothing.seen_after
lend_findings = Nothing.lend_findings
unseen = Nothing.unseen
carries = Nothing.carries
clear = Nothing.clear
