"""All checks there are, in the order in which they are told."""

from gpupass.doctor.check import Check
from gpupass.doctor.checks.devices import DEVICES
from gpupass.doctor.checks.display import DISPLAY
from gpupass.doctor.checks.firmware import FIRMWARE
from gpupass.doctor.checks.guests import GUEST_CHECKS
from gpupass.doctor.checks.isolation import ISOLATION
from gpupass.doctor.checks.kernel import KERNEL
from gpupass.doctor.checks.libvirt import LIBVIRT
from gpupass.doctor.checks.nvidia import NVIDIA_CHECKS
from gpupass.doctor.checks.owners import OWN, OWNERS
from gpupass.doctor.checks.vendors import VENDORS
from gpupass.doctor.checks.vfio import VFIO_CHECKS

SUBJECTS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    ("processor and firmware", FIRMWARE),
    ("isolation", ISOLATION),
    ("VFIO", VFIO_CHECKS),
    ("kernel", KERNEL),
    ("devices", DEVICES),
    ("displays", DISPLAY),
    ("NVIDIA", NVIDIA_CHECKS),
    ("AMD, Intel and parts", VENDORS),
    ("libvirt and QEMU", LIBVIRT),
    ("guests", GUEST_CHECKS),
    ("other owners", OWNERS),
    ("gpupass", OWN),
)
CHECKS: tuple[Check, ...] = tuple(check for _, checks in SUBJECTS for check in checks)
