"""A profile from the disk or from standard input."""

from gpupass.errors import Usage
from gpupass.model.profile import Profile
from gpupass.profiles import load_profile, why_unreadable
from gpupass.system import System
from gpupass.system.texts import read_stdin, read_text

STDIN = "<stdin>"


def load_file(system: System, file: str, hostname: str | None = None) -> Profile:
    """What FILE (`-`: standard input) means for this host, or for the one that is named."""
    return load_text(system, file, read_file(file), hostname)


def load_text(system: System, file: str, text: str, hostname: str | None = None) -> Profile:
    """The same of a file that has been read: a pipe can be read only once."""
    first = _name(file)
    hostname = system.hostname() if hostname is None else hostname
    return load_profile(first, lambda name: text if name == first else read_text(name), hostname)


def read_file(file: str) -> str:
    """Usage when it cannot be read."""
    try:
        return read_stdin() if file == "-" else read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"cannot read {_name(file)}: {why_unreadable(error)}") from None


def _name(file: str) -> str:
    return STDIN if file == "-" else file
