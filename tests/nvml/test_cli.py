"""gpupass cuts GPUs: the command line in a process of its own, on NVIDIA's library as the double plays it."""

import json

import pytest
import yaml

from tests.nvml.host import rules

VM1, FOREIGN = "00000000-0000-0000-0000-000000000001", "1b4e28ba-0000-4000-8000-000000000001"
BALANCED_H100 = ("14@0:2@0", "19@2:1@0", "19@3:1@0", "9@4:3@0")


def cut(host, *wishes, status=0, more=(), **environment):
    ended = host.run("apply", host.profile(rules(*wishes)), "--yes", *more, **environment)
    assert ended.status == status, ended.text
    return ended.text


def test_there_and_back_on_hopper(machine):
    host = machine("H100-80")
    file = host.profile(rules("mig, layout: balanced"))
    before = host.snapshot()
    done = host.process("apply", file, "--yes")
    assert done.status == 0, done.text
    assert host.gpus() == {0: ("on", BALANCED_H100)}
    assert host.records() == {"0000:07:00.0": (("1g.10gb@2", "1g.10gb@3", "2g.20gb@0", "3g.40gb@4"), True)}
    assert host.process("check", file).status == 0
    assert "nothing to do" in host.process("apply", file, "--yes").text
    shown = host.process("show", "07:00.0").text
    assert "3g.40gb@4" in shown and "MIG-00000000-" in shown
    assert host.process("rollback", "--yes").status == 0
    assert host.snapshot() == before


def test_there_and_back_on_ampere_takes_a_reset(machine):
    host = machine("A100-40 persistent")
    before, file = host.snapshot(), host.profile(rules("mig, layout: balanced"))
    planned = host.run("plan", file)
    assert planned.status == 3 and "switch MIG mode of 0000:07:00.0 on, and reset it" in planned.text
    assert "needs:       --allow-reset, for 0000:07:00.0" in planned.text
    assert "needs" not in host.run("plan", "--allow-reset", file).text
    refused = host.run("apply", file, "--yes")
    assert refused.status == 4 and "resets 0000:07:00.0" in refused.text and host.snapshot() == before
    assert host.run("apply", file, "--yes", "--allow-reset").status == 0
    assert host.gpus()[0] == ("on", ("14@0:2@0", "19@2:1@0", "19@3:1@0", "9@4:3@0"))
    assert host.double.lines()[0].endswith("1 1 1"), "persistence mode as it was"
    assert host.run("rollback", "--yes").status == 4
    assert host.run("rollback", "--yes", "--allow-reset").status == 0
    assert host.snapshot() == before


def test_every_attribute_and_form(machine):
    host = machine("A100-40 on")
    cut(
        host,
        "mig, layout: [{profile: 3g.20gb, start: 4}, {profile: 2g.10gb, compute: [1c, 1c]}, 1g.5gb+me, 1g.5gb]",
    )
    assert host.gpus()[0][1] == ("14@0:1@0,1@1", "19@2:1@0", "20@3:1@0", "9@4:3@0")
    cut(host, "mig, layout: [{profile: 4g.20gb, compute: [2c, 2c]}, 3g.20gb]")
    assert host.gpus()[0][1] == ("5@0:2@0,2@2", "9@4:3@0")
    cut(host, "mig, layout: all-1g")
    assert len(host.gpus()[0][1]) == 7
    cut(host, "mig, layout: empty")
    assert host.gpus()[0] == ("on", ())


def test_compute_instances_alone_change(machine):
    host = machine("A100-40 on")
    cut(host, "mig, layout: [{profile: 4g.20gb, compute: [2c, 2c]}]")
    first = host.double.lines()
    said = cut(host, "mig, layout: [{profile: 4g.20gb, compute: [2c, 1c]}]")
    assert host.gpus()[0][1] == ("5@0:1@2,2@0",) and "4g.20gb@0 on" not in said.replace("of 4g.20gb@0 on", "")
    assert [line for line in first if line.startswith("gi")] == [
        line for line in host.double.lines() if line.startswith("gi")
    ]


def test_one_slice_of_seven_touches_one_instance(machine, tmp_path):
    host = machine("A100-40 on")
    cut(host, "mig, layout: all-1g")
    before, trace = host.ids(), tmp_path / "trace"
    one = "1g.5gb, 1g.5gb, 1g.5gb, 1g.5gb, 1g.5gb, 1g.5gb, 1g.5gb+me"
    cut(host, f"mig, layout: [{one}]", FAKE_NVML_TRACE=str(trace))
    after = host.ids()
    assert len(after) == 7 and len(before.items() & after.items()) == 6
    calls = trace.read_text().split()
    for call in (
        "nvmlGpuInstanceDestroy",
        "nvmlComputeInstanceDestroy",
        "nvmlDeviceCreateGpuInstanceWithPlacement",
    ):
        assert calls.count(call) == 1
    assert calls.count("nvmlInitWithFlags") == 3, "once for each of two looks, once for all steps"


