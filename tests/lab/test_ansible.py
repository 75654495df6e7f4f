"""The collection against the emulated host: what check mode says is what kernel and libvirt then show."""

import pytest

from tests.ansible.conftest import Controller
from tests.ansible.foretold import is_as_foretold, is_done_already, twice
from tests.lab.conftest import COPY, LAB, SERVED
from tests.lab.ssh import reached_by_ssh
from tests.lab.test_profiles import AUDIO, GPU, PROFILE, seen, vfs

pytestmark = pytest.mark.lab

PROGRAM = "/root/gpupass-served"
LATER = PROFILE.replace("vm1, device: render", "vm2, device: render").replace(
    "vm2, device: nic", "vm1, device: nic"
)


def prepared(host):
    """The variables of a host that Ansible works on, but for how it is reached."""
    ask = f"python3 -I -S {COPY}/tests/lab/inside/ask.py {SERVED}"
    host.sh(f"printf '#!/bin/sh\\nexec {ask} \"$@\"\\n' > {PROGRAM}; chmod 755 {PROGRAM}")
    return {
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_remote_tmp": "/root/.ansible/tmp",
        "gpupass_executable": PROGRAM,
    }


def by_channel(host):
    lab = {"ansible_connection": "gpupass_lab", "ansible_host": f"{LAB}-{host.topology}"}
    return {**prepared(host), **lab}


@pytest.fixture
def play(mixed, tmp_path):
    """`play(task, …)` in the lab, as root there."""
    controller, lab = Controller(tmp_path), by_channel(mixed)
    return lambda *tasks: controller.tasks({"lab": lab}, *tasks)


def profile(text, **options):
    return {"gpupass.kvm.gpupass_profile": {"profile": text, "allow_disruption": True, **options}}


def test_there_changed_and_gone(mixed, play):
    before = seen(mixed)
    for text, state in ((PROFILE, "present"), (LATER, "present"), (LATER, "absent")):
        played = play(*twice(profile(text, state=state))[:2])
        is_as_foretold(*played.in_order())
        if state == "present":
            first, second = ("vm1", "vm2") if text == PROFILE else ("vm2", "vm1")
            assert mixed.hostdevs(first) == {GPU, AUDIO} and mixed.hostdevs(second) == {vfs(mixed)[0]}
    is_done_already(*play(profile(LATER, state="absent")).in_order())
    assert seen(mixed) == before


def test_facts_are_those_of_the_host(mixed, play):
    (info,) = play({"gpupass.kvm.gpupass_info": {"gather_subset": ["devices"]}}).in_order()
    assert info["devices"] == mixed.gpupass("list")["devices"] and not info["changed"]
    assert GPU in [device["address"] for device in info["devices"]]


def test_by_ssh(groups, tmp_path):
    """Checked, done and checked; and the card that ssh comes by is refused before and when it is to be taken."""
    groups.start("vm1")
    lone, network = groups.sh("lspci -Dnd 1234:1111 | tail -1").split()[0], groups.find("8086:10d3")
    attachment = {"gpupass.kvm.gpupass_attachment": {"device": lone, "domain": "vm1"}}
    cut_off = profile(
        f"version: 1\ngpus: [{{name: nic, select: {{address: '{network}'}}, use: passthrough}}]\n"
    )
    assert groups.sh("pgrep -x sshd || true") == ""
    with reached_by_ssh(groups, tmp_path) as way:
        host = {**prepared(groups), **way}
        played = Controller(tmp_path).tasks(
            {"lab": host}, *twice(attachment), {**cut_off, "check_mode": True}, cut_off
        )
    foretold, done, again, *refused = played.in_order()
    is_as_foretold(foretold, done)
    is_done_already(again)
    assert groups.hostdevs("vm1") == {lone}
    for one in refused:
        assert one["failed"] and not one["changed"] and one["error"]["code"] == "refused", one
        assert "network" in one["msg"] and "\n" not in one["msg"]
    assert groups.driver(network) == "e1000e"
