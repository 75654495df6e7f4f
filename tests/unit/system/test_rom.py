"""What QEMU may read into a guest's memory: root's own ROMs and nothing else."""

import os

import pytest

from gpupass.system.rom import why_no_rom

ROM = b"\x55\xaa" + bytes(510)


def file(path, data):
    path.write_bytes(data)
    return path


def sparse(path):
    with path.open("wb") as large:
        large.write(ROM)
        large.truncate((16 << 20) + 1)
    return path


def fifo(path):
    os.mkfifo(path)
    return path


CASES = {
    "a ROM": (lambda path: file(path, ROM), ""),
    "a text": (lambda path: file(path, b"#!/bin/sh"), "does not begin with 55 AA"),
    "an empty one": (lambda path: file(path, b""), "does not begin with 55 AA"),
    "none": (lambda path: path, "No such file"),
    "a directory": (lambda path: path.mkdir() or path, "no regular file"),
    "a FIFO": (fifo, "no regular file"),
    "too large": (sparse, "larger than 16 MiB"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_one(name, tmp_path, monkeypatch):
    make, why = CASES[name]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = why_no_rom(str(make(tmp_path / "rom")))
    assert why in found and bool(why) == bool(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's orders can be somebody else's")
def test_what_others_can_change_is_none(tmp_path):
    path = file(tmp_path / "rom", ROM)
    tmp_path.chmod(0o755)
    assert why_no_rom(str(path)) == ""
    path.chmod(0o666)
    assert why_no_rom(str(path)) == "others can change it"
    path.chmod(0o644)
    os.chown(path, 65534, 0)
    assert why_no_rom(str(path)) == "it is not root's"
