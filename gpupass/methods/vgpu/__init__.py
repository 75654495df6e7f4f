"""NVIDIA vGPUs, of both frameworks."""

from gpupass.method import Nothing
from gpupass.methods.vgpu.card import SetVgpuScheduler, SetVgpuSharing
from gpupass.methods.vgpu.made import Made
from gpupass.methods.vgpu.made import slots as slots
from gpupass.methods.vgpu.plan import adopt as adopt
from gpupass.methods.vgpu.plan import asks as asks
from gpupass.methods.vgpu.plan import carries as carries
from gpupass.methods.vgpu.plan import clear as clear
from gpupass.methods.vgpu.plan import cut as cut
from gpupass.methods.vgpu.plan import export as export
from gpupass.methods.vgpu.plan import foreign as foreign
from gpupass.methods.vgpu.plan import lend_findings as lend_findings
from gpupass.methods.vgpu.plan import owner as owner
from gpupass.methods.vgpu.plan import renew as renew
from gpupass.methods.vgpu.plan import seen_after as seen_after
from gpupass.methods.vgpu.plan import users as users
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.methods.vgpu.steps import SetVgpuType
from gpupass.model.carrier import CarrierKind
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.step import Deed

TAG = "vgpu"
RULE: type[Rule] = VgpuRule
TAKES = frozenset({CarrierKind.FUNCTION})
STEPS: tuple[type[Deed], ...] = (SetVgpuScheduler, SetVgpuSharing, SetVgpuType)
MARKS: tuple[type[Mark], ...] = (Made,)

read = Nothing.read
alike = Nothing.alike
company = Nothing.company

unseen = Nothing.unseen
