"""gpupass_doctor and what the role does with it, on a simulated Debian whose IOMMU is off."""

import yaml

from tests.ansible.conftest import LOCAL
from tests.ansible.foretold import is_as_foretold, twice
from tests.unit.doctor.test_command_line import without_an_iommu

DROP_IN = "/etc/default/grub.d/zz-gpupass.cfg"
FIX = {"gpupass.kvm.gpupass_doctor": {"fix": True, "for": ["passthrough"]}}


def test_what_is_wrong_is_told_and_set_right(controller, simulated):
    """In check mode the same, and nothing is written; then the boot loader is told, and a reboot is needed."""
    host = simulated()
    host.happens(without_an_iommu)
    played = controller.tasks({"host": host.command()}, {"gpupass.kvm.gpupass_doctor": {}}, *twice(FIX))
    assert played.status == 0, played.text
    looked, foretold, done, again = played.in_order()
    (iommu,) = [one for one in looked["findings"] if one["id"] == "iommu.on"]
    assert iommu["level"] == "fail" and "update-grub" in iommu["remedy"] and not looked["changed"]
    for result in (foretold, done, again):
        result["counts"] = result["findings"] = None  # looked at before it is done, and afterwards
    assert (foretold.pop("reboot_required"), done.pop("reboot_required")) == (False, True)
    foretold["msg"] = done["msg"] = ""
    is_as_foretold(foretold, done)
    assert not again["changed"] and again["reboot_required"]
    assert "intel_iommu=on" in host.machine.etc()[DROP_IN][0]


def test_the_role_reboots_only_where_it_may(controller, simulated):
    host = simulated()
    host.happens(without_an_iommu)
    command = host.command()["gpupass_executable"]
    variables = {
        "gpupass_host_install": "none",
        "gpupass_host_command": command,
        "gpupass_host_doctor": True,
        "gpupass_host_doctor_for": ["passthrough"],
    }
    (controller.directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"host": LOCAL}}}))
    play = controller.directory / "play.yml"
    for more, check, words in (
        ({}, ["--check"], "changed=1"),
        ({}, [], "has to be rebooted (gpupass_host_reboot: true lets the role do it)"),
        (
            {"gpupass_host_reboot": True},
            ["--check"],
            "would reboot the control node",
        ),  # says Ansible, and does not
    ):
        roles = [{"role": "gpupass.kvm.gpupass_host", "vars": variables | more}]
        play.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "roles": roles}]))
        done = controller.play(play, "-i", "hosts.yml", *check)
        assert words in done.text and (done.status == 0 or more), done.text
    assert "intel_iommu=on" in host.machine.etc()[DROP_IN][0]
