"""All checks there are, in the order in which they are told."""

from gpupass.doctor.check import Check
from gpupass.doctor.checks.firmware import FIRMWARE
from gpupass.doctor.checks.isolation import ISOLATION
from gpupass.doctor.checks.vfio import VFIO_CHECKS

SUBJECTS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    ("processor and firmware", FIRMWARE),
    ("isolation", ISOLATION),
    ("VFIO", VFIO_CHECKS),
)
CHECKS: tuple[Check, ...] = tuple(check for _, checks in SUBJECTS for check in checks)