def test_what_fits_is_kept(machine):
    host = machine("H100-80 on")
    cut(host, "mig, layout: balanced")
    before = host.ids()
    cut(host, "mig, layout: [3g.40gb, 3g.40gb]")
    assert host.ids()["0 9@4"] == before["0 9@4"]


def test_in_use_is_named_and_stays(machine):
    host = machine("A100-40 on")
    cut(host, "mig, layout: all-1g")
    gi = next(
        line.split()[2] for line in host.double.lines() if line.startswith("gi") and line.split()[4] == "2"
    )
    host.double.starts(0, pid=4711, gi=int(gi), ci=0)
    before, wanted = host.snapshot(), host.profile(rules("mig, layout: [7g.40gb]"))
    refused = host.run("apply", wanted, "--yes")
    assert refused.status == 4 and host.snapshot() == before
    assert "python (pid 4711) would lose 1g.5gb at slice 2 of 0000:07:00.0" in refused.text
    assert "7g.40gb needs slices 0-7; slice 2 is used by 1g.5gb (python, pid 4711)" in refused.text
    cut(host, "mig, layout: [3g.20gb, 1g.5gb, 1g.5gb, 1g.5gb, 1g.5gb]")
    assert "9@4:3@0" in host.gpus()[0][1], "it is cut around the process"
    ids = host.ids()
    held = host.run("apply", wanted, "--yes", "--allow-disruption")
    assert held.status == 1 and "is in use; on this GPU work python (pid 4711)" in held.text
    assert host.ids() == ids, "the driver does not let go, and was asked for that one first"
    host.double.ends(4711)
    assert host.run("apply", wanted, "--yes").status == 0


def shared(machine, *guests):
    """An H100 with 4g.40gb@0 and 3g.40gb@4: the guests run on them, in this order."""
    host = machine("H100-80 on")
    cut(host, "mig, layout: [4g.40gb, 3g.40gb]")
    for number, vm in enumerate(guests):
        host.double.boots(0, vm, gi=host.instance_at(4 * number), vgpu=number + 1)
    return host


def test_a_guest_is_named_and_stays(machine):
    """MIG-backed vGPUs: domains by the name libvirt has for them, any other virtual machine by its UUID."""
    host = shared(machine, VM1, FOREIGN)
    before, wanted = host.snapshot(), host.profile(rules("mig, layout: [7g.80gb]"))
    assert "domain vm1 loses 4g.40gb at slices 0-3" in host.run("plan", wanted).text
    refused = host.run("apply", wanted, "--yes")
    assert refused.status == 4 and host.snapshot() == before and host.open_journals() == []
    assert "domain vm1 would lose 4g.40gb at slices 0-3 of 0000:07:00.0" in refused.text
    assert f"VM {FOREIGN} would lose 3g.40gb at slices 4-7 of 0000:07:00.0" in refused.text
    back = host.run("apply", host.profile(rules("host")), "--yes")
    assert back.status == 4 and "domain vm1 would lose 4g.40gb@0 of 0000:07:00.0" in back.text
    held = host.run("apply", wanted, "--yes", "--allow-disruption")
    assert held.status == 1 and host.gpus() == before[0], "the driver does not let go: rolled back"
    assert f"is in use; on this GPU work VM {VM1}, VM {FOREIGN}" in held.text
    host.double.shuts_down(FOREIGN)
    cut(host, "mig, layout: [4g.40gb, 2g.20gb]")
    assert "5@0:4@0" in host.gpus()[0][1], "it is cut around the guest that is left"
    host.double.shuts_down(VM1)
    assert host.run("apply", wanted, "--yes").status == 0


