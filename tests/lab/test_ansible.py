"""The collection against the emulated host: what check mode says is what kernel and libvirt then show."""

import pytest

from tests.ansible.conftest import Controller
from tests.ansible.foretold import is_as_foretold, is_done_already, twice
from tests.lab.conftest import COPY, LAB, SERVED
from tests.lab.test_profiles import AUDIO, GPU, PROFILE, seen, vfs

pytestmark = pytest.mark.lab

PROGRAM = "/root/gpupass-served"
LATER = PROFILE.replace("vm1, device: render", "vm2, device: render").replace(
    "vm2, device: nic", "vm1, device: nic"
)


@pytest.fixture
def play(mixed, tmp_path):
    """`play(task, …)` in the lab, as root there."""
    ask = f"python3 -I -S {COPY}/tests/lab/inside/ask.py {SERVED}"
    mixed.sh(f"printf '#!/bin/sh\\nexec {ask} \"$@\"\\n' > {PROGRAM}; chmod 755 {PROGRAM}")
    controller = Controller(tmp_path)
    lab = {
        "ansible_connection": "gpupass_lab",
        "ansible_host": f"{LAB}-{mixed.topology}",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_remote_tmp": "/root/.ansible/tmp",
        "gpupass_executable": PROGRAM,
    }
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
