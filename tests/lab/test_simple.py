"""The verbs and the fault cases of hot-plug on free-standing displays (numbers: fault cases by design)."""

import json
import os
import subprocess
import threading

import pytest

from tests.lab.conftest import COPY, REMEMBERED

pytestmark = pytest.mark.lab

GPU = "0000:01:00.0"
OTHER = "0000:02:00.0"
NIC = "0000:04:00.0"
GROUP = "$(basename $(readlink /sys/bus/pci/devices/0000:01:00.0/iommu_group))"


def results(document):
    return [item["result"] for item in document["changes"]]


def records(host):
    return host.remembered("claim", "quarantine", "origin")


def kill_qemu(host, domain):
    state = f"virsh domstate {domain} | grep -q shut"
    host.sh(
        f"pkill -9 -f [g]uest={domain},; for i in $(seq 100); do {state} && exit 0; sleep 0.1; done; exit 1"
    )


def test_list_show_and_groups_tell_what_lspci_tells(simple):
    gpus = simple.gpupass("list")["devices"]
    assert [gpu["address"] for gpu in gpus] == [GPU, OTHER]
    everything = simple.functions()
    for line in simple.sh("lspci -Dnk | grep -v '^\\s*Kernel modules\\|DeviceName\\|Subsystem'").split(
        "\n0000:"
    ):
        address = "0000:" + line.removeprefix("0000:").split()[0]
        if address in everything:
            driver = line.partition("Kernel driver in use: ")[2].strip() or None
            assert everything[address]["driver"] == driver
    shown = simple.gpupass("show", "1:0.0")
    assert json.dumps(shown).count(GPU) >= 1
    assert any(GPU in json.dumps(group) for group in simple.gpupass("groups")["groups"])


def test_a_record_reads_like_the_host(simple):
    simple.sh("rm -rf /root/rec; gpupass record /root/rec")
    for verb in ("list", "groups"):
        assert simple.gpupass(verb, "--host", "/root/rec") == simple.gpupass(verb)


def test_an_ordinary_user_can_look_and_is_told_what_is_missing(simple):
    out = simple.sh("id look >/dev/null 2>&1 || useradd look; su look -s /bin/sh -c 'gpupass list --json'")
    document = json.loads(out)
    assert [gpu["address"] for gpu in document["devices"]] == [GPU, OTHER]
    assert document["unseen"]
    done = simple.lab.run(["su", "look", "-s", "/bin/sh", "-c", f"gpupass bind {GPU}"])
    assert done.returncode == 4
    assert b"you are not root" in done.stderr and b"sudo" in done.stderr


def test_bind_and_unbind(simple):
    assert results(simple.gpupass("bind", GPU, "--dry-run")) == ["planned"]
    assert simple.driver(GPU) == "bochs-drm"
    assert results(simple.gpupass("bind", GPU)) == ["done"]
    assert simple.driver(GPU) == "vfio-pci"
    assert simple.sh(f"cat /sys/bus/pci/devices/{GPU}/driver_override").strip() == "vfio-pci"
    assert results(simple.gpupass("bind", GPU)) == ["nothing"]
    assert results(simple.gpupass("unbind", GPU)) == ["done"]
    assert simple.driver(GPU) == "bochs-drm"
    assert simple.sh(f"cat /sys/bus/pci/devices/{GPU}/driver_override").strip() == "(null)"
    assert results(simple.gpupass("unbind", GPU)) == ["nothing"]
    assert records(simple) == []


def test_attach_move_detach_again_and_again(simple):
    """Fault 1: no leaked claim, file or port after many rounds."""
    simple.gpupass("attach", "vm1", GPU)
    assert simple.hostdevs("vm1") == {GPU}
    for target in ("vm2", "vm1") * 3:
        assert results(simple.gpupass("move", GPU, "--to", target)) == ["done"]
        assert simple.hostdevs(target) == {GPU}
    assert simple.hostdevs("vm2") == set()
    assert results(simple.gpupass("move", GPU, "--to", "vm1")) == ["nothing"]
    assert results(simple.gpupass("detach", "vm1", GPU)) == ["done"]
    assert results(simple.gpupass("detach", "vm1", GPU)) == ["nothing"]
    assert simple.hostdevs("vm1") == set()
    assert simple.sh(f"fuser /dev/vfio/{GROUP} 2>&1 || true").strip() == ""
    assert records(simple) == [GPU]  # only the way back to its host driver
    simple.gpupass("unbind", GPU)
    assert records(simple) == []


