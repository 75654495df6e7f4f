"""A profile from the disk or from standard input."""

from gpupass.model.profile import Profile
from gpupass.profiles import load_profile
from gpupass.system import System
from gpupass.system.texts import read_stdin, read_text

STDIN = "<stdin>"


def load_file(system: System, file: str, hostname: str | None = None) -> Profile:
    """What FILE (`-`: standard input) means for this host, or for the one that is named."""
    hostname = system.hostname() if hostname is None else hostname
    if file == "-":
        return load_profile(STDIN, lambda name: read_stdin() if name == STDIN else read_text(name), hostname)
    return load_profile(file, read_text, hostname)
