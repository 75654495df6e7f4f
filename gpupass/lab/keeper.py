"""QEMU's parent: QEMU cannot outlive it, and it ends with QEMU.

Started detached as a script of its own (standard library only): keeper.py INSTANCE-FOLDER [PID-TO-FOLLOW]
SIGTERM ends the machine, SIGUSR1 cuts its power.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ALIVE_LOCK = "alive.lock"
COMMAND = "command.json"
PROCESS = "process.json"
ENDED = "ended.json"
_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5.0


def main(folder: Path, follow: int | None) -> int:
    lock = (folder / ALIVE_LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 3
    argv: list[str] = json.loads((folder / COMMAND).read_text())
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    followed: int | None = None
    if follow is not None:
        try:
            followed = os.pidfd_open(follow)
        except OSError:
            _write(folder / ENDED, {"why": f"process {follow}, which the lab was to follow, is gone"})
            return 0
    libc = ctypes.CDLL(None, use_errno=True)
    keeper = os.getpid()

    def die_with_keeper() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)

    with (folder / "qemu.log").open("wb") as log:
        qemu = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_keeper,
            start_new_session=True, cwd="/",
        )  # fmt: skip
    _write(folder / PROCESS, {"qemu": qemu.pid, "keeper": keeper, "since": time.time()})
    why = _watch(qemu, signals, followed)
    _write(folder / ENDED, {"why": why, "status": qemu.wait(), "when": time.time()})
    return 0


def _watch(qemu: subprocess.Popen[bytes], signals: int, followed: int | None) -> str:
    ended = os.pidfd_open(qemu.pid)
    poller = select.poll()
    for fd in (ended, signals, *(() if followed is None else (followed,))):
        poller.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poller.poll()}
        if ended in ready:
            status = qemu.wait()
            if status == 0:
                return "the machine panicked, rebooted or powered itself off"
            return (
                f"QEMU was killed by signal {-status}" if status < 0 else f"QEMU failed with status {status}"
            )
        if signals in ready and signal.SIGUSR1 in os.read(signals, 64):
            qemu.kill()
            return "power was cut"
        qemu.terminate()
        if not select.select([ended], [], [], _GRACE_SECONDS)[0]:
            qemu.kill()
        return "the process it followed is gone" if followed in ready else "it was taken down"


def _write(path: Path, value: dict[str, object]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
