"""Waiting for the host to change."""

import sys

import pytest

from gpupass.errors import Refused
from gpupass.system.watch import watch


class Waiting:
    def __init__(self):
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)

    def hypervisor(self, uri):
        raise Refused("cannot connect")


@pytest.mark.parametrize("uri", [None, "qemu:///system"])
def test_without_udev_only_the_time_passes(uri, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyudev", None)
    system = Waiting()
    wait = watch(system, uri)
    wait(2.0)
    wait(60.0)
    assert system.slept == [2.0, 5.0]
