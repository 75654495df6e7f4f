"""External commands: bounded, and a failure told once."""

import pytest

from gpupass.errors import GpupassError
from gpupass.system.process import run


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("gpupass-no-such-command",), "it is not installed"),
        (("/etc/passwd",), "Permission denied"),
        (("false",), "exit 1"),
        (("sh", "-c", "echo first >&2; echo last >&2; exit 3"), "last"),
        (("sleep", "5"), "no end within 0.1 s"),
    ],
)
def test_failures(argv, words):
    with pytest.raises(GpupassError, match=words) as failed:
        run(argv, timeout=0.1 if argv[0] == "sleep" else 5)
    assert failed.value.exit_code == 1


def test_output_that_is_no_text():
    assert run(("printf", r"a\377b")) == "a\ufffdb"
