"""Waiting for the host to change."""

import sys

import pytest

from gpupass.errors import Refused
from gpupass.system.watch import watch


def no_libvirt():
    raise Refused("cannot connect")


@pytest.mark.parametrize("connect", [None, no_libvirt])
def test_without_udev_only_the_time_passes(connect, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyudev", None)
    slept = []
    wait = watch(connect, slept.append)
    wait(2.0)
    wait(60.0)
    assert slept == [2.0, 5.0]
