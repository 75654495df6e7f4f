"""A file as the ROM of a device in a guest: root's alone, and what a PCI ROM looks like."""

import os
import stat

from gpupass.errors import Refused
from gpupass.system.trusted import require_roots

_MOST = 16 << 20  # an expansion ROM's BAR decodes no more (PCI Local Bus 3.0, 6.2.5.2)
_SIGNATURE = b"\x55\xaa"  # of every image in it (6.3.1.1)


def why_no_rom(path: str) -> str:
    """Why it is none that a guest may be given; "" when it is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        return error.strerror or str(error)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return "it is no regular file"
        if os.geteuid() == 0:
            require_roots(fd, path)
        if about.st_size > _MOST:
            return "it is larger than 16 MiB"
        if os.pread(fd, len(_SIGNATURE), 0) != _SIGNATURE:
            return "it does not begin with 55 AA, as a ROM does"
    except Refused as refused:
        return refused.message.rpartition(": ")[2]
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(fd)
    return ""
