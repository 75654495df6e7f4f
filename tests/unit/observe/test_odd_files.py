"""Records whose files hold what no kernel writes: an answer or a refusal in words, never a crash or a wait."""

import os
import shutil
from pathlib import Path

import pytest

from gpupass.errors import GpupassError
from gpupass.observe import observe
from gpupass.system import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
ODD = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00:=",
    "no end": b"9" * 6000,
    "words": b"MemAvailable: x: 0x\nPCI_ID=0:1:2\n",
    "brackets": b"[" * 100_000,
    "a list of numbers": b"[1, 2, 3]",
    "all ones": b"0xffffffffffffffff",
    "sixteen ones": b"65535",
    "another type": b'{"gpus": 1, "domains": [{}], "holders": {"a": 1}, "unseen": 3, "schema": 1}',
    "a FIFO": None,
}


def one_of_each_name(host):
    files = {path.name: path for path in sorted(host.rglob("*")) if path.is_file() and not path.is_symlink()}
    return files.values()


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["desktop", "mig-server", "intel-xe", "amd-mi300x"])
def test_odd_file(name, content, tmp_path):
    host = tmp_path / "host"
    shutil.copytree(HOSTS / name, host, symlinks=True)
    for path in one_of_each_name(host):
        before = path.read_bytes()
        path.unlink()
        os.mkfifo(path) if content is None else path.write_bytes(content)
        try:
            observe(RecordedHost(host), nodes=True, programs=True)
        except GpupassError as error:
            assert "is damaged" in error.message, path
        except Exception as error:
            raise AssertionError(f"{path} as {content!r:.20}") from error
        path.unlink()
        path.write_bytes(before)