def test_a_guest_is_shown(machine):
    host = shared(machine, VM1)
    offers = json.loads(host.run("slots", "07:00.0", "--json").text)["slots"]
    users = {offer["part"]: (offer["state"], offer["users"]) for offer in offers}
    assert users["3g.40gb@4"] == ("free", [])
    state, (user,) = users["4g.40gb@0"]
    assert (state, user["kind"], user["name"]) == ("in use", "domain", "vm1")
    assert user["detail"] == "vGPU 00000001-0000-4000-9000-000000000000"
    assert "used by domain vm1" in " ".join(host.run("show", "07:00.0").text.split())
    stored = host.directory / "record"
    assert host.run("record", str(stored)).status == 0
    host.double.shuts_down(VM1)
    assert "domain vm1" in host.run("slots", "07:00.0", "--host", str(stored)).text
    assert "domain vm1" not in host.run("slots", "07:00.0").text


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("nvmlDeviceGetActiveVgpus:*:3", "free"),
        ("nvmlDeviceGetActiveVgpus:*:13", "free"),
        ("nvmlVgpuInstanceGetGpuInstanceId:*:13", "free"),
        ("nvmlVgpuInstanceGetVmID:*:6", "free"),
        ("nvmlDeviceGetActiveVgpus:*:999", "Unknown Error"),
        ("nvmlVgpuInstanceGetVmID:*:999", "Unknown Error"),
    ],
)
def test_guests_that_a_driver_does_not_tell_of(fault, told, machine):
    """Too old, no vGPU host, or gone between two calls: as without; any other error hides who uses what."""
    ended = shared(machine, VM1).run("slots", "07:00.0", "--json", FAKE_NVML_FAULTS=fault)
    found = json.loads(ended.text)
    states = [offer["state"] for offer in found["slots"] if offer["part"] == "4g.40gb@0"]
    unseen = [words.rpartition(": ")[2] for words in found["unseen"]]
    assert [*states, *unseen] == [told]


@pytest.mark.parametrize(
    ("gpu", "vfs", "times"), [("H100-80 on", "", 0), ("H100-80", "0", 0), ("H100-80 on", "0", 1)]
)
def test_guests_are_asked_for_only_where_there_can_be_some(gpu, vfs, times, machine, tmp_path):
    trace = tmp_path / "trace"
    machine(gpu).run("show", "07:00.0", FAKE_NVML_TRACE=str(trace), HOST_VFS=vfs)
    calls = trace.read_text().split()
    assert calls.count("nvmlDeviceGetActiveVgpus") == times
    assert not [call for call in calls if call.startswith("nvmlVgpuInstance")]


def test_others_instances_are_kept_or_asked_for(machine):
    host = machine("A100-40 on")
    with host.double._edited() as lines:
        lines[1:1] = ["gi 0 7 19 6 1", "ci 0 7 0 0 0 1 1"]
    cut(host, "mig, layout: [3g.20gb, 1g.5gb]")
    assert host.gpus()[0][1] == ("19@6:1@0", "9@0:3@0"), "around the one that was there"
    refused = cut(host, "mig, layout: [3g.20gb, 3g.20gb]", status=4)
    assert "has 1g.5gb@6, which gpupass did not make" in refused and "gpupass adopt 0000:07:00.0" in refused
    told = host.run("plan", host.profile(rules("host")))
    assert "left alone:  0000:07:00.0 has 1g.5gb@6, which gpupass did not make" in told.text
    assert "gpupass did not make" in host.run("export").text
    cut(host, "host")
    assert host.gpus()[0] == ("on", ("19@6:1@0",)), "MIG was on before gpupass came"
    assert host.run("adopt", "07:00.0").status == 0
    cut(host, "mig, layout: [3g.20gb, 3g.20gb]")
    cut(host, "host")
    assert host.gpus()[0] == ("on", ())


def test_take_over(machine):
    host = machine("A100-40 on")
    with host.double._edited() as lines:
        lines[1:1] = ["gi 0 7 19 6 1", "ci 0 7 0 0 0 1 1"]
    cut(host, "mig, layout: [3g.20gb, 3g.20gb], take-over: true")
    assert host.gpus()[0][1] == ("9@0:3@0", "9@4:3@0")


