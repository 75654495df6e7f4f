"""A whole host in one file: plan, apply, check, edit, roll back; killed, cut off and rebooted in between."""

import time

import pytest

pytestmark = pytest.mark.lab

GPU, AUDIO, LONE, PF = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:03:00.0"
PROFILE = f"""
version: 1
gpus:
  - {{name: render, select: {{address: "{GPU}"}}, use: passthrough}}
  - name: nic
    select: {{address: "{PF}"}}
    use: sriov
    vfs: 4
    vf: {{driver: vfio-pci}}
attachments:
  - {{domain: vm1, device: render}}
  - {{domain: vm2, device: nic/vf0}}
"""
SMALL = f"""
version: 1
gpus:
  - {{name: render, select: {{address: "{GPU}"}}, use: passthrough}}
  - {{name: nic, select: {{address: "{PF}"}}, use: sriov, vfs: 1, vf: {{driver: vfio-pci}}}}
"""


def write(host, name, text):
    host.sh(f"cat > /root/{name} <<'END'\n{text}\nEND")
    return f"/root/{name}"


def seen(host):
    """All that a profile changes, as kernel and libvirt tell it."""
    functions = {
        address: (one["driver"], one["driver_override"], (one["sriov"] or {}).get("autoprobe"))
        for address, one in host.functions().items()
    }
    return functions, host.hostdevs("vm1"), host.hostdevs("vm2")


def steps(document):
    return [step["step"] for step in document["steps"]]


def vfs(host):
    return host.gpupass("show", PF)["device"]["sriov"]["vfs"]


def test_the_whole_trip(mixed):
    before = seen(mixed)
    file = write(mixed, "host.yaml", PROFILE)
    assert mixed.gpupass("check", file, code=3)["matches"] is False
    planned = mixed.gpupass("plan", file, "--out", "/root/plan.json", code=3)
    assert seen(mixed) == before
    mixed.gpupass("apply", "/root/plan.json", "--yes")
    assert mixed.gpupass("check", file)["matches"] is True
    assert not steps(mixed.gpupass("plan", file)) and "SetVfs" in steps(planned)
    mixed.sh("gpupass export > /root/now.yaml 2>/dev/null")
    assert not steps(mixed.gpupass("plan", "/root/now.yaml"))
    made = vfs(mixed)
    assert len(made) == 4 and {mixed.driver(vf) for vf in made} == {"vfio-pci"}
    assert (mixed.driver(GPU), mixed.driver(AUDIO)) == ("vfio-pci", "vfio-pci")
    assert mixed.hostdevs("vm1") == {GPU, AUDIO} and mixed.hostdevs("vm2") == {made[0]}
    assert mixed.gpupass("show", "nic/vf0")["device"]["address"] == made[0]
    first = seen(mixed)

    edited = write(mixed, "edited.yaml", PROFILE.replace("vm2, device: nic/vf0", "vm2, device: nic/vf1"))
    assert mixed.gpupass("diff", file, edited, code=3)["differ"]
    minimal = mixed.gpupass("plan", edited, code=3)
    assert [plan["title"] for plan in minimal["changes"] if plan["steps"]] == [f"nic: sriov {PF}"]
    assert [d["victim"] for d in minimal["disrupts"]] == ["domain vm2"]
    assert "vm2" in mixed.refused("apply", edited, "--yes")
    assert "has changed since" in mixed.refused("apply", "/root/plan.json", "--yes")
    assert seen(mixed) == first
    mixed.gpupass("apply", edited, "--yes", "--allow-disruption")
    assert mixed.hostdevs("vm2") == {made[1]}

    fewer = write(mixed, "fewer.yaml", PROFILE.replace("vfs: 4", "vfs: 2").replace("nic/vf0", "nic/vf1"))
    assert "in use by domain vm2" in mixed.refused("apply", fewer, "--yes", "--allow-disruption")
    mixed.gpupass("rollback", "--yes", "--allow-disruption")
    assert seen(mixed) == first
    mixed.gpupass("rollback", "--yes", "--allow-disruption")
    assert seen(mixed) == before
    told = mixed.gpupass("history")["history"]
    assert [entry["result"] for entry in told] == ["taken-back", "taken-back", "done", "done"]
    assert mixed.refused("rollback", "--yes", code=2)


def test_what_others_made_is_left_alone(mixed):
    mixed.sh(f"echo 2 > /sys/bus/pci/devices/{PF}/sriov_numvfs")
    file = write(mixed, "host.yaml", PROFILE)
    assert "did not make" in mixed.refused("apply", file, "--yes")
    assert len(vfs(mixed)) == 2
    mixed.gpupass("adopt", PF)
    mixed.gpupass("apply", file, "--yes")
    assert len(vfs(mixed)) == 4


def test_one_device_fails_and_the_other_is_done(mixed):
    """The kernel makes none of the functions asked for: that device is rolled back."""
    before = mixed.functions()[PF]
    mixed.sh(f"mount --bind /dev/null /sys/bus/pci/devices/{PF}/sriov_numvfs")
    file = write(mixed, "host.yaml", PROFILE.replace("  - {domain: vm2, device: nic/vf0}", ""))
    results = {r["title"]: r for r in mixed.gpupass("apply", file, "--yes", code=1)["changes"]}
    assert results[f"render: passthrough {GPU}"]["result"] == "done"
    assert results[f"nic: sriov {PF}"]["result"] == "failed"
    assert mixed.hostdevs("vm1") == {GPU, AUDIO}
    mixed.sh(f"umount /sys/bus/pci/devices/{PF}/sriov_numvfs")
    assert mixed.functions()[PF] == before


def test_killed_after_a_line(mixed):
    """Fault 12 for an apply of several devices: each is afterwards as before, or as asked for."""
    write(mixed, "small.yaml", SMALL)
    mixed.sh("gpupass export > /root/before.yaml 2>/dev/null")
    mixed.sh(f"grep -q '{PF}' /root/before.yaml || cat >> /root/before.yaml <<'END'\n"
             f"- {{name: nic, select: {{address: \"{PF}\"}}, use: host}}\nEND")  # fmt: skip
    mixed.killed("apply", "/root/small.yaml", 16)


def test_the_power_goes_in_mid_apply_and_every_boot_restores(mixed):
    file = write(mixed, "host.yaml", PROFILE)
    mixed.gpupass("enable", file, "--yes")
    mixed.sh("virsh autostart vm1; virsh autostart vm2; sync")
    mixed.sh(f"nohup gpupass apply {file} --yes >/dev/null 2>&1 & "
             "for i in $(seq 300); do grep -aqs 'done.:' /var/lib/gpupass/store.db-wal && exit 0; sleep 0.1; done; exit 1")  # fmt: skip
    mixed.lab.power_cycle()
    until = time.monotonic() + 300
    while mixed.lab.run(["gpupass", "check", file], timeout=300).returncode != 0:
        assert time.monotonic() < until, mixed.sh(
            "systemctl status gpupass gpupass-attach; gpupass check " + file, code=None
        )
        time.sleep(2)
    assert mixed.hostdevs("vm1") == {GPU, AUDIO} and mixed.hostdevs("vm2") == {vfs(mixed)[0]}
    mixed.gpupass("recover")
    assert mixed.gpupass("recover", "--dry-run")["changes"] == []
    mixed.gpupass("disable")
    assert not mixed.sh("ls /etc/gpupass /etc/systemd/system/gpupass{,-attach}.service 2>/dev/null || true")
