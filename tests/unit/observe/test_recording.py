"""A record is the host again, as far as the reading verbs go, and gives nothing away."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpupass.cli.main import cli
from gpupass.errors import Usage
from gpupass.observe import observe
from gpupass.observe.recording import record_host
from gpupass.observe.secrets import without_secrets
from gpupass.system import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_same_answers_from_the_record(name: str, tmp_path: Path) -> None:
    record_host(RecordedHost(str(HOSTS / name)), tmp_path / "copy", "qemu:///system")
    for verb in ("list", "groups"):
        first, second = (
            CliRunner().invoke(cli, [verb, "--all", "--json", "--host", str(host)]).stdout
            for host in (HOSTS / name, tmp_path / "copy")
        )
        assert first == second
    first, second = (
        CliRunner().invoke(cli, ["cdi", "--print", "--host", str(host)]).stdout
        for host in (HOSTS / name, tmp_path / "copy")
    )
    assert first == second and first.startswith("#")


def test_all_links_stay_inside(tmp_path: Path) -> None:
    record_host(RecordedHost(str(HOSTS / "server-sriov")), tmp_path / "copy", "qemu:///system")
    root = (tmp_path / "copy").resolve()
    for directory, directories, files in os.walk(root):
        for path in (Path(directory) / name for name in (*directories, *files)):
            if path.is_symlink():
                target = os.path.normpath(path.parent / path.readlink())
                assert Path(target).is_relative_to(root), path


def test_a_full_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Usage, match="not empty"):
        record_host(RecordedHost(str(HOSTS / "desktop")), tmp_path, "qemu:///system")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_gpupass_remembers_comes_along(tmp_path: Path) -> None:
    """As files, of which one that cannot be read is said and hides nothing else of the host."""
    state = tmp_path / "source/var/lib/gpupass"
    shutil.copytree(Path(__file__).parents[1] / "store/first_version/all-marks/state", state)
    source, copy = RecordedHost(tmp_path / "source"), tmp_path / "copy"
    record_host(source, copy, "qemu:///system")
    copy = RecordedHost(copy)
    assert len(observe(source).marks) > 8 and observe(copy).marks == observe(source).marks
    (tmp_path / "copy/var/lib/gpupass/marks.json").write_text("{")
    host = observe(RecordedHost(tmp_path / "copy"))
    assert host.marks == () and any("record it again" in unseen for unseen in host.unseen)


def test_network_file_systems_are_not_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "proc/self").mkdir(parents=True)
    (source / "proc/self/mountinfo").write_text(
        "30 1 0:50 / /mnt rw - cifs //server/secret rw,username=joe,password=pw\n"
        "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    )
    record_host(RecordedHost(str(source)), tmp_path / "copy", "qemu:///system")
    kept = (tmp_path / "copy/proc/self/mountinfo").read_text()
    assert kept == "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


def test_secrets_go() -> None:
    xml = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>vm</name>
    <description>call me: 555</description><metadata><a>cloud-init password</a></metadata>
    <sysinfo type='smbios'><oemStrings><entry>password=x</entry></oemStrings></sysinfo>
    <devices><graphics type='vnc' passwd='hunter2'/>
    <disk><auth username='joe'><secret uuid='u'/></auth></disk>
    <hostdev type='pci'><source><address domain='0' bus='1' slot='0' function='0'/></source></hostdev>
    </devices><qemu:commandline><qemu:arg value='-fw_cfg password'/></qemu:commandline></domain>"""
    kept = without_secrets(xml)
    for word in ("hunter2", "password", "555", "joe", "uuid"):
        assert word not in kept
    assert "<hostdev" in kept
