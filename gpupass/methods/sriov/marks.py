"""Whose the virtual functions of a device are."""

from typing import ClassVar

from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark

_KERNELS_CHOICE = True  # sriov_drivers_autoprobe as the kernel sets it (drivers/pci/iov.c)


class Made(Mark, frozen=True, kw_only=True, tag="sriov.made"):
    """So many were made by gpupass, by NVIDIA's sriov-manage (`script`) or by the kernel.

    `autoprobe`: sriov_drivers_autoprobe before.
    """

    vfs: int
    autoprobe: bool | None = None
    script: bool = False

    what: ClassVar[str] = "the virtual functions"


def made_by_us(host: Host, pf: Device) -> Made | None:
    """When that was since the last boot."""
    return host.mark_of_this_boot(Made, pf.address)


def remembered(host: Host, pf: Device, count: int, script: bool = False) -> Made:
    old, sriov = made_by_us(host, pf), pf.facts.sriov
    autoprobe = old.autoprobe if old is not None else sriov is None or sriov.autoprobe
    return Made(carrier=pf.address, vfs=count, autoprobe=autoprobe, script=script, boot_id=host.boot_id)


def autoprobe_before(host: Host, pf: Device) -> bool:
    """What the PF goes back to once it has no VFs."""
    mark = made_by_us(host, pf)
    return mark.autoprobe if mark is not None and mark.autoprobe is not None else _KERNELS_CHOICE
