"""The collection against the emulated host: what check mode says is what kernel and libvirt then show."""

import pytest
import yaml

from tests.ansible.conftest import LOCAL, ROOT, Controller
from tests.ansible.foretold import is_as_foretold, is_done_already, readme_s_playbook, twice
from tests.lab.conftest import COPY, PYTHON, SERVED
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
    lab = {"ansible_connection": "gpupass_lab", "ansible_host": host.lab.instance.name}
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


def test_the_readme_s_playbook(mixed, tmp_path):
    """As it stands there: a display for one domain beside virtual functions, for another one, and back."""
    lab = by_channel(mixed)
    mixed.sh(f"mount --bind {PROGRAM} /usr/local/bin/gpupass")
    play = readme_s_playbook(Controller(tmp_path), lab)
    for domain, other in (("vm1", "vm2"), ("vm2", "vm1"), ("vm1", "vm2")):
        arguments = ("--diff", "-e", f"domain={domain}")
        (foretold,) = play(*arguments, "--check").in_order()
        assert mixed.hostdevs(domain) == set()
        (done,) = play(*arguments).in_order()
        is_as_foretold(foretold, done)
        assert mixed.hostdevs(domain) == {GPU, AUDIO} and mixed.hostdevs(other) == set()
    assert len(vfs(mixed)) == 4


ROLLING = """
version: 1
gpus:
  - {name: render, select: {address: "0000:01:00.0"}, use: passthrough}
  - {name: nic, select: {class: network, model: "8086:10c9"}, use: sriov, vfs: 2, vf: {driver: vfio-pci}}
attachments:
  - {domain: vm1, device: render}
"""


def test_a_change_rolls_over_two_hosts_and_stops_at_the_one_that_fails(simple, another, tmp_path):
    """What is done on the first stays; the kernel of the second makes no virtual function; the third is not reached."""
    network = another.find("8086:10c9")
    another.sh(f"mount --bind /dev/null /sys/bus/pci/devices/{network}/sriov_numvfs")
    names = {
        "first": by_channel(simple),
        "second": by_channel(another),
        "third": {"ansible_host": "no-such-lab"},
    }
    every = {**LOCAL, "ansible_connection": "gpupass_lab", "gpu_profile": ROLLING}
    fleet = {"gpu_hosts": {"hosts": {name: every | more for name, more in names.items()}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(fleet))
    later = {
        "hosts": "gpu_hosts",
        "gather_facts": False,
        "tasks": [{"name": "later", "ansible.builtin.ping": None}],
    }
    both = [{"import_playbook": str(ROOT / "profiles/ansible/change.yml")}, later]
    (tmp_path / "both.yml").write_text(yaml.safe_dump(both))
    played = Controller(tmp_path).play(tmp_path / "both.yml", "-i", "hosts.yml")
    assert played.status != 0 and "NO MORE HOSTS LEFT" in played.text, played.text
    assert [one["host"] for one in played.results] == ["first", "first", "second"], played.text
    applied, checked, failed = played.in_order()
    assert applied["changed"] and checked["matches"] and not checked["changed"]
    assert failed["failed"] and failed["changed"] and failed["msg"].startswith("cannot "), failed["msg"]
    assert "\n" not in failed["msg"] and "Done and not taken back" in failed["msg"]
    results = [(one["title"].partition(":")[0], one["result"]) for one in failed["changes"]]
    assert results == [("render", "done"), ("nic", "failed")]
    for host, made in ((simple, 2), (another, 0)):
        assert host.hostdevs("vm1") == {"0000:01:00.0"}
        assert len(host.gpupass("show", host.find("8086:10c9"))["device"]["sriov"]["vfs"]) == made


def test_libvirt_hangs(simple, tmp_path):
    """It is asked, and does not answer: failed in time and in one sentence, with nothing changed."""
    lone = simple.find("1234:1111")
    simple.sh("systemctl kill --signal=STOP libvirtd")
    task = {"gpupass.kvm.gpupass_attachment": {"device": lone, "domain": "vm1"}}
    one, two = (
        Controller(tmp_path).tasks({"lab": by_channel(simple)}, {**task, "check_mode": True}, task).in_order()
    )
    for result in (one, two):
        assert result["failed"] and not result["changed"], result
        assert result["error"]["code"] in ("no-libvirt", "no-answer") and result["error"]["retryable"]
        assert "libvirt does not answer" in result["msg"] and "\n" not in result["msg"]
        assert "What to do: systemctl status libvirtd" in result["msg"]
    simple.sh("systemctl kill --signal=CONT libvirtd")
    assert simple.hostdevs("vm1") == set()


def test_a_guest_that_keeps_it_and_a_gpupass_that_is_killed(simple, tmp_path):
    """Told apart; and the same task once more ends what was begun, and then there is nothing to do."""
    lab, killed_program = by_channel(simple), "/root/gpupass-killed"
    script = f"{PYTHON}; exec python3 -P {COPY}/tests/lab/inside/killed.py 4"
    simple.sh(f"printf '#!/bin/sh\\n{script} \"$@\"\\n' > {killed_program}; chmod 755 {killed_program}")
    kept, lone = simple.find("1234:1111"), simple.find("1234:1111", 1)

    def attachment(device, domain, **options):
        return {"gpupass.kvm.gpupass_attachment": {"device": device, "domain": domain, **options}}

    to_stone, to_vm1 = attachment(kept, "stone"), attachment(lone, "vm1")
    back = attachment(kept, "stone", state="absent", timeout=1)
    dies = attachment(lone, "vm1", executable=killed_program)
    played = Controller(tmp_path).tasks({"lab": lab}, to_stone, back, dies, to_vm1, to_vm1)
    given, pending, killed, ended, again = played.in_order()
    assert not given.get("failed") and pending["failed"] and pending["changed"], pending
    assert (pending["error"]["code"], pending["error"]["exit_code"]) == ("pending", 6)
    assert pending["error"]["retryable"] and simple.hostdevs("stone") == {kept}
    assert killed["failed"] and killed["changed"] and "was killed by signal 9" in killed["msg"], killed["msg"]
    assert not ended.get("failed") and ended["changed"], ended
    assert ended["changes"][0]["note"] == "a crash had left it open"
    is_done_already(again)
    assert simple.hostdevs("vm1") == {lone}


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
