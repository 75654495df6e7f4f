"""A profile from the disk or from standard input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpupass.errors import Usage
from gpupass.model.profile import Profile
from gpupass.profiles import load_profile, why_unreadable
from gpupass.system import Reader
from gpupass.system.texts import opened_already, read_opened, read_stdin, read_text
from gpupass.system.trusted import readable_by_asker

STDIN = "<stdin>"


def load_file(system: Reader, file: str, hostname: str | None = None) -> Profile:
    """What FILE (`-`: standard input) means for this host, or for the one that is named."""
    return load_text(system, file, read_file(file), hostname)


def load_text(system: Reader, file: str, text: str, hostname: str | None = None) -> Profile:
    """The same of a file that has been read: a pipe can be read only once."""
    first = _name(file)
    hostname = system.hostname() if hostname is None else hostname
    with secrets_kept(file) as names:

        def read(name: str) -> str:
            names.append(name)
            return text if name == first else _included(name, first)

        return load_profile(first, read, hostname)


def _included(name: str, first: str) -> str:
    """Not through a link that leads out of the profile's directory either."""
    directory = Path(first).parent.resolve()
    if not Path(name).resolve().is_relative_to(directory):
        raise OSError(0, f"it leads out of {directory}")
    return read_text(name)


@contextmanager
def secrets_kept(file: str) -> Iterator[list[str]]:
    """What is wrong in these files is not quoted to somebody behind sudo who may not read them."""
    names = [file]
    try:
        yield names
    except Usage:
        for name in names:
            given = name in ("-", STDIN) or opened_already(name) is not None
            if not given and not readable_by_asker(name):
                raise Usage(f"cannot use {name}: it is not valid, and not yours to read") from None
        raise


def read_file(file: str) -> str:
    """Usage when it cannot be read."""
    try:
        fd = opened_already(file)
        if fd is not None:
            return read_opened(fd)
        return read_stdin() if file == "-" else read_text(file)
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"cannot read {_name(file)}: {why_unreadable(error)}") from None


def _name(file: str) -> str:
    return STDIN if file == "-" else file