def test_nothing_is_leaked(simple):
    """Fault 1: after many rounds QEMU and gpupass hold what they held after the first."""
    rounds = os.environ.get("GPUPASS_ROUNDS", "25")
    out = simple.sh(
        f"python3 -P /opt/gpupass-copy/tests/lab/inside/again.py vm1 {GPU} {rounds}", timeout=1200
    )
    found = json.loads(out)
    assert found["rounds"] == int(rounds)
    assert found["last"] == found["first"]


def test_who_uses_it_is_shown(simple):
    simple.gpupass("attach", "vm1", GPU)
    (gpu,) = [item for item in simple.gpupass("list")["devices"] if item["address"] == GPU]
    users = {(user["kind"], user["name"]) for user in gpu["users"]}
    assert ("domain", "vm1") in users
    assert any(kind == "process" for kind, _ in users)


def test_a_guest_that_refuses(simple):
    """Faults 2, 4 and 10: pending, locked, nobody else gets it; a guest reset or destroy ends it."""
    simple.gpupass("attach", "stone", GPU)
    assert "stone has not let go" in simple.refused_pending("detach", "stone", GPU, "--timeout", "3")
    assert "is attached to stone" in simple.refused("attach", "vm2", GPU)
    simple.refused_pending("move", GPU, "--to", "vm2", "--timeout", "3")
    assert simple.hostdevs("vm2") == set()
    simple.gpupass("recover", code=6)
    assert "attached to stone" in simple.refused("unbind", GPU)
    simple.sh("virsh -q reset stone")
    assert results(simple.gpupass("recover", "--wait")) == ["done"]
    assert simple.hostdevs("vm2") == {GPU}, "the pending move goes on when the guest has let go"


def test_a_new_order_replaces_a_pending_one(simple):
    simple.gpupass("attach", "stone", GPU)
    simple.refused_pending("move", GPU, "--to", "vm1", "--timeout", "2")
    simple.refused_pending("move", GPU, "--to", "vm2", "--timeout", "2")
    simple.sh("virsh -q destroy stone")
    assert results(simple.gpupass("recover")) == ["done"]
    assert simple.hostdevs("vm1") == set() and simple.hostdevs("vm2") == {GPU}


def test_a_slow_guest_is_waited_for_afterwards(simple):
    """Fault 3: the late removal still leads to a verified release."""
    simple.gpupass("attach", "sloth", GPU)
    simple.refused_pending("detach", "sloth", GPU, "--timeout", "1")
    assert results(simple.gpupass("recover", "--wait")) == ["done"]
    assert simple.hostdevs("sloth") == set()
    assert records(simple) == [GPU]


def test_detach_while_the_guest_boots(simple):
    """Fault 5: a request that the guest could not hear yet is sent again."""
    simple.sh("virsh -q destroy vm1")
    simple.sh("virsh -q start vm1 --paused")
    simple.gpupass("attach", "vm1", GPU)
    simple.sh("virsh -q resume vm1")
    assert results(simple.gpupass("detach", "vm1", GPU, "--timeout", "90")) == ["done"]


