"""NVIDIA MIG: GPU instances."""

from gpupass.method import Nothing
from gpupass.methods.mig.mode import SetMigMode
from gpupass.methods.mig.ownership import Made
from gpupass.methods.mig.plan import adopt as adopt
from gpupass.methods.mig.plan import clear as clear
from gpupass.methods.mig.plan import cut as cut
from gpupass.methods.mig.plan import export as export
from gpupass.methods.mig.plan import foreign as foreign
from gpupass.methods.mig.plan import owner as owner
from gpupass.methods.mig.plan import slots as slots
from gpupass.methods.mig.plan import unseen as unseen
from gpupass.methods.mig.plan import users as users
from gpupass.methods.mig.rule import MigRule
from gpupass.methods.mig.steps import SetComputeInstance, SetGpuInstance
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "mig"
RULE: type[Rule] = MigRule
TAKES = frozenset({CarrierKind.FUNCTION})
STEPS: tuple[type[Deed], ...] = (SetMigMode, SetComputeInstance, SetGpuInstance)
MARKS: tuple[type[Mark], ...] = (Made,)

read = Nothing.read
alike = Nothing.alike
company = Nothing.company
asks = Nothing.asks
seen_after = Nothing.seen_after
renew = Nothing.renew
lend_findings = Nothing.lend_findings
carries = Nothing.carries
