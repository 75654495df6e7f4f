"""The texts of every file, golden; each checked by the program that reads it where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gpupass.boot.early import RULES, Early, early_bound, early_files
from gpupass.boot.units import promises_file, unit_files, unit_path
from gpupass.model.address import Address
from gpupass.model.boot import HostFile
from gpupass.model.identity import Identity
from gpupass.steps.refresh import FileReader

GOLDEN = Path(__file__).parent / "golden"
GPU, AUDIO = (Identity(ids=ids, subsystem="1043:87af") for ids in ("10de:2204", "10de:1aef"))
CARD = (
    Early(address=Address("0000:01:00.0"), identity=GPU, module="nouveau"),
    Early(address=Address("0000:01:00.1"), identity=AUDIO, module="snd_hda_intel"),
)
IDLE = (Early(address=Address("0000:03:00.0"), identity=Identity(ids="1da3:1020")),)
CASES = {
    "units": unit_files("/usr/bin/gpupass"),
    "promises": (promises_file("/usr/bin/gpupass"),),
    "a card, initramfs-tools": early_files(CARD, FileReader.INITRAMFS_TOOLS),
    "a card, dracut": early_files(CARD, FileReader.DRACUT),
    "no driver, dracut": early_files(IDLE, FileReader.DRACUT),
}


@pytest.mark.parametrize("case", CASES)
def test_golden(case, regenerate):
    text = "".join(f"=== {file.path} {file.mode:04o}\n{file.text}" for file in CASES[case])
    path = GOLDEN / f"{case}.txt"
    if regenerate:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_accepts_the_units(tmp_path):
    executable = tmp_path / "gpupass"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    paths = []
    for file in (*unit_files(str(executable)), promises_file(str(executable))):
        path = tmp_path / Path(file.path).name
        path.write_text(file.text)
        paths.append(str(path))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    known = "'RestartMode' in section"  # before systemd 254
    ours = [line for line in done.stderr.splitlines() if "gpupass" in line and known not in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_rules_can_be_read_back():
    rules = CASES["a card, dracut"][0]
    assert rules.path == RULES
    assert early_bound(rules) == {early.address: early.identity for early in CARD}
    assert early_bound(CASES["no driver, dracut"][0]) == {early.address: early.identity for early in IDLE}
    assert early_bound(None) == {}
    assert early_bound(HostFile(path=RULES, text='KERNEL=="sda"\n')) == {}
    first = 'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="0000:01:00.0", RUN{builtin}+="kmod load vfio-pci"\n'
    assert early_bound(HostFile(path=RULES, text=first)) == {CARD[0].address: None}


def test_every_rule_names_its_function_and_whose_it_is():
    """By whichever event it is read: the conditions are about that function itself."""
    rules = CASES["a card, dracut"][0].text
    lines = [line for line in rules.splitlines() if not line.startswith("#")]
    assert len(lines) == 4
    for line, early in zip(lines, (CARD[0], CARD[0], CARD[1], CARD[1]), strict=True):
        overrides = f'ATTR{{[pci/{early.address}]driver_override}}="vfio-pci"' in line
        about = f"[pci/{early.address}]" if overrides else ""
        assert overrides or f'KERNEL=="{early.address}"' in line
        values = f"{early.identity.ids}:{early.identity.subsystem}".split(":")
        for name, value in zip(
            ("vendor", "device", "subsystem_vendor", "subsystem_device"), values, strict=True
        ):
            assert f'ATTR{{{about}{name}}}=="0x{value}"' in line


def test_the_hook_is_a_shell_script():
    hook = CASES["a card, initramfs-tools"][-1]
    assert hook.mode == 0o755
    done = subprocess.run(["sh", "-n"], input=hook.text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        ["sh", "-s", "prereqs"], input=hook.text, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "udev\n")


def test_nobody_bound_early_needs_no_file():
    assert early_files((), FileReader.DRACUT) == ()
    assert unit_path("gpupass.service") == "/etc/systemd/system/gpupass.service"
