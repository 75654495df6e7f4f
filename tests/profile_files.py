"""Profiles from a dictionary of files instead of a disk."""

from gpupass.errors import Usage
from gpupass.model.profile import Profile
from gpupass.profiles import ProfileInvalid, load_profile

FILE = "p.yaml"


def read_from(files: dict[str, str]):
    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    return read


def load(text: str, hostname: str = "h", **files: str) -> Profile:
    """`files` are the included ones, without their `.yaml`."""
    return load_profile(
        FILE, read_from({FILE: text, **{f"{name}.yaml": text for name, text in files.items()}}), hostname
    )


def findings(text: str, **files: str) -> list[str]:
    """Messages without the name of the file that is meant."""
    try:
        load(text, **files)
    except ProfileInvalid as error:
        assert error.exit_code == 2 and isinstance(error, Usage)
        return [message.removeprefix(f"{FILE}:") for message, _ in error.findings]
    return []
