"""Every external command goes through `run`: argv only, bounded, a failure told once with a line to paste."""

import shlex
import subprocess

from gpupass.errors import GpupassError


def run(argv: tuple[str, ...], timeout: float = 60.0) -> str:
    """The command's output; GpupassError when it is missing, fails or takes too long."""
    line = shlex.join(argv)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise GpupassError(f"cannot run {argv[0]}: it is not installed", f"command -v {argv[0]}") from None
    except OSError as error:
        raise GpupassError(f"cannot run {argv[0]}: {error.strerror}", line) from None
    except subprocess.TimeoutExpired:
        raise GpupassError(f"cannot run {argv[0]}: no end within {timeout:g} s", line) from None
    if done.returncode != 0:
        why = (done.stderr.strip() or done.stdout.strip()).splitlines()  # nvidia-smi complains to stdout
        raise GpupassError(f"cannot run {argv[0]}: {why[-1] if why else f'exit {done.returncode}'}", line)
    return done.stdout
