"""What containers can be given, on recorded hosts: golden files, CDI's own schema and rules for names."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from msgspec.structs import replace
from referencing import Registry
from referencing.jsonschema import DRAFT7

from gpupass.cdi.specification import (
    PATH,
    cdi_plan,
    cdi_specification,
    cdi_text,
    leaves_nvidia_out,
    refresh_plan,
)
from gpupass.cli.inspect import reader_at
from gpupass.model.boot import HostFile
from gpupass.model.host import Host
from gpupass.model.mark import Claim, Quarantine
from gpupass.model.nodes import Nodes
from gpupass.observe import observe

HOSTS = Path(__file__).parents[2] / "hosts"
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
FULL = ("mig-server", "server-sriov", "desktop", "acs-less")
SCHEMA = Path(
    "/usr/share/gocode/src/github.com/container-orchestrated-devices/container-device-interface/schema"
)
A100 = "0000:07:00.0"
ROUTER = "0000:41:01.1"  # a VF on vfio-pci that a domain which does not run has in its configuration


def host_of(name):
    return observe(reader_at(HOSTS / name), nodes=True)


def names(host, **more):
    return [device["name"] for device in cdi_specification(host, **more)["devices"]]


@pytest.fixture(scope="module")
def validator():
    """The specification's own schema, as the distribution packages it."""
    if not SCHEMA.is_dir():
        assert os.environ.get("GPUPASS_LAB") != "1", "scripts/host-packages installs CDI's schema"
        pytest.skip("scripts/host-packages installs CDI's schema")
    load = {path.name: json.loads(path.read_text()) for path in SCHEMA.glob("*.json")}
    registry = Registry().with_resource("defs.json", DRAFT7.create_resource(load["defs.json"]))
    return Draft7Validator(load["schema.json"], registry=registry)


@pytest.mark.parametrize("name", FULL)
def test_golden(name, regenerate):
    text, golden = cdi_text(host_of(name)), GOLDEN / f"{name}.cdi.yaml"
    if regenerate:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_valid(name, validator):
    told = yaml.safe_load(cdi_text(host_of(name)))
    validator.validate(told)
    found = [device["name"] for device in told["devices"]]
    assert len(found) == len(set(found))
    for device in told["devices"]:
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?", device["name"])
        assert device["containerEdits"]["deviceNodes"]


def test_the_schema_finds_what_is_wrong(validator):
    told = cdi_specification(host_of("mig-server"))
    told["devices"][0]["containerEdits"]["deviceNodes"][0] = {"hostPath": "/dev/nvidia0"}
    assert not validator.is_valid(told)


def test_an_instance_without_its_node_is_left_out_and_named():
    host = host_of("mig-server")
    plan = cdi_plan(host, None)
    assert f"{A100}-1g.5gb-3" not in names(host)
    assert [(f.message, f.fatal) for f in plan.findings] == [
        (f"{A100}-1g.5gb-3 is left out: there is no /dev/nvidia-caps/nvidia-cap94", False)
    ]
    assert plan.findings[0].remedy == "apt install nvidia-modprobe; nvidia-modprobe -c 0; gpupass cdi"


def test_several_compute_instances_can_be_had_one_by_one():
    host = host_of("mig-server")
    gpu = host.devices_at((A100,))[0]
    cut = gpu.facts.nvidia.mig
    first = next(one for one in cut.gpu.instances if one.profile == "3g.20gb")
    part = first.compute[0]
    halves = (
        replace(part, placement=replace(part.placement, size=1)),
        replace(part, id=1, placement=replace(part.placement, start=1, size=2)),
    )
    instances = (replace(first, profile="3g.20gb+me,gfx", compute=halves),)
    nvidia = replace(gpu.facts.nvidia, mig=replace(cut, gpu=replace(cut.gpu, instances=instances)))
    gpu = replace(gpu, detail=replace(gpu.facts, nvidia=nvidia))
    present = frozenset({*host.nodes.present, *(f"/dev/nvidia-caps/nvidia-cap{n}" for n in range(200))})
    host = replace(host, devices=(gpu,), nodes=replace(host.nodes, present=present))
    name = f"{A100}-3g.20gb.me.gfx-4"
    assert names(host) == [name, f"{name}-1c-0", f"{name}-2c-1"]


def test_partitions_of_an_amd_gpu_can_be_had_one_by_one(validator):
    host = host_of("amd-mi300x")
    (split,) = (d for d in host.devices if d.facts.amd is not None and len(d.facts.amd.partitions) > 1)
    renders = [part.render for part in split.facts.amd.partitions]
    present = frozenset({"/dev/kfd", *(f"/dev/dri/{render}" for render in renders)})
    told = cdi_specification(replace(host, devices=(split,), nodes=replace(host.nodes, present=present)))
    validator.validate(told)
    nodes = [[n["path"] for n in device["containerEdits"]["deviceNodes"]] for device in told["devices"]]
    assert [device["name"] for device in told["devices"]] == [f"{split.address}-cpx{n}" for n in range(8)]
    assert nodes == [[f"/dev/dri/{render}", "/dev/kfd"] for render in renders]


def test_nothing_that_a_domain_has():
    host = host_of("server-sriov")
    assert "0000:11:00.0" not in names(host) and "0000:31:00.0" not in names(host)


MARKS = (Quarantine(carrier=ROUTER, why="it hung"), Claim(carrier=ROUTER, domain="vm1", uuid="u"))


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: type(mark).__name__)
def test_nothing_that_is_not_clean(mark):
    host = host_of("server-sriov")
    assert ROUTER in names(host)
    assert ROUTER not in names(replace(host, marks=(mark,)))


def test_a_group_is_given_whole_or_not_at_all():
    """Its node opens every member: one that the host uses keeps the others out, too."""
    host = host_of("server-sriov")
    group = host.devices_at((ROUTER,))[0].group
    devices = tuple(replace(d, group=group) if d.address == "0000:41:01.0" else d for d in host.devices)
    assert ROUTER not in names(replace(host, devices=devices))


def test_nvidia_left_to_nvidia_ctk():
    host = host_of("mig-server")
    assert names(host, nvidia=False) == []
    assert leaves_nvidia_out(cdi_text(host, nvidia=False)) and not leaves_nvidia_out(cdi_text(host))
    assert names(host_of("server-sriov"), nvidia=False) == [ROUTER]
    assert names(host_of("acs-less"), nvidia=False) == names(host_of("acs-less"))


def test_only_once():
    host = host_of("desktop")
    text = cdi_text(host)
    assert cdi_plan(host, HostFile(path=PATH, text=text)).steps == ()
    assert len(cdi_plan(host, HostFile(path=PATH, text=text, mode=0o600)).steps) == 1


def test_device_files_have_to_be_there():
    host = replace(host_of("mig-server"), nodes=Nodes())
    assert names(host) == []


@pytest.mark.parametrize(
    ("containers", "installed", "forbidden"),
    [
        ("nvidia-ctk", False, True),
        ("nvidia-ctk", True, False),
        ("nvidia-ctk", None, False),
        ("cdi", False, False),
        (None, False, False),
    ],
)
def test_only_a_program_that_is_known_to_be_missing_forbids_an_apply(containers, installed, forbidden):
    plan = refresh_plan(containers, Host(devices=(), nvidia_ctk=installed))
    assert (plan is not None and len(plan.refusals) == 1) is forbidden