@pytest.mark.parametrize(
    ("gpu", "wish", "message"),
    [
        ("A100-40", "mig, layout: [3g.40gb]", "this GPU has no profile '3g.40gb', did you mean '3g.20gb'?"),
        ("A100-40", "mig, layout: [1g.5gb+ne]", "did you mean '1g.5gb+me'?"),
        (
            "A100-40",
            "mig, layout: Balanced",
            "0000:07:00.0: this GPU has no layout 'Balanced', did you mean 'balanced'?",
        ),
        ("A100-40", "mig, layout: [4g.20gb, 4g.20gb]", "this GPU can have one 4g.20gb at most, not 2"),
        (
            "A100-40",
            "mig, layout: [3g.20gb, 3g.20gb, 1g.5gb]",
            "the layout needs 9 memory slices, and this GPU has 8",
        ),
        ("A100-40", "mig, layout: [{profile: 3g.20gb, start: 2}]", "3g.20gb cannot start at slice 2"),
        (
            "A100-40",
            "mig, layout: [{profile: 3g.20gb, compute: [2c, 2c]}]",
            "3g.20gb has no room for 2c and 2c",
        ),
        (
            "A30",
            "mig, layout: [2g.12gb, 2g.12gb, 1g.6gb]",
            "the layout needs 5 memory slices, and this GPU has 4",
        ),
        ("T4", "mig, layout: balanced", "0000:07:00.0 (Tesla T4) has no MIG"),
    ],
)
def test_bad_input_is_refused_before_anything(gpu, wish, message, machine, tmp_path):
    host, trace = machine(gpu), tmp_path / "trace"
    before = host.snapshot()
    ended = host.run("apply", host.profile(rules(wish)), "--yes", "--allow-reset", FAKE_NVML_TRACE=str(trace))
    assert ended.status == 4 and message in ended.text, ended.text
    assert host.snapshot() == before and host.open_journals() == []
    assert not [
        call for call in trace.read_text().split() if "Set" in call or "Create" in call or "Destroy" in call
    ]


def test_no_permission(machine):
    host = machine("H100-80 on")
    ended = cut(host, "mig, layout: balanced", status=4, FAKE_NVML_UNPRIVILEGED="1")
    assert "cannot see MIG of 0000:07:00.0: no permission" in ended and "run it with sudo" in ended
    assert host.run("list", FAKE_NVML_UNPRIVILEGED="1").status == 0
    assert "not seen: no permission" in host.run("show", "07:00.0", FAKE_NVML_UNPRIVILEGED="1").text


def test_a_driver_that_is_too_old(machine):
    host = machine("H100-80 on")
    fault = "nvmlDeviceGetGpuInstanceProfileInfoV:*:13"
    ended = cut(host, "mig, layout: balanced", status=4, FAKE_NVML_FAULTS=fault)
    assert "this NVIDIA driver is too old for it" in ended
    fault = "nvmlDeviceCreateGpuInstanceWithPlacement:*:13"
    ended = cut(host, "mig, layout: balanced", status=1, FAKE_NVML_FAULTS=fault)
    assert "cannot make 3g.40gb@4 on 0000:07:00.0: this NVIDIA driver is too old for it" in ended
    assert host.gpus()[0] == ("on", ()) and host.records() == {}


def test_pending_is_not_done(machine):
    """Hopper needs no reset, but nobody may work on it; Ampere's is put off while somebody holds it."""
    for gpu, more in (("H100-80", ()), ("A100-40", ("--allow-reset",))):
        host = machine(gpu)
        host.double.starts(0, pid=4711)
        file = host.profile(rules("mig, layout: balanced"))
        planned = host.run("plan", file)
        assert "python (pid 4711); until then it is pending" in planned.text
        ended = host.run("apply", file, "--yes", *more)
        assert ended.status == 6, ended.text
        assert "stays off: in use by python (pid 4711)" in ended.text
        assert host.gpus()[0] == ("off>on", ()) and len(host.open_journals()) == 1
        assert host.run("recover").status == 6
        assert "off>on" not in host.run("check", file).text and host.run("check", file).status == 3
        host.double.ends(4711)
        recovered = host.run("recover")
        assert recovered.status == 0, recovered.text
        assert host.gpus()[0][0] == "on" and len(host.gpus()[0][1]) == 4 and host.open_journals() == []
        assert host.run("check", file).status == 0


def test_another_holder_than_a_job_keeps_it_pending(machine):
    host = machine("A100-40")
    file = host.profile(rules("mig, layout: balanced"))
    ended = host.run("apply", file, "--yes", "--allow-reset", HOST_HOLDERS="nv-hostengine:0")
    assert ended.status == 6 and "in use by nv-hostengine (pid " in ended.text
    assert host.run("apply", file, "--yes", "--allow-reset").status == 0, (
        "a new order replaces the one that waits"
    )
    assert len(host.gpus()[0][1]) == 4 and host.open_journals() == []


def test_a_driver_that_refuses_the_mode_says_who_holds_the_gpu(machine):
    host = machine("H100-80")
    before, file = host.snapshot(), host.profile(rules("mig, layout: balanced"))
    faults = {"FAKE_NVML_FAULTS": "nvmlDeviceSetMigMode:*:19", "HOST_HOLDERS": "nv-hostengine:0"}
    ended = host.run("apply", file, "--yes", **faults)
    assert ended.status == 1 and "it is in use; it is held by nv-hostengine (pid " in ended.text
    assert host.snapshot() == before


