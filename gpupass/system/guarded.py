"""A sysfs write that may never return: done in a child process with a deadline.

The kernel can block an unbind for ever and uninterruptibly (vfio_unregister_group_dev waits for the
file's last close; nv_pci_remove polls its usage count), so the writer must be somebody we can leave behind.
"""

import errno
import os
import select
import signal
import struct

_DESCRIPTORS = 1 << 16  # more than are ever open


class WriteHung(Exception):
    """The write did not return. The child is left behind; the kernel still has the request."""

    def __init__(self, path: str, pid: int, where: str) -> None:
        super().__init__(f"the kernel has not answered the write to {path} (process {pid}, in {where})")
        self.path = path
        self.pid = pid
        self.where = where


def write_guarded(path: str, value: str, deadline: float) -> None:
    """Write `value`; OSError as the kernel gave it, WriteHung after `deadline` seconds."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(path, value, write_end)
    os.close(write_end)
    waiting = select.poll()  # select() knows no descriptor above 1023, and every lock held is one
    waiting.register(read_end, select.POLLIN)
    try:
        ready = waiting.poll(deadline * 1000)
        answer = os.read(read_end, 4) if ready else b""
    finally:
        os.close(read_end)
    if not ready:
        where = _where(pid)
        os.kill(pid, signal.SIGKILL)
        raise WriteHung(path, pid, where)
    os.waitpid(pid, 0)
    error = struct.unpack("i", answer)[0] if len(answer) == 4 else errno.EIO
    if error:
        raise OSError(error, os.strerror(error), path)


def _child(path: str, value: str, answer_to: int) -> None:
    """Only system calls from here: the parent may have threads. Its locks must not live on in us.

    Nor may anything but the write: when nobody listens to the answer any more, that ends us, too.
    """
    error = errno.EIO
    try:
        os.closerange(0, answer_to)  # a reader of our output must not wait for a child that never ends
        os.closerange(answer_to + 1, _DESCRIPTORS)
        os.setsid()
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, value.encode())
        os.close(fd)
        error = 0
    except OSError as failure:
        error = failure.errno or errno.EIO
    finally:
        try:
            os.write(answer_to, struct.pack("i", error))
        finally:
            os._exit(0)


def _where(pid: int) -> str:
    """The kernel function a process sleeps in."""
    for name in ("stack", "wchan"):
        try:
            with open(f"/proc/{pid}/{name}") as file:  # noqa: PTH123
                line = file.readline().strip()
        except OSError:
            continue
        if line and line != "0":
            return line.removeprefix("[<0>] ").partition("+")[0]
    return "the kernel"
