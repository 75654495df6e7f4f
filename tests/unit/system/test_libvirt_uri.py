"""A URI may say which program root runs: only this machine's libvirt is talked to."""

import os

import pytest

from gpupass.errors import Usage
from gpupass.system.libvirt import Hypervisor
from gpupass.system.libvirt_uri import require_local

HERE = [
    "qemu:///system",
    "qemu:///session",
    "qemu+unix:///system",
    "qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
    "xen:///system",
    "ch:///system",
    "test:///default",
]
ELSEWHERE = [
    "",
    "qemu+ext:///system?command=/x/evil.sh",
    "qemu+ssh://h/system?command=/x/evil.sh",
    "qemu+ssh://h/system",
    "qemu+libssh2://h/system",
    "qemu+tls://h/system",
    "qemu://h/system",
    "qemu:///system?command=/x/evil.sh",
    "qemu:///system?socket=/run/a&command=/x",
    "qemu+unix:///system?socket=/run/a&netcat=/x",
    "qemu+unix:///system?socket=relative",
    "qemu:///system#",
    "qemu:///system\n",
    "QEMU:///system",
    "an-alias-of-libvirt.conf",
    "test:///etc/shadow",
]


@pytest.mark.parametrize("uri", HERE)
def test_here(uri):
    require_local(uri)


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_elsewhere(uri):
    with pytest.raises(Usage, match="cannot connect to libvirt at"):
        Hypervisor(uri)


@pytest.mark.skipif(os.geteuid() != 0, reason="root is who is to be protected")
def test_a_socket_of_somebody_elses_making(tmp_path):
    (tmp_path / "run").mkdir()
    uri = f"qemu+unix:///system?socket={tmp_path}/run/sock"
    require_local(uri)
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(Usage, match="others than root can change"):
        require_local(uri)
    require_local(f"qemu+unix:///system?socket={tmp_path}/none/sock")