def test_called_off_while_pending(machine):
    host = machine("A100-40 persistent")
    before = host.snapshot()
    file = host.profile(rules("mig, layout: balanced"))
    assert host.run("apply", file, "--yes", "--allow-reset", HOST_HOLDERS="nv-hostengine:0").status == 6
    cut(host, "host")
    assert host.snapshot() == before and host.open_journals() == []


def test_the_reset_fails(machine):
    host = machine("A100-40")
    before, file = host.snapshot(), host.profile(rules("mig, layout: balanced"))
    ended = host.run("apply", file, "--yes", "--allow-reset", FAKE_SMI_FAILS="Unable to reset this GPU")
    assert ended.status == 1 and "cannot run nvidia-smi: Unable to reset this GPU" in ended.text
    assert host.snapshot() == before


def test_a_failure_after_the_reset_takes_another_one_back(machine):
    host = machine("A100-40 persistent")
    before, file = host.snapshot(), host.profile(rules("mig, layout: balanced"))
    fault = {"FAKE_NVML_FAULTS": "nvmlDeviceCreateGpuInstanceWithPlacement:3:999"}
    ended = host.run("apply", file, "--yes", "--allow-reset", **fault)
    assert ended.status == 1 and "Unknown Error" in ended.text
    assert host.snapshot() == before
    assert host.double.lines()[0].endswith("0 0 1")


def test_restored_at_boot(machine):
    """What the units run, after a reboot: Hopper has lost its mode, Ampere has kept it, both their instances."""
    host = machine("H100-80", "A100-40")
    file = host.profile(rules("mig, layout: balanced", "mig, layout: all-1g"))
    assert host.run("apply", file, "--yes", "--allow-reset").status == 0
    wanted = host.gpus()
    host.double.reboots()
    assert host.gpus() == {0: ("off", ()), 1: ("on", ())}
    boot = ("apply", file, "--yes", "--boot", "--devices-only")
    ended = host.process(*boot, HOST_BOOT="boot-2")
    assert ended.status == 0, ended.text
    assert host.gpus() == wanted
    assert host.run("check", file, HOST_BOOT="boot-2").status == 0


def test_partly_at_boot(machine):
    """A GPU that needs a reset is left alone, and said so; the other one is cut."""
    host = machine("H100-80", "A100-40")
    file = host.profile(rules("mig, layout: balanced", "mig, layout: all-1g"))
    ended = host.run("apply", file, "--yes", "--boot", "--devices-only", "--wait", "0")
    assert ended.status == 4 and "0000:0f:00.0 would be reset for another MIG mode" in ended.text
    assert host.gpus() == {0: ("on", BALANCED_H100), 1: ("off", ())}


def test_partly_agreed_to(machine):
    """What needs a reset waits for the word, the other one is cut; what is left is said, also the second time."""
    host = machine("H100-80", "A100-40")
    file = host.profile(rules("mig, layout: balanced", "mig, layout: all-1g"))
    ended = host.run("apply", file, "--yes")
    left = "left undone: b: mig 0000:0f:00.0: it resets 0000:0f:00.0 for another MIG mode, which takes --allow-reset"
    assert ended.status == 4 and left in ended.text.replace("\n", " "), ended.text
    assert host.gpus() == {0: ("on", BALANCED_H100), 1: ("off", ())}
    again = host.run("apply", file, "--yes")
    assert again.status == 4 and "resets 0000:0f:00.0" in again.text
    assert host.run("apply", file, "--yes", "--allow-reset").status == 0
    assert host.gpus()[1][0] == "on" and host.run("check", file).status == 0


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ("{model: 'NVIDIA H100*'}", "0000:0f:00.0"),
        ("{part-number: 900-220b0-*}", "0000:07:00.0"),
        ("{minor: 2}", "0000:17:00.0"),
        ("{mig-capable: false}", "0000:17:00.0"),
        ("{mig-capable: true, model: '*H100*'}", "0000:0f:00.0"),
    ],
)
def test_meant_by_what_the_driver_alone_tells(select, chosen, machine):
    host = machine("A100-40", "H100-80", "T4")
    planned = host.run("plan", host.profile(f"gpus: [{{name: a, select: {select}, use: passthrough}}]"))
    assert planned.status == 3 and f"a: passthrough {chosen}" in planned.text, planned.text


def test_nobody_is_meant(machine):
    host = machine("A100-40", "T4")
    wish = (
        "gpus: [{name: a, select: {mig-capable: true, model: '*H100*', part-number: 900-220b0-*}, use: host}]"
    )
    planned = host.run("plan", host.profile(wish))
    told = "nearest is 0000:07:00.0 (NVIDIA A100-SXM4-40GB): model is NVIDIA A100-SXM4-40GB, not *H100*"
    assert planned.status == 2 and told in planned.text.replace("\n", " "), planned.text
    assert "NVIDIA A100-SXM4-40GB" in host.run("list").text, "the hardware database is out of reach"


