"""vGPUs of NVIDIA's vendor framework and mediated displays: cut, attached, moved, taken back, killed in between."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

NVIDIA_SMI = Path(__file__).parents[1] / "nvml/bin/nvidia-smi"
CARD, MANAGE = "0000:01:00.0", "/usr/lib/nvidia/sriov-manage"
FOREIGN = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
CUT = f"""
version: 1
gpus:
  - {{name: card, select: {{address: "{CARD}"}}, use: vgpu, types: {{A100-4C: 3}}, params: {{frame_rate_limiter: 0}}}}
  - {{name: screens, select: {{parent: mbochs}}, use: mdev, types: {{mbochs-small: 2}}}}
"""
LENT = (
    CUT
    + """
attachments:
  - {domain: vm1, device: card/A100-4C-0}
  - {domain: vm2, device: card/A100-4C-1}
  - {domain: vm1, device: screens/mbochs-small-0}
"""
)


def write(host, name, text):
    host.sh(f"cat > /root/{name} <<'END'\n{text}\nEND")
    return f"/root/{name}"


def slots(host, *device):
    return {slot["name"]: slot for slot in host.gpupass("slots", *device)["slots"]}


def steps(document):
    return [step["step"] for step in document["steps"]]


def types(host):
    """What the kernel says: the vGPU type of each VF, the type of each mediated device."""
    vgpus = host.sh(f"cat /sys/bus/pci/devices/{CARD}/virtfn*/nvidia/current_vgpu_type 2>/dev/null || true")
    mdevs = host.sh(
        "for m in /sys/bus/mdev/devices/*; do basename $(readlink $m/mdev_type); done 2>/dev/null || true"
    )
    return vgpus.split(), mdevs.split()


def mdevs_of(host, domain):
    return set(host.sh(f"virsh dumpxml {domain} | grep -o \"uuid='[0-9a-f-]*'\" || true").split())


@pytest.fixture
def cut(slices):
    """The profile without attachments, applied."""
    slices.gpupass("apply", write(slices, "cut.yaml", CUT), "--yes")
    return slices


def test_the_whole_trip(slices):
    file = write(slices, "lent.yaml", LENT)
    assert types(slices) == ([], [])
    assert slices.gpupass("check", file, code=3)["matches"] is False
    card_only = CUT.replace("-4C", "-4X").partition("  - {name: screens")[0]
    (wrong,) = slices.gpupass("apply", write(slices, "a.yaml", card_only), "--yes", code=1)["changes"]
    assert "offers no vGPU type A100-4X, did you mean" in wrong["note"]
    assert types(slices) == ([], []), "the VFs, which only showed it, are gone again"
    slices.gpupass("apply", file, "--yes")
    assert slices.gpupass("check", file)["matches"] is True
    assert types(slices) == (["468"] * 3 + ["0"] * 5, ["mbochs-small"] * 2)
    assert (
        slices.sh(f"cat /sys/bus/pci/devices/{CARD}/virtfn1/nvidia/vgpu_params").strip()
        == "frame_rate_limiter=0"
    )
    found = slots(slices)
    vfs = [found[f"{CARD}/A100-4C-{number}"]["device"] for number in range(3)]
    assert {slices.driver(vf) for vf in vfs} == {"nvidia"}, "they stay with their driver"
    assert (slices.hostdevs("vm1"), slices.hostdevs("vm2")) == ({vfs[0]}, {vfs[1]})
    screen = found["mbochs/mbochs-small-0"]["mdev"]
    assert mdevs_of(slices, "vm1") == {f"uuid='{screen}'"}
    states = {name: slot["state"] for name, slot in found.items() if slot["kind"] in ("vgpu", "mdev")}
    assert sorted(states.values()) == ["attached"] * 3 + ["free"] * 2

    slices.gpupass("move", "card/A100-4C-0", "--to", "vm2")
    slices.gpupass("move", "screens/mbochs-small-0", "--to", "vm2")
    assert slices.hostdevs("vm2") == set(vfs[:2]) and mdevs_of(slices, "vm2") == {f"uuid='{screen}'"}
    assert not slices.hostdevs("vm1") and not mdevs_of(slices, "vm1")
    slices.gpupass("detach", "vm2", "card/A100-4C-0")
    slices.gpupass("detach", "vm2", screen)
    assert types(slices) == (["468"] * 3 + ["0"] * 5, ["mbochs-small"] * 2), "made anew, and there"
    told = slices.sh(f"cat /sys/bus/pci/devices/{CARD}/virtfn0/nvidia/vgpu_params").strip()
    assert told == "frame_rate_limiter=0", "told its parameters again"

    fewer = write(slices, "fewer.yaml", LENT.replace("A100-4C: 3", "A100-4C: 2").replace("vm1", "vm2"))
    minimal = slices.gpupass("plan", fewer, code=3)
    assert steps(minimal).count("SetVgpuType") == 1 and "SetMdev" not in steps(minimal)
    slices.gpupass("apply", fewer, "--yes")
    assert types(slices)[0] == ["468"] * 2 + ["0"] * 6
    slices.gpupass("rollback", "--yes", "--allow-disruption")
    assert types(slices)[0] == ["468"] * 3 + ["0"] * 5
    assert slices.hostdevs("vm2") == {vfs[1]}
    slices.gpupass("detach", "vm2", "card/A100-4C-1")
    slices.gpupass("rollback", "--yes", "--allow-disruption")
    assert types(slices) == ([], [])
    assert slices.sh(f"cat /sys/bus/pci/devices/{CARD}/sriov_numvfs").strip() == "0"
    assert not slices.remembered("claim", "mdev.made", "vgpu.made", "sriov.made", "quarantine")


def test_refusals(cut):
    none = write(
        cut,
        "none.yaml",
        CUT.replace("A100-4C: 3", "A100-4C: 0").replace("mbochs-small: 2", "mbochs-small: 0"),
    )
    cut.gpupass("attach", "vm1", "card/A100-4C-2")
    cut.gpupass("attach", "vm1", "screens/mbochs-small-1")
    said = cut.refused("apply", none, "--yes", "--allow-disruption")
    assert "(A100-4C) is in use by domain vm1" in said and said.count("is in use by domain vm1") == 2
    assert "has no vGPU type" in cut.refused("attach", "vm2", f"{CARD}/vf5")
    assert "did you mean A100-4C" in cut.refused(
        "apply", write(cut, "a.yaml", CUT.replace("A100-4C", "A100-4Q")), "--yes"
    )
    many = write(cut, "b.yaml", CUT.replace("{mbochs-small: 2}", "{mbochs-small: 2, mbochs-large: 9}"))
    assert "has room for" in cut.refused("apply", many, "--yes")
    assert "is attached to vm1" in cut.refused("attach", "vm2", "screens/mbochs-small-1")
    assert "no PCI function" in cut.refused("attach", "vm2", "mbochs", code=2)
    assert "no PCI function" in cut.refused("bind", "mbochs")


def test_what_others_made_is_left_alone_until_adopted(slices):
    slices.sh(f"echo {FOREIGN} > /sys/class/mdev_bus/mbochs/mdev_supported_types/mbochs-medium/create")
    slices.sh(f"{MANAGE} -e {CARD}; echo 469 > /sys/bus/pci/devices/{CARD}/virtfn7/nvidia/current_vgpu_type")
    foreign = {name: slot for name, slot in slots(slices).items() if slot["kind"] in ("mdev", "vgpu")}
    assert set(foreign) == {f"mbochs/{FOREIGN}", f"{CARD}/vf7"}
    assert {slot["owner"] for slot in foreign.values()} == {None}
    screens = CUT.replace("A100-4C: 3", "A100-8C: 0")
    file = write(slices, "host.yaml", screens)
    told = slices.gpupass("plan", file, code=3)["foreign"]
    assert len(told) == 2 and any(FOREIGN in text for text in told)
    slices.gpupass("apply", file, "--yes")
    vgpus, mdevs = types(slices)
    assert (vgpus, sorted(mdevs)) == (["0"] * 7 + ["469"], ["mbochs-medium", "mbochs-small", "mbochs-small"])
    slices.gpupass("attach", "vm1", FOREIGN)
    slices.gpupass("detach", "vm1", FOREIGN)
    slices.gpupass("adopt", "mbochs")
    slices.gpupass("adopt", CARD)
    slices.gpupass("apply", file, "--yes")
    assert types(slices) == (["0"] * 8, ["mbochs-small", "mbochs-small"])


def test_a_guest_that_is_gone_leaves_its_slots_to_be_made_anew(cut):
    cut.gpupass("attach", "vm1", "card/A100-4C-0")
    cut.gpupass("attach", "vm1", "screens/mbochs-small-0")
    cut.sh("virsh destroy vm1")
    assert {
        slot["state"] for slot in slots(cut).values() if slot["part"] in ("A100-4C-0", "mbochs-small-0")
    } == {"not clean"}
    cut.gpupass("recover")
    assert types(cut) == (["468"] * 3 + ["0"] * 5, ["mbochs-small"] * 2)
    assert not cut.remembered("claim")


def test_killed_after_a_line(slices):
    """kill -9 after commits of a vGPU change and of an mdev change: as before, or as asked for."""
    slices.sh(f"{MANAGE} -e {CARD}")
    write(
        slices,
        "small.yaml",
        LENT.replace("A100-4C: 3", "A100-4C: 1").replace("  - {domain: vm2, device: card/A100-4C-1}\n", ""),
    )
    write(
        slices,
        "before.yaml",
        CUT.replace("A100-4C: 3", "A100-4C: 0").replace("mbochs-small: 2", "mbochs-small: 0"),
    )
    slices.killed("apply", "/root/small.yaml", 16)
    assert types(slices) == (["468"] + ["0"] * 7, ["mbochs-small"] * 2)


@pytest.fixture
def with_nvml(slices):
    """The machine with NVML: real pynvml on the double, which asks the stand-in of the driver."""
    import pynvml

    from tests.nvml.double import LIBRARY, library_directory

    slices.lab.put(Path(pynvml.__file__), "/usr/lib/python3/dist-packages/pynvml.py")
    slices.lab.put(library_directory() / LIBRARY, f"/root/{LIBRARY}")
    slices.lab.put(NVIDIA_SMI, "/root/nvidia-smi.py")
    slices.sh(
        "printf '#!/bin/sh\\n. /root/env\\nexec python3 /root/nvidia-smi.py \"$@\"\\n' "
        "> /usr/local/bin/nvidia-smi; chmod +x /usr/local/bin/nvidia-smi; "  # its environment is gpupass's: clean
        "cat > /root/env <<'END'\nexport LD_LIBRARY_PATH=/root FAKE_NVML_STATE=/root/nvml "
        f"FAKE_NVML_BOARDS=A100-40@{CARD},A100-40@0000:02:00.0 "
        "FAKE_NVML_CARDS=/sys/module/nvidia_standin/cards\nEND"
    )
    slices.serve(". /root/env")
    return slices


def test_several_sizes_share_a_card(with_nvml):
    """Heterogeneous mode is switched after the functions are made and before the first vGPU, by NVML."""
    mixed = CUT.replace("{A100-4C: 3}", "{A100-4C: 2, A100-8C: 1}, scheduler: equal-share")
    file = write(with_nvml, "mixed.yaml", mixed)
    with_nvml.gpupass("apply", file, "--yes")
    assert with_nvml.gpupass("check", file)["matches"] is True
    assert with_nvml.sh(f"cat /sys/module/nvidia_standin/cards/{CARD}/heterogeneous").strip() == "1"
    assert types(with_nvml)[0] == ["469", "468", "468"] + ["0"] * 5
    assert "vgpu 0 1 2" in with_nvml.sh("cat /root/nvml")
    four = write(with_nvml, "four.yaml", mixed.replace("A100-8C: 1", "A100-8C: 1, A100-16C: 1"))
    said = with_nvml.refused("apply", four, "--yes")
    assert "offers no vGPU type A100-16C, did you mean A100-8C?" in said
    assert types(with_nvml)[0] == ["469", "468", "468"] + ["0"] * 5
    with_nvml.gpupass("rollback", "--yes")
    assert types(with_nvml)[0] == []


BACKED = f"""
version: 1
gpus:
  - name: card
    select: {{address: "{CARD}"}}
    use: vgpu
    layout: [3g.20gb, 2g.10gb]
    types: {{A100-3-20C: 1, A100-2-10C: 1}}
