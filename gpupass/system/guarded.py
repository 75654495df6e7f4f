"""A call into the kernel that may never return: done in a child process with a deadline.

The kernel can block an unbind for ever and uninterruptibly (vfio_unregister_group_dev waits for the
file's last close; nv_pci_remove polls its usage count), so the caller must be somebody we can leave behind.
"""

import errno
import os
import select
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpupass.errors import KernelRefused, NotClean

if TYPE_CHECKING:
    from gpupass.system.kernel_log import KernelLog

DESCRIPTORS = 1 << 16  # more than are ever open
HELPERS: set[int] = set()  # processes of ours that answer: what they have open is ours
_ERRNO = struct.Struct("i")


class Hung(Exception):
    """Private to this package: the call did not return; its process is left behind."""

    def __init__(self, pid: int, where: str) -> None:
        super().__init__(f"process {pid} waits in {where}")
        self.pid = pid
        self.where = where


@contextmanager
def told(path: str, about: tuple[str, ...], what: str, log: "KernelLog") -> Iterator[None]:
    """OSError within as KernelRefused ("cannot WHAT: …", and the kernel's own line), Hung as NotClean."""
    try:
        yield
    except OSError as error:
        said = log.since(about[0])
        why = (error.strerror or str(error)) + (f"; kernel: {said}" if said else "")
        raise KernelRefused(path, error.errno or errno.EIO, what, why, f"dmesg | grep {about[0]}") from None
    except Hung as hung:
        raise not_clean(about, f"the kernel does not return from {path.rpartition('/')[2]}", hung) from None
    finally:
        log.close()


def not_clean(about: tuple[str, ...], why: str, hung: Hung) -> NotClean:
    clear = " && ".join(f"gpupass quarantine clear {address}" for address in about)
    return NotClean(about, f"{why} ({hung})", f"close what uses it, or reboot; then: {clear}")


def write_guarded(path: str, value: str, seconds: float) -> None:
    """Write `value`; OSError as the kernel gave it, Hung after so many seconds."""

    def write() -> bytes:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(fd, value.encode())
        os.close(fd)
        return b""

    guarded(write, seconds)


def guarded(call: Callable[[], bytes], seconds: float) -> bytes:
    """What `call`, system calls only, answers in a child; OSError as it raises it, Hung after `seconds`."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(call, write_end)
    os.close(write_end)
    waiting = select.poll()  # select() knows no descriptor above 1023, and every lock held is one
    waiting.register(read_end, select.POLLIN)
    try:
        ready = waiting.poll(seconds * 1000)
        answer = os.read(read_end, select.PIPE_BUF) if ready else b""
    finally:
        os.close(read_end)
    if not ready:
        where = sleeps_in(pid)
        os.kill(pid, signal.SIGKILL)
        raise Hung(pid, where)
    os.waitpid(pid, 0)
    error = _ERRNO.unpack_from(answer)[0] if len(answer) >= _ERRNO.size else errno.EIO
    if error:
        raise OSError(error, os.strerror(error))
    return answer[_ERRNO.size :]


def _child(call: Callable[[], bytes], answer_to: int) -> None:
    """Only system calls from here: the parent may have threads. Its locks must not live on in us.

    Nor may anything but the call: when nobody listens to the answer any more, that ends us, too.
    """
    error, answer = errno.EIO, b""
    try:
        os.closerange(0, answer_to)  # a reader of our output must not wait for a child that never ends
        os.closerange(answer_to + 1, DESCRIPTORS)
        os.setsid()
        answer = call()
        error = 0
    except OSError as failure:
        error = failure.errno or errno.EIO
    finally:
        try:
            os.write(answer_to, _ERRNO.pack(error) + answer)
        finally:
            os._exit(0)


def reap(pid: int, seconds: float) -> bool:
    """Has this child of ours ended? Not waited for longer than so."""
    process = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        gone = bool(waiting.poll(seconds * 1000))
    finally:
        os.close(process)
    if gone:
        os.waitpid(pid, 0)
    return gone


def sleeps_in(pid: int) -> str:
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
