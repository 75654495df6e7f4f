"""The lab itself: that its commands, losses, power cuts and snapshots are what they seem."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpupass.errors import GpupassError, Refused, Usage
from gpupass.lab.machine import Lab, LabLost

pytestmark = pytest.mark.lab
NAME = f"test-machine-{os.getpid()}"


@pytest.fixture(scope="module")
def shared(hosts) -> Iterator[Lab]:
    hosts.close()
    lab = Lab(NAME, lambda text: sys.stderr.write(f"{text}\n") and None)
    lab.up("simple", from_snapshot=True, follow=os.getpid())
    lab.snapshot("test-machine")
    yield lab
    _remove(lab)


@pytest.fixture
def lab(shared: Lab) -> Lab:
    """A machine that works; restored when the test before lost it."""
    if shared.status().state != "running":
        shared.restore("test-machine")
    return shared


def _remove(lab: Lab) -> None:
    lab.down()
    shutil.rmtree(lab.instance.folder)


def _cli(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "gpupass", "lab", "--name", NAME, *words]
    return subprocess.run(argv, text=True, capture_output=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


def test_command_streams_and_status(lab: Lab) -> None:
    done = lab.run(["sh", "-c", "cat; echo err >&2; exit 7"], stdin=b"in\x00\xff")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\x00\xff", b"err\n")
    assert lab.run(["sh", "-c", "kill -9 $$"]).returncode == 137


def test_the_command_line_passes_everything_on(lab: Lab) -> None:
    done = _cli("run", "--", "sh", "-c", "cat; echo err >&2; exit 7", input="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "err\n")


def test_run_true_is_quick(lab: Lab) -> None:
    begun = time.monotonic()
    assert lab.run(["true"]).returncode == 0
    assert time.monotonic() - begun < 1.0


def test_more_clients_than_ports(lab: Lab) -> None:
    results: dict[int, bytes] = {}

    def work(number: int) -> None:
        results[number] = lab.run(["sh", "-c", f"sleep 0.3; echo {number}"]).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: f"{number}\n".encode() for number in range(9)}


def test_a_timeout_ends_the_command_and_nothing_else(lab: Lab) -> None:
    with pytest.raises(TimeoutError):
        lab.run(["sh", "-c", "sleep 4242"], timeout=1)
    for _ in range(100):
        if not lab.run(["pgrep", "-f", "sleep 4242"]).stdout:
            return
        time.sleep(0.1)
    pytest.fail("the command lives on")


def test_many_reconnects_lose_nothing(lab: Lab) -> None:
    begun = time.monotonic()
    for number in range(60):
        assert lab.run(["echo", str(number)]).stdout == f"{number}\n".encode()
    assert time.monotonic() - begun < 60


def test_files_go_in_and_come_back(lab: Lab, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    (tmp_path / "in").chmod(0o750)
    lab.put(tmp_path / "in", "/root")
    assert lab.run(["stat", "-c", "%a", "/root/in"]).text.strip() == "750"
    lab.get("/root/in", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    with pytest.raises(GpupassError, match="cannot copy /nowhere"):
        lab.get("/nowhere", tmp_path / "none")
    assert not list(tmp_path.glob("none*"))


def test_the_working_copy_is_there_and_read_only(lab: Lab) -> None:
    assert lab.run(["cmp", "-", "/opt/gpupass/gpupass/lab/machine.py"], stdin=_source()).returncode == 0
    assert b"Read-only" in lab.run(["touch", "/opt/gpupass/x"]).stderr


def _source() -> bytes:
    import gpupass.lab.machine

    return Path(gpupass.lab.machine.__file__).read_bytes()


def test_a_restore_brings_back_memory_and_disk_and_the_right_time(lab: Lab) -> None:
    before = lab.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    lab.run(["sh", "-c", "echo changed >/etc/motd; echo x >/run/gone; sync"])
    lab.restore("test-machine")
    assert lab.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout == before
    assert lab.run(["test", "-e", "/run/gone"]).returncode == 1
    assert b"changed" not in lab.run(["cat", "/etc/motd"]).stdout
    assert abs(float(lab.run(["date", "+%s.%N"]).text) - time.time()) < 5
    assert lab.run(["test", "-e", "/opt/gpupass/gpupass/lab"]).returncode == 0


def test_a_device_without_saved_state_works_after_a_restore(lab: Lab) -> None:
    lab.restore("test-machine")
    edu = lab.run(["sh", "-c", "lspci -D -d 1234:11e8 | cut -d' ' -f1"]).text.strip()
    assert "Mem+" in lab.run(["lspci", "-vv", "-s", edu]).text
    identify = (
        "import mmap, os, struct, sys\n"
        "file = os.open(f'/sys/bus/pci/devices/{sys.argv[1]}/resource0', os.O_RDWR)\n"
        "print(hex(struct.unpack('I', mmap.mmap(file, 4096)[0:4])[0]))"
    )
    assert lab.run(["python3", "-c", identify, edu]).text.strip() == "0x10000ed"


def test_unknown_snapshots_are_named(lab: Lab) -> None:
    with pytest.raises(Usage, match=r"no such snapshot \(known: booted"):
        lab.restore("never-saved")
    assert lab.run(["true"]).returncode == 0


def test_a_killed_machine_is_lost_and_says_so(lab: Lab) -> None:
    def kill() -> None:
        pid = lab.status().pid
        assert pid is not None
        os.kill(pid, 9)

    timer = threading.Timer(1.0, kill)
    timer.start()
    with pytest.raises(LabLost, match="the lab machine was lost: QEMU was killed by signal 9"):
        lab.run(["sleep", "60"])
    timer.join()
    assert lab.status().state == "lost"
    done = _cli("run", "--", "true")
    assert done.returncode == 255 and "the lab machine was lost" in done.stderr


def test_a_panic_ends_the_machine_and_a_power_cycle_brings_it_back(lab: Lab) -> None:
    lab.run(["sh", "-c", "echo kept >/root/synced && sync /root/synced /root; echo gone >/root/unsynced"])
    with pytest.raises(LabLost) as lost:
        lab.run(["sh", "-c", "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60"])
    assert "Kernel panic" in str(lost.value)
    lab.power_cycle()
    assert lab.run(["cat", "/root/synced"]).stdout == b"kept\n"
    assert lab.run(["test", "-s", "/root/unsynced"]).returncode == 1


def test_a_power_cycle_of_a_running_machine_boots_it_anew(lab: Lab) -> None:
    before = lab.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    lab.power_cycle()
    assert lab.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != before


def test_up_again_and_up_otherwise(lab: Lab) -> None:
    lab.up("simple")
    with pytest.raises(Refused, match="it runs with simple"):
        lab.up("groups")


def test_the_monitor(lab: Lab) -> None:
    assert lab.qmp("query-status")["running"] is True  # type: ignore[index]
    assert "gpu0" in lab.hmp("info pci")
    with pytest.raises(GpupassError, match="cannot execute device_del"):
        lab.qmp("device_del", id="nothing")


def test_the_lab_ends_with_the_process_it_follows() -> None:
    name = f"{NAME}-f"
    child = subprocess.Popen(["sleep", "600"])
    follower = Lab(name)
    try:
        follower.up("simple", from_snapshot=True, follow=child.pid)
        assert follower.run(["true"]).returncode == 0
        child.kill()
        child.wait()
        deadline = time.monotonic() + 20
        while follower.instance.running and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not follower.instance.running
        with pytest.raises(LabLost, match="the process it followed is gone"):
            follower.run(["true"])
    finally:
        child.kill()
        _remove(follower)


def test_qemu_dies_with_its_keeper() -> None:
    name = f"{NAME}-k"
    lab = Lab(name)
    try:
        lab.up("simple", from_snapshot=True)
        pid = lab.status().pid
        keeper = lab.instance.read("process.json")["keeper"]
        assert isinstance(keeper, int) and pid is not None
        os.kill(keeper, 9)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()
    finally:
        _remove(lab)
