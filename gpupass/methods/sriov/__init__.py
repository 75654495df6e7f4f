"""Virtual functions, by whatever makes them: the kernel, NVIDIA's script, AMD's GIM."""

from gpupass.method import Nothing
from gpupass.methods.sriov.marks import Made
from gpupass.methods.sriov.plan import adopt as adopt
from gpupass.methods.sriov.plan import alike as alike
from gpupass.methods.sriov.plan import clear as clear
from gpupass.methods.sriov.plan import company as company
from gpupass.methods.sriov.plan import cut as cut
from gpupass.methods.sriov.plan import export as export
from gpupass.methods.sriov.plan import foreign as foreign
from gpupass.methods.sriov.plan import owner as owner
from gpupass.methods.sriov.plan import slots as slots
from gpupass.methods.sriov.plan import users as users
from gpupass.methods.sriov.rule import SriovRule
from gpupass.methods.sriov.steps import ReloadModule, SetMemoryMode, SetShare
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "sriov"
RULE: type[Rule] = SriovRule
TAKES = frozenset({CarrierKind.FUNCTION})
STEPS: tuple[type[Deed], ...] = (ReloadModule, SetMemoryMode, SetShare)
MARKS: tuple[type[Mark], ...] = (Made,)

read = Nothing.read
asks = Nothing.asks
seen_after = Nothing.seen_after
lend_findings = Nothing.lend_findings
unseen = Nothing.unseen
carries = Nothing.carries
renew = Nothing.renew
