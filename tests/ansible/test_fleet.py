"""The plays of profiles/ansible on three hosts: gathered, grouped, changed one after the other, reported."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.ansible.conftest import LOCAL, ROOT
from tests.simulated import LONE

PLAYS = ROOT / "profiles/ansible"
NAMES = ("a.example.org", "b.example.org", "c.example.org")


@pytest.fixture
def fleet(controller, simulated):
    """The three machines, and `play(name, …)`."""
    directory = controller.directory / "fleet"
    shutil.copytree(PLAYS, directory, ignore=shutil.ignore_patterns("info", "report.csv", "report.html"))
    hosts = {name: simulated(name) for name in NAMES}
    told = {name: LOCAL | host.command() for name, host in hosts.items()}
    inventory = {"gpu_hosts": {"hosts": told}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def play(name, *arguments):
        both = ("-i", directory / "hosts.yml", "-i", directory / "fleet.gpupass.yml")
        return controller.play(directory / name, *both, "-e", "change_delay=0", *arguments)

    return hosts, play, directory


def test_gathered_and_grouped(fleet, controller):
    _hosts, play, directory = fleet
    gathered = play("gather.yml")
    assert gathered.status == 0, gathered.text
    files = sorted(path.name for path in (directory / "info").iterdir())
    assert files == [f"{name}.json" for name in NAMES]
    info = json.loads((directory / "info" / files[0]).read_text())
    assert LONE in [device["address"] for device in info["devices"]] and not info["changed"]
    listed = controller.run("ansible-inventory", "-i", "fleet.gpupass.yml", "--list", cwd=directory)
    groups = json.loads(listed.stdout)
    wanted = {"gpu_vendor_nvidia", "gpu_vendor_amd", "gpu_can_sriov", "gpu_can_passthrough", "gpu_free"}
    assert wanted - {"gpu_can_sriov"} <= groups.keys(), groups.keys()
    assert groups["gpu_free"]["hosts"] == list(NAMES)
    assert groups["_meta"]["hostvars"][NAMES[0]]["gpupass_free"]["function"] > 0


def test_a_change_rolls_and_stops_at_the_first_failure(fleet):
    hosts, play, _directory = fleet
    hosts[NAMES[1]].happens(lambda machine: machine.faults.update({("always unbind", LONE): 16}))
    before = {name: host.machine.snapshot() for name, host in hosts.items()}
    checked = play("change.yml", "--check", "--diff")
    assert checked.status == 0, checked.text
    assert {name: host.machine.snapshot() for name, host in hosts.items()} == before
    done = play("change.yml")
    assert done.status != 0 and "NO MORE HOSTS LEFT" in done.text, done.text
    drivers = [hosts[name].machine.driver(LONE) for name in NAMES]
    assert drivers == ["vfio-pci", "bochs-drm", "bochs-drm"]
    hosts[NAMES[1]].happens(lambda machine: machine.faults.clear())
    done = play("change.yml")
    assert done.status == 0, done.text
    assert [hosts[name].machine.driver(LONE) for name in NAMES] == ["vfio-pci"] * 3
    task = "Apply the profile, again while a guest still has to let go"
    assert [done.of(task, name)["changed"] for name in NAMES] == [False, True, True]


def test_report(fleet):
    hosts, play, directory = fleet
    hosts[NAMES[2]].happens(lambda machine: setattr(machine, "libvirt_runs", False))
    play("change.yml", "--limit", NAMES[0])
    reported = play("report.yml")
    assert reported.status == 0, reported.text
    rows = list(csv.DictReader((directory / "report.csv").read_text().splitlines()))
    told = {(row["host"], row["address"]): row["as its profile says"] for row in rows}
    assert told[NAMES[0], LONE] == "yes"
    assert "bind 0000:02:00.0 to vfio-pci" in told[NAMES[1], LONE]
    assert {name for name, _ in told} == set(NAMES)
    page = (directory / "report.html").read_text()
    assert page.count('class="differs"') > 0 and all(name in page for name in NAMES)


def test_the_plays_that_there_are_have_each_been_played():
    assert {path.name for path in Path(PLAYS).glob("*.yml")} == {
        "change.yml",
        "fleet.gpupass.yml",
        "gather.yml",
        "hosts.yml",
        "report.yml",
    }