def test_one_fails_and_the_other_reaches_its_goal(machine):
    host = machine("H100-80 on", "A100-40 on")
    cut(host, "mig, layout: empty", "mig, layout: [7g.40gb]")
    host.double.starts(1, pid=9, gi=0, ci=0)
    before, file = host.gpus()[1], host.profile(rules("mig, layout: balanced", "mig, layout: all-1g"))
    ended = host.run("apply", file, "--yes", "--allow-disruption")
    assert ended.status == 1 and "failed: b: mig 0000:0f:00.0" in ended.text, ended.text
    assert host.gpus() == {0: ("on", BALANCED_H100), 1: before}
    assert len(host.records()) == 2


def test_exported_and_recorded(machine):
    host = machine("H100-80", "A100-40 on")
    cut(host, "mig, layout: [{profile: 4g.40gb, compute: [2c, 1c]}, 3g.40gb]")
    host.double.starts(0, pid=4711, gi=1, ci=0)
    exported = host.run("export")
    assert exported.status == 0 and "{profile: 4g.40gb, start: 0, compute: [2c, 1c]}" in exported.text
    file = host.directory / "exported.yaml"
    file.write_text(exported.text)
    assert host.run("check", str(file)).status == 0, host.run("check", str(file)).text
    stored = host.directory / "record"
    assert host.run("record", str(stored)).status == 0
    again = host.run("export", "--host", str(stored))
    assert again.text == exported.text
    shown = host.run("show", "07:00.0", "--host", str(stored))
    assert "used by python[4711]" in " ".join(shown.text.split())
    assert host.run("plan", "--host", str(stored), str(file)).status == 0


def test_json_for_programs(machine):
    host = machine("H100-80")
    file = host.profile(rules("mig, layout: [7g.80gb]"))
    planned = json.loads(host.run("plan", file, "--json").text)
    assert [step["step"] for step in planned["steps"]] == [
        "SetMigMode",
        "SetGpuInstance",
        "SetComputeInstance",
    ]
    assert planned["needs_allow_reset"] == []
    cut(host, "mig, layout: [7g.80gb]")
    device = json.loads(host.run("show", "07:00.0", "--json").text)["device"]
    (one,) = device["nvidia"]["cut"]["gpu"]["instances"]
    assert (one["profile"], one["placement"], one["id"]) == ("7g.80gb", {"start": 0, "size": 8}, 0)
    assert one["compute"][0]["uuid"].startswith("MIG-")


def test_a_saved_plan(machine):
    host = machine("H100-80")
    file, plan = host.profile(rules("mig, layout: balanced")), str(host.directory / "plan.json")
    assert host.run("plan", file, "--out", plan).status == 3
    assert host.run("apply", plan, "--yes").status == 0
    assert host.gpus()[0][1] == BALANCED_H100


def test_slots(machine):
    host = machine("H100-80")
    cut(host, "mig, layout: [4g.40gb, 3g.40gb]")
    host.double.starts(0, pid=4711, gi=host.instance_at(0), ci=0)
    slots = json.loads(host.run("slots", "07:00.0", "--json").text)["slots"]
    told = {slot["part"]: (slot["owner"], slot["state"], slot["domains"]) for slot in slots}
    assert told["4g.40gb@0"] == ("gpupass", "in use", False)
    assert told["3g.40gb@4"] == ("gpupass", "free", False)
    assert told[None][1] == "cut"


def test_mig_parted_files(machine):
    """One of its files, unchanged, to a profile that is applied."""
    host = machine("H100-80", "A100-40 on")
    file = host.directory / "mig-configs.yaml"
    file.write_text(
        "version: v1\nmig-configs:\n  mixed:\n"
        "  - devices: [0]\n    mig-enabled: true\n    mig-devices: {1g.10gb+me: 1, 3g.40gb: 1}\n"
        "  - devices: [1]\n    mig-enabled: true\n    mig-devices: {2g.10gb: 3}\n"
    )
    printed = host.run("profile", "import-mig", str(file))
    assert printed.status == 0, printed.text
    profile = host.directory / "imported.yaml"
    profile.write_text(printed.text)
    assert host.run("apply", str(profile), "--yes").status == 0
    assert host.gpus() == {
        0: ("on", ("20@0:1@0", "9@4:3@0")),
        1: ("on", ("14@0:2@0", "14@2:2@0", "14@4:2@0")),
    }


