"""A gpupass that really dies, by kill -9: GPUPASS_CRASH=3 after its third commit, 3- just before it."""

import os
import signal

from gpupass.store import database


def install() -> None:
    """In this process and its children."""
    database.at_commit = _die


def _die(point: str) -> None:
    if os.environ.get("GPUPASS_CRASH") == point:
        os.kill(os.getpid(), signal.SIGKILL)
