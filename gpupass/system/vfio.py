"""VFIO hot reset: the secondary bus reset of functions that share a slot and have no reset of their own.

Source: linux/vfio.h, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET. The kernel does it
only when every function on the bus belongs to a group whose file the caller holds.
"""

import errno
import fcntl
import os
import struct

from gpupass.system.guarded import Hung, guarded

_BASE = ord(";") << 8 | 100
_SET_IOMMU = _BASE + 2
_GROUP_GET_STATUS = _BASE + 3
_GROUP_SET_CONTAINER = _BASE + 4
_GROUP_GET_DEVICE_FD = _BASE + 6
_PCI_HOT_RESET = _BASE + 13
_TYPE1_IOMMU = 1
_VIABLE = 1
_OPEN_SECONDS = 5.0
_RESET_SECONDS = 30.0


def group_is_closed(group: int) -> bool | None:
    """Does nobody have a device of the group open? None: there is no such file to ask.

    The kernel lets one opener in at a time, devices opened through iommufd included (vfio/group.c:
    vfio_group_fops_open), so being let in proves it.
    """

    def let_in() -> bytes:
        os.close(os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC))
        return b""

    try:
        guarded(let_in, _OPEN_SECONDS)
    except OSError as error:
        return False if error.errno == errno.EBUSY else None
    except Hung:
        return False
    return True


def hot_reset(group: int, address: str) -> None:
    """Reset the slot of `address`, whose functions all lie in IOMMU `group`; OSError when refused, Hung."""
    guarded(lambda: _hot_reset(group, address), _RESET_SECONDS)


def _hot_reset(group: int, address: str) -> bytes:
    held = []
    try:
        container = os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)
        held.append(container)
        group_fd = os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC)
        held.append(group_fd)
        status = bytearray(struct.pack("II", 8, 0))
        fcntl.ioctl(group_fd, _GROUP_GET_STATUS, status)
        if not struct.unpack("II", status)[1] & _VIABLE:
            raise OSError(errno.EBUSY, "a member of the group is bound to a host driver")
        fcntl.ioctl(group_fd, _GROUP_SET_CONTAINER, struct.pack("i", container))
        fcntl.ioctl(container, _SET_IOMMU, _TYPE1_IOMMU)
        device = fcntl.ioctl(group_fd, _GROUP_GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
        held.append(device)
        fcntl.ioctl(device, _PCI_HOT_RESET, bytearray(struct.pack("IIIi", 16, 0, 1, group_fd)))
        return b""
    finally:
        for fd in reversed(held):
            os.close(fd)
