"""The role, gpupass_info, and what the README shows."""

import json

import pytest
import yaml

from gpupass.observe.recording import record_host
from tests.ansible.conftest import LOCAL, ROOT
from tests.ansible.foretold import is_as_foretold, is_done_already, readme_s_playbook
from tests.simulated import GPU, LONE, NIC

PROFILE = {"version": 1, "gpus": [{"name": "a", "select": {"address": LONE}, "use": "passthrough"}]}


def role(controller, command):
    """A play of the role, and where it writes the profile."""
    file = controller.directory / "etc/host.yaml"
    variables = {
        "gpupass_host_install": "none",
        "gpupass_host_command": command,
        "gpupass_host_file": str(file),
        "gpupass_host_profile": PROFILE,
    }
    (controller.directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"host": LOCAL}}}))
    play = controller.directory / "play.yml"
    roles = [{"role": "gpupass.kvm.gpupass_host", "vars": variables}]
    play.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "roles": roles}]))
    return play, file


def test_the_role(controller, simulated):
    """In check mode nothing but words; then the profile is written, applied, and is every boot's; then nothing."""
    host = simulated()
    play, file = role(controller, host.command()["gpupass_executable"])
    before = host.machine.snapshot()
    checked = controller.play(play, "-i", "hosts.yml", "--check", "--diff")
    assert checked.status == 0 and "changed=3" in checked.text, checked.text
    assert host.machine.snapshot() == before and not file.exists()
    done = controller.play(play, "-i", "hosts.yml")
    assert done.status == 0 and "changed=4" in done.text, done.text
    assert host.machine.driver(LONE) == "vfio-pci" and yaml.safe_load(file.read_text()) == PROFILE
    assert "/etc/gpupass/profile.yaml" in host.machine.etc()
    for arguments in ([], ["--check"]):
        again = controller.play(play, "-i", "hosts.yml", *arguments)
        assert again.status == 0 and "changed=0" in again.text, again.text


def test_the_role_on_a_host_without_gpupass_is_only_checked(controller):
    play, _file = role(controller, "/nowhere/gpupass")
    checked = controller.play(play, "-i", "hosts.yml", "--check")
    assert checked.status == 0 and "skipped=5" in checked.text, checked.text


CARD = "address: 03:00.0", f"address: {NIC}"


def test_the_readme_s_playbook(controller, simulated):
    """With gpupass on the PATH: for one domain, for another one, and back; each checked with a diff before."""
    host = simulated()
    host.command()
    path = f"{host.directory}:{controller.environment['PATH']}"
    play = readme_s_playbook(controller, {}, CARD)
    for domain in ("vm1", "vm2", "vm1"):
        domain_is = ("-e", f"domain={domain}", "--diff")
        foretold, done = play(*domain_is, "--check", PATH=path), play(*domain_is, PATH=path)
        is_as_foretold(foretold.in_order()[-1], done.in_order()[-1])
        assert f'+      "{domain}"' in foretold.text, foretold.text
        assert host.machine.libvirt.holders(GPU) == [domain]
    is_done_already(play("--check", PATH=path).in_order()[-1])
    assert host.machine.read(f"/sys/bus/pci/devices/{NIC}/sriov_numvfs") == "4"


def test_the_readme_s_playbook_on_a_recorded_host(controller, simulated):
    """What would be done there is what is then done on the host; in the record itself nothing can be done."""
    host, record = simulated(), controller.directory / "record"
    host.command()
    record_host(host.machine, record, "qemu:///system")
    path = f"{host.directory}:{controller.environment['PATH']}"
    play = readme_s_playbook(controller, {}, CARD)
    file = controller.directory / "gpus.yml"
    (as_it_stands,) = yaml.safe_load(file.read_text())
    there = {"gpupass.kvm.gpupass_profile": {"host": str(record)}}
    file.write_text(yaml.safe_dump([{**as_it_stands, "module_defaults": there}]))
    foretold, refused = (play(*arguments).in_order()[-1] for arguments in (("--check", "--diff"), ()))
    assert refused["failed"] and not refused.get("changed") and "it is a recorded host" in refused["msg"]
    file.write_text(yaml.safe_dump([as_it_stands]))
    is_as_foretold(foretold, play("--diff", PATH=path).in_order()[-1])


@pytest.mark.parametrize("recorded", ["server-sriov", "amd-mi300x", "no-iommu"])
def test_info_of_recorded_hosts(recorded, controller, simulated):
    """What the documentation says is returned is returned, and nothing else."""
    directory = str(ROOT / "tests/hosts" / recorded)
    plan = {"profile": "version: 1\n", "host": directory}
    played = controller.tasks(
        {"host": simulated().command()},
        {"gpupass.kvm.gpupass_info": {"host": directory}},
        {"gpupass.kvm.gpupass_profile": {**plan, "state": "checked"}},
        {"gpupass.kvm.gpupass_profile": plan, "check_mode": True},
        {"gpupass.kvm.gpupass_profile": plan},
    )
    info, checked, planned, applied = played.in_order()
    assert info["msg"].startswith(f"{len(info['devices'])} devices, ") and info["version"]
    assert checked["matches"] and not planned["changed"] and not planned.get("failed")
    assert applied["failed"] and "it is a recorded host" in applied["msg"]
    for module, result in (("gpupass_info", info), ("gpupass_profile", checked)):
        documented = controller.run("ansible-doc", "--json", f"gpupass.kvm.{module}")
        is_documented(json.loads(documented.stdout)[f"gpupass.kvm.{module}"]["return"], result)


ANSIBLES = {
    "invocation",
    "warnings",
    "exception",
    "failed",
    "_ansible_no_log",
    "ansible_facts",
    "stdout_lines",
}
KINDS = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list": list}


def is_documented(returned, result, at=""):
    """Each key, of the type it is said to be of, down to where the documentation stops."""
    beside = set() if at else ANSIBLES | {"changed"}
    assert result.keys() - beside <= returned.keys(), (at, result.keys() - returned.keys())
    for name, value in result.items():
        said = returned.get(name)
        if said is None or value is None:
            continue
        kind = KINDS[said["type"]]
        assert isinstance(value, (int, float) if kind is float else kind), (at, name, value)
        for one in value if kind is list else [value]:
            if said.get("contains") and set(said["contains"]) >= {"number", "status"}:
                is_documented(said["contains"], one, f"{at}.{name}")
            elif kind is list:
                assert isinstance(one, KINDS[said["elements"]]), (at, name, one)
