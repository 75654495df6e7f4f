"""Which libvirt may be talked to: this machine's. A URI can name programs to be run (ext, ssh, command=)."""

import os
import re
from pathlib import Path

from gpupass.errors import Usage
from gpupass.system.trusted import changeable_by_others

_HERE = re.compile(r"(qemu|xen|ch|test)(?:\+unix)?:///(system|session|default)?(?:\?socket=(/[\w./+-]+))?")
_LOCAL = "--connect qemu:///system, or qemu+unix:///system?socket=/run/…"


def require_local(uri: str) -> None:
    """Usage for any other; for root also where the socket could be somebody else's."""
    found = _HERE.fullmatch(uri)
    if found is None:
        raise Usage(f"cannot connect to libvirt at {uri or 'no address'}: it is not this machine's", _LOCAL)
    socket = found[3]
    if socket is None or os.geteuid() != 0:
        return
    try:
        loose = changeable_by_others(str(Path(socket).parent), sticky=True)
    except FileNotFoundError:  # libvirt says so itself
        return
    if loose is not None:
        raise Usage(
            f"cannot connect to libvirt at {uri}: others than root can change {loose}", f"ls -ld {loose}"
        )
