"""What root's gpupass takes over from whoever has called it: as little as sudo leaves."""

import os

# libvirt writes a log to any file that LIBVIRT_LOG_OUTPUTS names, SQLite its temporary files to any directory
_NOT_OURS = ("LIBVIRT_", "SQLITE_")


def only_ours() -> None:
    """Of root's process, before anything foreign is loaded: no such variable, and files for root alone."""
    if os.geteuid() != 0:
        return
    os.umask(0o077)
    for name in [name for name in os.environ if name.startswith(_NOT_OURS)]:
        del os.environ[name]