def test_a_gpu_that_is_cut_is_not_lent_by_the_way(machine):
    host = machine("H100-80")
    cut(host, "mig, layout: [7g.80gb]")
    refused = host.run("bind", "07:00.0", "--dry-run")
    assert refused.status == 4, refused.text
    assert "has parts that would be lost with its driver: 7g.80gb@0" in refused.text
    planned = host.run("plan", host.profile(rules("passthrough")))
    assert planned.status == 3, planned.text
    steps = (
        "destroy 7c@0",
        "destroy 7g.80gb@0",
        "switch MIG mode of 0000:07:00.0 off",
        "bind 0000:07:00.0 to vfio-pci",
    )
    places = [planned.text.index(step) for step in steps]
    assert places == sorted(places)


def test_a_driver_that_takes_no_place_for_compute_instances(machine):
    host = machine("H100-80 on")
    fault = "nvmlGpuInstanceCreateComputeInstanceWithPlacement:*:13"
    cut(host, "mig, layout: balanced", FAKE_NVML_FAULTS=fault)
    assert host.gpus()[0][1] == BALANCED_H100
    ended = cut(
        host, "mig, layout: [{profile: 4g.40gb, compute: [2c, 2c]}]", status=1, FAKE_NVML_FAULTS=fault
    )
    assert "cannot make 2c@0 of 4g.40gb@0 on 0000:07:00.0: this NVIDIA driver is too old for it" in ended
    assert host.gpus()[0][1] == BALANCED_H100


@pytest.mark.parametrize(
    ("layout", "instances"),
    [
        ("[2g.48gb+gfx, 1g.24gb, 1g.24gb+me]", ("14@6:1@0", "21@9:1@0", "35@0:2@0")),
        ("[1g.24gb+me.all, 1g.24gb-me, 2g.48gb-me]", ("65@6:1@0", "66@0:2@0", "67@9:1@0")),
        ("all-1g.24gb+gfx", tuple(f"47@{start}:1@0" for start in (0, 3, 6, 9))),
        ("balanced", ("14@6:1@0", "14@9:1@0", "5@0:2@0")),
    ],
)
def test_attributes_of_graphics_boards(layout, instances, machine):
    host = machine("RTX-PRO-6000")
    cut(host, f"mig, layout: {layout}")
    assert host.gpus()[0] == ("on", instances)
    assert host.run("rollback", "--yes").status == 0
    assert host.gpus()[0] == ("off", ())


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("[1g.24gb+me.all, 1g.24gb]", "1g.24gb+me.all takes all media engines and leaves none for 1g.24gb"),
        (
            "[1g.24gb+me.all, 1g.24gb+me]",
            "1g.24gb+me and 1g.24gb+me.all need the media engines that a GPU has once",
        ),
        ("[1g.24gb-mee]", "this GPU has no profile '1g.24gb-mee', did you mean '1g.24gb-me'?"),
    ],
)
def test_attributes_that_exclude_each_other(layout, message, machine):
    host = machine("RTX-PRO-6000")
    assert message in cut(host, f"mig, layout: {layout}", status=4)
    assert host.gpus()[0] == ("off", ())


def test_eight_at_once(machine, tmp_path):
    """Each in a thread of its own, all of them on one initialisation of the library; one that fails is put back."""
    host, trace = machine(*["H100-80"] * 8), tmp_path / "trace"
    wish = ["mig, layout: balanced"] * 8
    failing = {
        "FAKE_NVML_FAULTS": "nvmlDeviceCreateGpuInstanceWithPlacement:9:999",
        "FAKE_NVML_DELAY_MS": "5",
    }
    cut(host, *wish, status=1, FAKE_NVML_TRACE=str(trace), **failing)
    assert sorted(host.gpus().values()) == [("off", ()), *[("on", BALANCED_H100)] * 7]
    assert trace.read_text().split().count("nvmlInitWithFlags") == 3, (
        "once for each of two looks, once for all steps"
    )
    assert len(host.records()) == 7
    cut(host, *wish)
    assert set(host.gpus().values()) == {("on", BALANCED_H100)}


CHANGES = ("Set", "Create", "Destroy")


