"""gpupass's own directories: for root only, whatever the umask is."""

import os

import pytest

from gpupass.errors import GpupassError
from gpupass.system.state import ensure_directory


def test_a_file_where_the_directory_should_be(tmp_path):
    (tmp_path / "gpupass").write_text("")
    with pytest.raises(GpupassError, match="cannot keep state"):
        ensure_directory(tmp_path / "gpupass" / "locks")


def test_whatever_the_umask_nobody_else_gets_in(tmp_path):
    state = tmp_path / "gpupass"
    old = os.umask(0)
    try:
        ensure_directory(state / "locks")
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in (state, state / "locks")] == [0o700, 0o700]
