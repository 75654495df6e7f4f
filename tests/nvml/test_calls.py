"""How often the driver is asked: each call can take it long on a real machine."""

from collections import Counter

from tests.nvml.host import rules


def calls(host, *arguments):
    """By function."""
    trace = host.directory / "trace"
    trace.unlink(missing_ok=True)
    host.run(*arguments, FAKE_NVML_TRACE=str(trace))
    return Counter(trace.read_text().splitlines())


def test_boards_of_one_kind_are_asked_once_what_they_can_be_cut_into(machine):
    one, four, two_kinds = (
        calls(machine(*boards), "export")["nvmlDeviceGetGpuInstanceProfileInfoV"]
        for boards in (["A100-40 on"], ["A100-40 on"] * 4, ["A100-40 on", "A100-80 on"])
    )
    assert one == four and two_kinds == 2 * one


def test_an_instance_is_looked_for_before_while_and_after_it_is_made(machine):
    host = machine("A100-40 on")
    profile = host.profile(rules("mig, layout: [7g.40gb]"))
    made = calls(host, "apply", profile, "--yes")
    looks = made["nvmlDeviceGetCount_v2"] * calls(host, "plan", profile)["nvmlDeviceGetGpuInstances"]
    assert made["nvmlDeviceCreateGpuInstanceWithPlacement"] == 1
    before, while_made, after, of_its_part = (
        1,
        1,
        1,
        2,
    )  # the compute instance is looked for in what was found
    assert made["nvmlDeviceGetGpuInstances"] == looks + before + while_made + after + of_its_part