@pytest.mark.parametrize(
    ("gpus", "wishes"),
    [
        (["A100-40 on"], ["mig, layout: balanced"]),
        (["A100-40"], ["mig, layout: balanced"]),
        (["A100-40"], ["passthrough"]),
        (["A100-40", "A100-40"], ["mig, layout: balanced", "passthrough"]),
    ],
)
def test_nvml_is_closed_after_each_look_and_whenever_a_gpu_is_reset_or_unbound(
    gpus, wishes, machine, tmp_path
):
    host, trace = machine(*gpus), tmp_path / "trace"
    cut(host, *wishes, more=["--allow-reset"], FAKE_NVML_TRACE=str(trace))
    opened, looks, let_go = 0, [], []
    for line in trace.read_text().splitlines():
        if line == "nvmlInitWithFlags":
            opened += 1
            looks.append(set())
        elif line == "nvmlShutdown":
            opened -= 1
        elif line.startswith("nvml"):
            looks[-1] |= {"look"} if line.startswith("nvmlDeviceGetCount") else set()
            looks[-1] |= {"change"} if any(word in line for word in CHANGES) else set()
        elif "unbind" in line or "--gpu-reset" in line:
            let_go.append(opened)
    assert opened == 0 and not [one for one in looks if one == {"look", "change"}]
    left = wishes != ["passthrough"]  # a GPU of the nvidia driver's
    assert looks.count({"look"}) == 1 + left, "one before, and one that verifies"
    wanted = wishes.count("passthrough") + (gpus[0] == "A100-40" and "mig" in wishes[0])
    assert let_go == [0] * wanted


def test_a_look_that_wants_nothing_is_the_only_one(machine, tmp_path):
    host, trace = machine("H100-80 on"), tmp_path / "trace"
    cut(host, "mig, layout: balanced")
    told = cut(host, "mig, layout: balanced", FAKE_NVML_TRACE=str(trace))
    assert "nothing to do" in told and trace.read_text().split().count("nvmlInitWithFlags") == 1


def test_containers_are_told_what_an_apply_made(machine):
    host = machine("H100-80", "H100-80 on")
    nodes = {"HOST_NODES": "1"}

    def told():
        printed = host.run("cdi", "--print", **nodes)
        assert printed.status == 0, printed.text
        devices = yaml.safe_load(printed.text)["devices"]
        return {
            device["name"]: [node["path"] for node in device["containerEdits"]["deviceNodes"]]
            for device in devices
        }

    assert list(told()) == ["0000:07:00.0"]
    file = host.profile(rules("mig, layout: [3g.40gb, 2g.20gb]") + "containers: cdi\n")
    done = host.run("apply", file, "--yes", **nodes)
    assert done.status == 0 and "warning" not in done.text, done.text
    after = told()
    assert sorted(after) == ["0000:07:00.0-2g.20gb-0", "0000:07:00.0-3g.40gb-4"]
    for paths in after.values():
        assert "/dev/nvidia0" in paths and len([path for path in paths if "/nvidia-cap" in path]) == 2
    without = host.run("apply", file, "--yes")
    assert without.status == 0 and "is left out: there is no /dev/nvidia0" in without.text


@pytest.mark.parametrize(
    "hidden", [{"FAKE_NVML_UNPRIVILEGED": "1"}, {"FAKE_NVML_FAULTS": "nvmlInitWithFlags:*:9"}]
)
def test_a_gpu_whose_cut_cannot_be_seen_is_not_exported_as_uncut(hidden, machine):
    """Applied with root, `use: host` would destroy all of it."""
    host = machine("A100-40 on")
    cut(host, "mig, layout: balanced")
    found = json.loads(host.run("export", "--json", **hidden).text)
    assert "use:" not in found["profile"] and len(found["unseen"]) == 1
    assert "use: mig" in host.run("export").text


def test_a_mig_mode_that_others_switched_on_is_told_where_it_stays(machine):
    host = machine("H100-80 on")
    file = host.profile(rules("host"))
    told = "left alone:  0000:07:00.0 is in MIG mode, which gpupass did not switch on"
    assert all(told in host.run(verb, file).text for verb in ("plan", "check"))
    cut(host, "host, take-over: true")
    assert host.gpus() == {0: ("off", ())} and told not in host.run("plan", file).text


def test_a_rollback_passes_a_gpu_over_that_has_left_the_host(machine):
    host = machine("A100-40 on", "H100-80 on")
    cut(host, "mig, layout: balanced", "mig, layout: balanced")
    kept = [
        line
        for line in host.double.lines()
        if line.split()[:2] not in (["gpu", "1"], ["gi", "1"], ["ci", "1"])
    ]
    host.double.state.write_text("".join(f"{line}\n" for line in kept))
    ended = host.run("rollback", "--yes")
    assert ended.status == 0 and "passed over: 0000:0f:00.0 has left this host" in ended.text
    assert host.gpus() == {0: ("on", ())}
