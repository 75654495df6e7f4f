"""The doctor as it is typed: what it prints, its exit status, --fix on a simulated Debian and its way back."""

import io
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpupass.cli import doctor, main
from gpupass.doctor.words import DROP_IN
from gpupass.errors import GpupassError
from tests.simulated import GPU

HOSTS = Path(__file__).parents[2] / "hosts"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
GOLDEN = Path(__file__).parent / "golden"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def without_an_iommu(machine):
    """A simulated Debian with GRUB whose IOMMU is off."""
    machine.debian()
    machine.put("/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    machine.put("/usr/sbin/update-grub", "")
    machine.put("/proc/cmdline", "ro quiet\n")
    machine.put(
        "/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\n\nprocessor\t: 1\n"
    )
    machine.put("/dev/kvm", "")
    machine.put("/sys/firmware/acpi/tables/DMAR", "")
    for name in machine.names("/sys/kernel/iommu_groups"):
        machine.put(f"/sys/kernel/iommu_groups/{name}/name", "vfio-noiommu\n")
    for name in machine.names("/sys/class/iommu"):
        machine.files.remove(f"/sys/class/iommu/{name}")
    for directory in ("default/grub.d", "modules-load.d"):
        machine.files.put(f"/etc/{directory}", set())


@pytest.fixture
def gpupass(machine, monkeypatch, capsys, tmp_path):
    """Run a command line on it."""
    without_an_iommu(machine)
    monkeypatch.setattr(doctor, "System", lambda: machine)
    monkeypatch.chdir(tmp_path)

    def run(line, answer=None):
        monkeypatch.setattr(sys, "argv", ["gpupass", *line.split()])
        monkeypatch.setattr(sys, "stdin", io.StringIO() if answer is None else Terminal(answer))
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended.value.code, output.out, output.err

    return run


def test_what_is_wrong_and_what_to_type(gpupass):
    code, out, err = gpupass("doctor")
    assert (code, err) == (3, "")
    assert "(iommu.on)" in out and "intel_iommu=on" in out and "update-grub, then reboot" in out
    assert "gpupass doctor --fix does" in out


def test_json(gpupass):
    code, out, _ = gpupass("doctor --json")
    told = json.loads(out)
    (iommu,) = [one for one in told["findings"] if one["id"] == "iommu.on"]
    assert (code, iommu["level"], iommu["needs"], iommu["fixable"]) == (3, "fail", "reboot", True)
    assert told["counts"]["fail"] >= 1 and told["loader"] == "update-grub"


def test_it_is_narrowed(gpupass, tmp_path):
    """MIG needs no IOMMU; a device is asked about alone, and what a profile wants."""
    everything = {one["id"] for one in json.loads(gpupass("doctor --json")[1])["findings"]}
    mig = {one["id"] for one in json.loads(gpupass("doctor --for mig --json")[1])["findings"]}
    assert mig < everything and "iommu.on" in everything - mig
    (tmp_path / "p.yaml").write_text(
        f"version: 1\ngpus: [{{name: a, select: {{address: '{GPU}'}}, use: passthrough}}]\n"
    )
    for line in (f"doctor --for {GPU} --json", "doctor --for p.yaml --json"):
        told = json.loads(gpupass(line)[1])["findings"]
        assert {one["about"] for one in told} <= {None, GPU} and "iommu.on" in {one["id"] for one in told}
    assert gpupass("doctor --for nonsense")[0] == 2


def test_fix_asks_does_and_can_be_taken_back(gpupass, machine):
    before = machine.snapshot()
    code, out, _ = gpupass("doctor --fix --dry-run")
    assert code == 0 and "intel_iommu=on" in out and machine.snapshot() == before
    code, _, err = gpupass("doctor --fix")
    assert code == 2 and "hint: gpupass doctor --fix --yes" in err
    code, out, _ = gpupass("doctor --fix", answer="n\n")
    assert code == 130 and machine.snapshot() == before
    code, out, _ = gpupass("doctor --fix --yes")
    assert code == 0 and "(reboot; then: gpupass doctor)" in out, out
    assert machine.etc()[DROP_IN][0].endswith('DEFAULT intel_iommu=on"')
    assert ("update-grub", "") in machine.log
    code, out, _ = gpupass("doctor")
    assert code == 3 and "reboot: the boot loader is told so already" in out
    assert "nothing to do" in gpupass("doctor --fix --yes")[1]
    code, _, err = gpupass("doctor --undo")
    assert code == 2 and "hint: gpupass doctor --undo --yes" in err
    assert gpupass("doctor --undo --yes")[0] == 0 and machine.snapshot() == before
    assert "nothing to do" in gpupass("doctor --undo --yes")[1]


@pytest.mark.parametrize("line", ["--fix --undo", "--undo --for mig", "--yes", "--dry-run"])
def test_what_makes_no_sense(line, gpupass):
    code, _, err = gpupass(f"doctor {line}")
    assert code == 2 and "hint: gpupass doctor" in err


def fails():
    raise GpupassError("cannot run update-grub: exit 1", "update-grub")


def test_what_fails_half_way_leaves_nothing(gpupass, machine):
    before = machine.snapshot()
    machine.faults["update-grub", ""] = fails
    code, _, err = gpupass("doctor --fix --yes")
    assert code == 1 and machine.snapshot() == before, err


def test_a_recorded_host_is_only_looked_at():
    run = CliRunner().invoke(main.cli, ["doctor", "--fix", "--host", str(HOSTS / "desktop")])
    assert run.exit_code != 0


@pytest.mark.parametrize("name", NAMES)
def test_recorded_hosts(name, regenerate):
    """What an old record does not hold is unknown, and not as it should be."""
    done = CliRunner().invoke(main.cli, ["doctor", "--host", str(HOSTS / name)], catch_exceptions=False)
    golden = GOLDEN / f"{name}.txt"
    if regenerate:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()
