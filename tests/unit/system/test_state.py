"""gpupass's own files: whole or not at all, for root only, a damaged one set aside and said so."""

import errno
import os

import pytest

from gpupass.errors import GpupassError, Refused
from gpupass.model.address import Address
from gpupass.model.record import Record, RecordKind
from gpupass.system.state import (
    ensure_directory,
    read_record,
    read_records,
    record_path,
    remove,
    require_readable,
    write_atomically,
    write_record,
)

ADDRESS = Address("0000:01:00.0")
RECORD = Record(kind=RecordKind.CLAIM, address=ADDRESS, domain="vm1", uuid="u", alias="ua", boot_id="b")


def test_what_is_written_is_read(tmp_path):
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path, RecordKind.CLAIM, ADDRESS) == RECORD
    assert read_records(tmp_path) == (RECORD,)
    path = record_path(tmp_path, RecordKind.CLAIM, ADDRESS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    remove(path)
    remove(path)
    assert read_records(tmp_path) == ()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schema": 2}',
        b'{"schema": 1}',
        b'{"schema": 1, "kind": "lease", "address": "0000:01:00.0"}',
        b'{"schema": 1, "kind": "claim", "address": 3}',
        b'{"schema": 1, "kind": "claim", "address": "0000:02:00.0"}',
        b'{"schema": 1, "kind": "origin", "address": "0000:01:00.0"}',
        b'{"schema": 1, "kind": "claim", "address": "0000:01:00.0", "colour": "red"}',
        b"[" * 100_000,
    ],
    ids=lambda text: text[:40].decode(errors="replace"),
)
def test_a_damaged_record_is_set_aside_and_said_so(text, tmp_path, caplog):
    path = record_path(tmp_path, RecordKind.CLAIM, ADDRESS)
    for count in (1, 2):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)
        assert read_record(tmp_path, RecordKind.CLAIM, ADDRESS) is None
        assert not path.exists()
        assert len(list(path.parent.glob("*.damaged*"))) == count
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("call", ["write", "replace", "fsync"])
def test_a_failing_write_leaves_the_old_file(call, tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        monkeypatch.setattr(os, "open", full)
    else:
        monkeypatch.setattr(os, "rename" if call == "rename" else call, full)
    with pytest.raises(GpupassError, match="No space left"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"


def test_a_file_where_the_directory_should_be(tmp_path):
    (tmp_path / "claim").write_text("")
    with pytest.raises(GpupassError, match="cannot"):
        write_record(tmp_path, RECORD)
    with pytest.raises(GpupassError, match="cannot"):
        remove(record_path(tmp_path, RecordKind.CLAIM, ADDRESS) / "deeper")


def test_an_ordinary_user_is_not_told_that_there_is_nothing(tmp_path, monkeypatch):
    require_readable(tmp_path)

    def closed(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", closed)
    with pytest.raises(Refused, match="Permission denied"):
        require_readable(tmp_path)


def test_whatever_the_umask_nobody_else_gets_in(tmp_path):
    state = tmp_path / "gpupass"
    old = os.umask(0)
    try:
        ensure_directory(state / "locks")
    finally:
        os.umask(old)
    assert [path.stat().st_mode & 0o777 for path in (state, state / "locks")] == [0o700, 0o700]