def test_two_detaches_at_once(simple):
    """Fault 8: the second waits for the first, or is refused; never interleaved."""
    simple.gpupass("attach", "vm1", GPU)
    codes = []

    def detach():
        codes.append(simple.lab.run(["gpupass", "detach", "vm1", GPU], timeout=120).returncode)

    clients = [threading.Thread(target=detach) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sorted(codes) in ([0, 0], [0, 4])
    assert simple.hostdevs("vm1") == set()


def test_a_paused_domain(simple):
    """Fault 9: pending while it is paused, done when it runs again."""
    simple.gpupass("attach", "vm1", GPU)
    simple.sh("virsh -q suspend vm1")
    simple.refused_pending("detach", "vm1", GPU, "--timeout", "3")
    simple.sh("virsh -q resume vm1")
    assert results(simple.gpupass("recover", "--wait")) == ["done"]


def test_qemu_killed_while_attached(simple):
    """Fault 11: the device comes back clean without anybody's detach."""
    simple.gpupass("attach", "vm1", GPU)
    kill_qemu(simple, "vm1")
    assert results(simple.gpupass("recover")) == ["done"]
    assert records(simple) == [GPU]
    simple.gpupass("attach", "vm2", GPU)


def test_qemu_killed_while_unplugging(simple):
    """Fault 11, second half."""
    simple.gpupass("attach", "stone", GPU)
    simple.refused_pending("detach", "stone", GPU, "--timeout", "2")
    kill_qemu(simple, "stone")
    assert results(simple.gpupass("recover")) == ["done"]
    assert records(simple) == [GPU]


def test_a_process_that_holds_the_device_is_named(simple):
    """Fault 16: refused with its pid, no unbind issued."""
    pid = simple.sh(
        f"card=$(ls -d /sys/bus/pci/devices/{GPU}/drm/card*); "
        "setsid sleep 300 < /dev/dri/$(basename $card) > /dev/null 2>&1 & echo $!"
    ).strip()
    assert pid in simple.refused("bind", GPU)
    assert simple.driver(GPU) == "bochs-drm"
    simple.sh(f"kill {pid}")
    simple.gpupass("bind", GPU)


def test_what_is_held_where_nobody_sees_it_is_not_unbound(simple):
    """Fault 17: a VFIO file in flight between two sockets is held by nobody that /proc shows; the kernel would wait."""
    simple.gpupass("bind", GPU)
    simple.sh(
        f"setsid python3 -P {COPY}/tests/lab/inside/hide_device.py {GPU} >/run/hidden 2>&1 & "
        "for i in $(seq 100); do grep -q hidden /run/hidden && break; sleep 0.1; done; cat /run/hidden"
    )
    assert "somebody in the kernel has /dev/vfio/" in simple.refused("unbind", GPU, code=1)
    assert simple.driver(GPU) == "vfio-pci" and records(simple) == [GPU]
    simple.sh("pkill -f [h]ide_device.py")
    simple.gpupass("unbind", GPU)


def test_an_unbind_that_hangs_leaves_the_tool_alive(simple, tmp_path):
    """Its file lies on a frozen file system: who writes there sleeps in the kernel, and no signal ends that."""
    image, unbind = tmp_path / "frozen.img", "/sys/bus/pci/drivers/bochs-drm/unbind"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", image, "1M"], check=True)
    simple.lab.put(image, "/root/frozen.img")
    simple.sh(
        "mkdir /run/frozen; mount /root/frozen.img /run/frozen; touch /run/frozen/file; "
        f"mount --bind /run/frozen/file {unbind}; fsfreeze -f /run/frozen"
    )
    assert "does not return" in simple.refused("bind", GPU, code=5)
    assert [item["carrier"] for item in simple.gpupass("quarantine", "list")["quarantine"]] == [GPU]
    assert [gpu["address"] for gpu in simple.gpupass("list")["devices"]] == [GPU, OTHER]
    assert "quarantine" in simple.refused("attach", "vm1", GPU)
    assert results(simple.gpupass("bind", NIC)) == ["done"]
    simple.sh(f"fsfreeze -u /run/frozen; umount {unbind}")
    assert simple.gpupass("recover")["changes"] == [], "a person says when it is good again"
    simple.gpupass("quarantine", "clear", GPU)
    simple.gpupass("bind", GPU)
    assert simple.driver(GPU) == "vfio-pci"


def test_somebody_unbinds_an_attached_device(simple):
    """Fault 18: QEMU unplugs it, the claim ends, the tool does not hang."""
    simple.gpupass("attach", "vm1", GPU)
    simple.sh(f"echo {GPU} > /sys/bus/pci/devices/{GPU}/driver/unbind", timeout=60)
    assert simple.hostdevs("vm1") == set()
    assert results(simple.gpupass("recover")) == ["done"]
    assert records(simple) == [GPU]


def test_somebody_unbinds_and_the_guest_refuses(simple):
    """Fault 19: the writer blocks until the domain is gone; gpupass goes on working."""
    simple.gpupass("attach", "stone", GPU)
    simple.sh(
        f"setsid sh -c 'echo {GPU} > /sys/bus/pci/devices/{GPU}/driver/unbind' >/dev/null 2>&1 & sleep 1"
    )
    assert len(simple.gpupass("list")["devices"]) == 2
    simple.refused_pending("detach", "stone", GPU, "--timeout", "2")
    simple.sh("virsh -q destroy stone")
    assert results(simple.gpupass("recover", "--wait")) == ["done"]


def test_no_free_port_and_ports_without_hotplug(simple):
    """Fault 23."""
    simple.start("full", options="--ports 0")
    assert "no free hot-plug port" in simple.refused("attach", "full", GPU)
    simple.sh(
        "lab-domain cold --ports 1; virsh dumpxml cold | sed \"s/<target \\(.*memReserve\\)/<target hotplug='off' \\1/\" > /tmp/cold.xml; "
        "virsh -q undefine cold; virsh -q define /tmp/cold.xml; virsh -q start cold"
    )
    assert "hotplug='off'" in simple.refused("attach", "cold", GPU)
    assert simple.driver(GPU) == "bochs-drm"


def test_a_window_too_small_for_the_bars(simple):
    """Fault 24: libvirt would report success and the guest could not use it."""
    simple.start("tight", options="--window 0")
    text = simple.refused("attach", "tight", GPU)
    assert "16 MiB" in text and "2 MiB" in text


def test_memory_lock_limit(simple):
    """Fault 25."""
    simple.sh("virsh -q memtune vm1 --hard-limit 200000 --live")
    assert "hard_limit" in simple.refused("attach", "vm1", GPU)


def test_another_domains_definition_claims_it(simple):
    """Fault 27."""
    simple.sh(
        "cat > /tmp/dev.xml <<X\n<hostdev mode='subsystem' type='pci' managed='yes'><source>"
        "<address domain='0' bus='1' slot='0' function='0'/></source></hostdev>\nX\n"
        "virsh -q attach-device vm2 /tmp/dev.xml --config"
    )
    said = simple.gpupass("attach", "vm1", GPU)  # vm2 does not run: no reason to refuse
    assert results(said) == ["done"] and "persistent definition of vm2" in json.dumps(said)


def test_a_display_without_a_reset_of_its_own_gets_the_slots(simple):
    simple.sh(f"echo > /sys/bus/pci/devices/{GPU}/reset_method")
    assert simple.gpupass("show", GPU)["device"]["reset_methods"] == []
    steps = simple.gpupass("attach", "vm1", GPU, "--dry-run")["steps"]
    assert [step["details"]["method"] for step in steps if step["step"] == "ResetDevice"] == ["bus"]
    assert results(simple.gpupass("attach", "vm1", GPU)) == ["done"]
    assert results(simple.gpupass("detach", "vm1", GPU)) == ["done"]


def test_configuration_space_that_reads_all_ones(simple):
    """Fault 30a: the port's power is cut, the device is quarantined and not handed on."""
    simple.gpupass("attach", "vm1", GPU)
    simple.sh("setpci -s 00:10.0 CAP_EXP+18.w=0400:0400")
    code = simple.lab.run(["gpupass", "detach", "vm1", GPU, "--json"], timeout=120).returncode
    assert code == 5
    assert [item["carrier"] for item in simple.gpupass("quarantine", "list")["quarantine"]] == [GPU]
    assert "quarantine" in simple.refused("attach", "vm2", GPU)


def test_the_device_vanishes_from_the_host(simple):
    """Fault 30b: pulled out while a guest has it."""
    simple.gpupass("attach", "vm1", GPU)
    simple.lab.qmp("device_del", id="gpu0")
    simple.sh(f"for i in $(seq 300); do [ -e /sys/bus/pci/devices/{GPU} ] || exit 0; sleep 0.1; done; exit 1")
    assert simple.hostdevs("vm1") == set()
    simple.gpupass("recover")
    assert records(simple) == []
    simple.refused("attach", "vm1", GPU, code=2)


def test_an_operator_detaches_with_virsh(simple):
    """Fault 33: gone without our order: cleaned by the next recover."""
    simple.gpupass("attach", "vm1", GPU)
    simple.sh(
        "virsh dumpxml vm1 | sed -n '/<hostdev/,/<\\/hostdev/p' > /tmp/dev.xml; virsh -q detach-device vm1 /tmp/dev.xml; "
        "for i in $(seq 100); do virsh dumpxml vm1 | grep -q '<hostdev' || exit 0; sleep 0.1; done; exit 1"
    )
    assert records(simple) == [GPU] * 2  # still claimed
    assert results(simple.gpupass("recover")) == ["done"]
    assert records(simple) == [GPU]


BAD_INPUT = (
    (("bind", "99:00.0"), 2, "cannot find"),
    (("bind", "zz:00.0"), 2, "cannot find"),
    (("bind", GPU, "--driver", "no-such-driver"), 2, "no-such-driver"),
    (("attach", "nobody", GPU), 2, "nobody"),
    (("attach", "vm9", GPU), 4, "not running"),
    (("move", GPU, "--to", "vm9"), 4, "not running"),
    (("attach", "vm1", "00:10.0"), 4, "bridge"),
)


def test_bad_input_changes_nothing(simple):
    simple.sh("lab-domain vm9")
    for argv, code, text in BAD_INPUT:
        assert text in simple.refused(*argv, code=code)
    assert simple.driver(GPU) == "bochs-drm"
    assert records(simple) == []


def test_libvirt_is_not_running(simple):
    simple.sh(
        "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd 2>/dev/null; rm -f /run/libvirt/libvirt-sock*"
    )
    assert "cannot connect to libvirt" in simple.refused("attach", "vm1", GPU)
    document = simple.gpupass("list")
    assert any("libvirt" in text for text in document["unseen"])
    simple.gpupass("bind", GPU)


def test_a_journal_from_before_a_reboot(simple):
    simple.lab.run(["sh", "-c", f"python3 -P {COPY}/tests/lab/inside/killed.py 3 bind {GPU}"], timeout=60)
    simple.sh(f"{REMEMBERED} elsewhen")
    document = simple.gpupass("recover")
    assert results(document) == ["rolled-back"]
    simple.gpupass("bind", GPU)
