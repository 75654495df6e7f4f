"""Where a recorded host keeps what is no file of the kernel, and how to read it."""

from collections.abc import Callable
from typing import Any, TypeVar

from gpupass.errors import GpupassError
from gpupass.model.wire import from_json
from gpupass.system import Reader

DIRECTORY = "/gpupass"
ABOUT = f"{DIRECTORY}/about.json"
HOLDERS = f"{DIRECTORY}/holders.json"
NAMES = f"{DIRECTORY}/names.json"
NVML = f"{DIRECTORY}/nvml.json"
PROGRAMS = f"{DIRECTORY}/programs.json"
ZPOOL = f"{DIRECTORY}/zpool.txt"
SAID = f"{DIRECTORY}/kernel.log"
DOMAINS = f"{DIRECTORY}/domains.json"
DOMAIN_XML = f"{DIRECTORY}/domains"

T = TypeVar("T")


def load(system: Reader, path: str, shape: Callable[[Any], T], missing: Any) -> T:
    """The file's JSON, or `missing`, put into `shape`; GpupassError when it is not what a record holds."""
    text = system.read(path)
    try:
        return shape(missing if text is None else from_json(text, Any))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GpupassError(
            f"cannot read the recorded host: {system.root}{path} is damaged ({error})",
            "record it again: gpupass record DIR",
        ) from None
