"""What may be stopped: gpupass's table, the administrator's lines, and what nothing stops."""

import pytest

from gpupass.model.stoppable import CONSOLE, NAMES, never, parse, table_of

VITAL = [
    "sshd.service",
    "ssh.service",
    "auditd.service",
    "systemd-logind.service",
    "systemd-udevd.service",
    "dbus.service",
    "dbus-broker.service",
    "libvirtd.service",
    "virtqemud.service",
    "virtlogd.service",
    "NetworkManager.service",
    "user@1000.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "nvidia-fabricmanager.service",
    "docker.service",
    "kubelet.service",
    "pvedaemon.service",
    "gpupass-devices.service",
    "zfs-zed.service",
]


@pytest.mark.parametrize("unit", VITAL)
def test_what_a_host_is_not_to_be_without(unit):
    assert never(unit)
    found, wrong = parse(f"x {unit}")
    assert (found, wrong) == ({}, (f"line 1: {unit} is never stopped",))
    assert unit not in table_of(display_manager=unit)


def test_our_own_table_stops_nothing_of_that():
    assert not [unit for units in NAMES.values() for unit in units if never(unit)]
    assert CONSOLE in NAMES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# nothing\n\n", {}),
        ("farm render-farm.service", {"farm": ("render-farm.service",)}),
        ("farm a.service b@1.service # two", {"farm": ("a.service", "b@1.service")}),
        ("farm a.service\nfarm b.service\n", {"farm": ("a.service", "b.service")}),
    ],
)
def test_lines(text, found):
    assert parse(text) == (found, ())


@pytest.mark.parametrize(
    "line",
    [
        "farm",
        "farm render",
        "farm a.socket",
        "farm --all.service",
        "-x a.service",
        "a/b a.service",
        "f ../x.service",
    ],
)
def test_what_is_no_line(line):
    found, wrong = parse(f"ok a.service\n{line}")
    assert found == {"ok": ("a.service",)}
    assert wrong == ("line 2 is no name and its units (dcgm nvidia-dcgm.service)",)


def test_the_administrator_adds_to_ours():
    added, _ = parse("dcgm my-dcgm.service")
    table = table_of(NAMES, added)
    assert table["my-dcgm.service"] == table["nvidia-dcgm.service"] == "dcgm"
