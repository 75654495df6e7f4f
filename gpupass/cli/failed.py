"""A failure as --json tells it: in the envelope of a verb that changes, else by itself."""

from gpupass.cli.documents.document import Failed, failure
from gpupass.cli.output import print_json
from gpupass.cli.report import print_failed
from gpupass.cli.schema import DOCUMENTS, is_envelope
from gpupass.errors import GpupassError


def print_failure(error: GpupassError, typed: list[str]) -> None:
    """`typed` is the command line without the program's name."""
    if is_envelope(_verb(typed)):
        print_failed(error)
    else:
        print_json(Failed(error=failure(error)))


def _verb(typed: list[str]) -> str:
    """Its first words, whatever comes between them."""
    words = [word for word in typed if not word.startswith("-")]
    return next((verb for verb in (" ".join(words[:2]), *words[:1]) if verb in DOCUMENTS), "")