"""


def mig(host):
    """What the driver says of the card: VFs, MIG mode, profiles of the GPU instances, types that VFs have."""
    card = f"/sys/module/nvidia_standin/cards/{CARD}"
    vfs, mode, *instances = host.sh(
        f"cat /sys/bus/pci/devices/{CARD}/sriov_numvfs {card}/mig_mode; cut -d' ' -f2 {card}/gpu_instances"
    ).split()
    return vfs, mode, sorted(instances), [kind for kind in types(host)[0] if kind != "0"]


DESTROY = """
from pynvml import *
nvmlInit()
card = nvmlDeviceGetHandleByIndex(0)
for line in open("/sys/module/nvidia_standin/cards/0000:01:00.0/gpu_instances"):
    try:
        nvmlGpuInstanceDestroy(nvmlDeviceGetGpuInstanceById(card, int(line.split()[0])))
    except NVMLError as error:
        print(error.value == NVML_ERROR_IN_USE)
"""


def test_vgpus_on_gpu_instances(with_nvml):
    """MIG mode and VFs, then GPU instances, then types: from nothing, lent, cut anew, and back to nothing."""
    host = with_nvml
    file = write(host, "backed.yaml", BACKED)
    nothing, backed = ("0", "0", [], []), ("8", "1", ["14", "9"], ["476", "475"])
    assert f"it resets {CARD}" in host.refused("apply", file, "--yes")
    assert mig(host) == nothing
    host.gpupass("apply", file, "--yes", "--allow-reset")
    assert mig(host) == backed
    assert steps(host.gpupass("plan", file)) == []

    vfs = [slots(host, CARD)[f"{CARD}/{name}"]["device"] for name in ("A100-3-20C-0", "A100-2-10C-0")]
    host.gpupass("attach", "vm1", "card/A100-3-20C-0")
    host.gpupass("attach", "vm2", "card/A100-2-10C-0")
    assert (host.hostdevs("vm1"), host.hostdevs("vm2")) == ({vfs[0]}, {vfs[1]})
    before = host.sh("cat /root/nvml")
    other = BACKED.replace("3g.20gb", "4g.20gb").replace("A100-3-20C: 1, ", "")  # the 2g.10gb has to move
    file = write(host, "other.yaml", other)
    said = host.refused("apply", file, "--yes", "--allow-disruption")
    assert f"{vfs[0]} (A100-3-20C) is in use by domain vm1" in said
    assert f"a GPU instance cannot go beside vGPUs that stay: {vfs[1]} (A100-2-10C, domain vm2" in said
    assert host.sh(f". /root/env; python3 <<'END'\n{DESTROY}\nEND").split() == ["True"] * 2
    assert mig(host) == backed and host.sh("cat /root/nvml") == before
    host.gpupass("detach", "vm1", "card/A100-3-20C-0")
    host.gpupass("detach", "vm2", "card/A100-2-10C-0")
    assert mig(host) == backed

    host.gpupass("apply", file, "--yes")
    assert mig(host) == ("8", "1", ["14", "5"], ["475"])
    host.gpupass("rollback", "--yes")
    assert mig(host) == backed
    host.gpupass("rollback", "--yes", "--allow-reset")
    assert mig(host) == nothing
    assert not host.remembered("claim", "vgpu.made", "sriov.made", "mig.made", "quarantine")
