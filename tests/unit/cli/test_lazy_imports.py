"""What a verb does not need, it does not import."""

import subprocess
import sys
from pathlib import Path

import pytest

HOST = Path(__file__).parents[2] / "hosts/desktop"
DEAR = ("rich", "pyudev", "libvirt", "pynvml", "yaml", "subprocess", "asyncio", "xml")


@pytest.mark.parametrize("arguments", [["list", "--json", "--host", str(HOST)], ["--version"]])
def test_dear_modules_stay_out(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom gpupass.cli.main import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        f"print([name for name in {DEAR!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
