"""The role, gpupass_info, and what the README shows."""

import json

import pytest
import yaml

from tests.ansible.conftest import LOCAL, ROOT
from tests.simulated import GPU, LONE

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
    assert checked.status == 0 and "skipped=4" in checked.text, checked.text


def test_the_readme_s_playbook(controller, simulated):
    """As it stands there, with gpupass on the PATH: checked with a diff, done, done again."""
    host = simulated()
    host.command()
    text = (ROOT / "README.md").read_text().partition("## Ansible")[2].partition("```yaml\n")[2]
    play = controller.directory / "gpus.yml"
    play.write_text(text.partition("```")[0])
    assert len(play.read_text().splitlines()) <= 12
    (controller.directory / "hosts.yml").write_text(yaml.safe_dump({"gpu_hosts": {"hosts": {"host": LOCAL}}}))
    path = f"{host.directory}:{controller.environment['PATH']}"
    arguments = ("-i", "hosts.yml")
    foretold = controller.play(play, *arguments, "--check", "--diff", PATH=path)
    done = controller.play(play, *arguments, "--diff", PATH=path)
    again = controller.play(play, *arguments, PATH=path)
    results = [played.in_order()[-1] for played in (foretold, done, again)]
    assert [result["changed"] for result in results] == [True, True, False], done.text
    assert results[0]["diff"] == results[1]["diff"] and '+    "driver": "vfio-pci"' in foretold.text
    assert host.machine.libvirt.holders(GPU) == ["vm1"]


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
