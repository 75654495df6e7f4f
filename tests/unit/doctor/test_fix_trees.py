"""doctor --fix on the files of each distribution, in a tree of its own: what lies there then, and after a failure.

Its tools are played, but for what they are given; scripts of Debian's are run in earnest in tests/lab.
"""

import os
import re
from pathlib import Path

import pytest

from gpupass.app.doctor import About, set_right, take_back
from gpupass.app.report import Ending
from gpupass.errors import GpupassError, NoLibvirt
from gpupass.model.ground import Family
from gpupass.observe.ground.boot_loader import read_loader
from gpupass.system import System
from tests.host_tree import Function, HostTree
from tests.unit.doctor.test_boot_loader import HOSTS

CPU = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\naddress sizes\t: 46 bits physical, 48 bits virtual\n\n"
TOOLS = (
    "update-grub",
    "proxmox-boot-tool",
    "sdbootutil",
    "update-initramfs",
    "dracut",
    "mkinitcpio",
    "udevadm",
)
HEAD = "# Written by `gpupass doctor --fix`.\n"
LINE = "options vfio_iommu_type1 dma_entry_limit=65535\n"
INITRAMFS = {
    "debian": "update-initramfs -u -k all",
    "ubuntu, in a cloud": "update-initramfs -u -k all",
    "proxmox, zfs": "update-initramfs -u -k all",
    "fedora": "dracut --force --regenerate-all",
    "tumbleweed": "dracut --force --regenerate-all",
    "leap": "dracut --force --regenerate-all",
    "arch": "mkinitcpio -P",
}
DROP_IN = "/etc/default/grub.d/zz-gpupass.cfg"
APPENDED = 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on"\n'
WANTED = {  # files as they lie there then, and what was run
    "debian": ({DROP_IN: HEAD + APPENDED}, ["update-grub"]),
    "ubuntu, in a cloud": (
        {DROP_IN: HEAD + APPENDED},
        ["update-grub"],
    ),
    "fedora": (
        {
            "/boot/loader/entries/a-5.14.conf": "options root=/dev/sda1 ro quiet intel_iommu=on\n",
            "/boot/loader/entries/a-5.15.conf": "options root=/dev/sda1 ro intel_iommu=on\n",
        },
        ["grubby --update-kernel=ALL --args=intel_iommu=on"],
    ),
    "tumbleweed": (
        {"/etc/kernel/cmdline": "root=UUID=1 quiet intel_iommu=on\n"},
        ["sdbootutil update-all-entries"],
    ),
    "arch": (
        {
            "/boot/loader/entries/arch.conf": "title   Arch Linux\nlinux   /vmlinuz-linux\n"
            "options root=UUID=1 rw quiet intel_iommu=on\n"
        },
        [],
    ),
    "proxmox, zfs": (
        {"/etc/kernel/cmdline": "root=ZFS=rpool/ROOT/pve-1 boot=zfs intel_iommu=on\n"},
        ["proxmox-boot-tool refresh"],
    ),
    "leap": ({}, []),  # it is told what to type
}


OTHERWISE = {
    "fedora": {
        "/boot/loader/entries/a-5.14.conf": "options root=/dev/sda1 ro quiet\n",
        "/boot/loader/entries/a-5.15.conf": "options root=/dev/sda1 ro\n",
    }
}


class Tree(System):
    """A host whose files lie below a directory, and whose tools only say that they were run."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "state")
        self.root = str(root / "host")
        self.ran: list[str] = []
        self.broken = ""

    def _run(self, argv: tuple[str, ...], seconds: float) -> str:
        line = " ".join(argv)
        if line == self.broken:
            raise GpupassError(f"cannot run {argv[0]}: exit 1", line)
        if line == "grubby --info=ALL":
            return "".join(
                f'index={number}\nkernel="/boot/vmlinuz-{path.stem[2:]}"\n{_args(path)}\n'
                for number, path in enumerate(
                    sorted(Path(f"{self.root}/boot/loader/entries").glob("a-5*.conf"))
                )
            )
        self.ran.append(line)
        if argv[0] == "grubby":
            self._grubby(*argv[1:])
        elif argv[0] == "update-grub" and (made := Path(f"{self.root}/boot/grub/grub.cfg")).exists():
            told = " ".join(read_loader(self, Family.DEBIAN).words or ())
            made.write_text(
                f"linux /vmlinuz-6.12 root=UUID=1 ro single\nlinux /vmlinuz-6.12 root=UUID=1 ro {told}\n"
            )
        else:
            assert argv[0] in TOOLS, line
        return ""

    def _grubby(self, which: str, change: str) -> None:
        kernel = which.removeprefix("--update-kernel=")
        words = change.partition("=")[2].split()
        for path in Path(f"{self.root}/boot/loader/entries").glob("a-5*.conf"):
            if kernel not in ("ALL", f"/boot/vmlinuz-{path.stem[2:]}"):
                continue
            had = path.read_text().split()
            kept = [word for word in had if word not in words]
            new = kept if change.startswith("--remove-args") else [*had, *(w for w in words if w not in had)]
            path.write_text(" ".join(new) + "\n")

    def hypervisor(self, uri: str):  # type: ignore[no-untyped-def]
        raise NoLibvirt("cannot connect to libvirt: no such file", "systemctl start libvirtd")

    def files(self) -> dict[str, str]:
        top = Path(self.root)
        below = (path for where in ("etc", "boot") for path in (top / where).rglob("*") if path.is_file())
        return {f"/{path.relative_to(top)}": path.read_text() for path in below}


def _args(path: Path) -> str:
    found = re.search(r"^options (.*)$", path.read_text(), re.MULTILINE)
    return f'args="{found[1] if found else ""}"'


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """An Intel host of that distribution: its IOMMU is off, a module's option is too small."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("gpupass.system.names.pci_names", lambda ids: {})

    def made(name: str) -> Tree:
        tree = HostTree(tmp_path / "host")
        tree.kernel()
        tree.function(
            Function(address="0000:01:00.0", ids="10de:2204", class_code=0x030000, driver="nouveau")
        )
        for path, text in (HOSTS[name][0] | OTHERWISE.get(name, {})).items():
            tree.file(path, text)
        tree.file("/proc/cpuinfo", CPU)
        tree.file("/proc/cmdline", "ro quiet\n")
        tree.file("/sys/firmware/acpi/tables/DMAR", "")
        tree.file("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "1024\n")
        tree.file("/dev/kvm", "")
        initramfs = INITRAMFS.get(name, "")
        if initramfs.startswith("update-initramfs"):
            tree.file("/usr/share/initramfs-tools/hook-functions", "")
        elif initramfs.startswith("dracut"):
            tree.file("/usr/bin/dracut", "")
        return Tree(tmp_path)

    return made


@pytest.mark.parametrize("name", WANTED)
def test_what_lies_there_then(name: str, host) -> None:  # type: ignore[no-untyped-def]
    tree = host(name)
    before = tree.files()
    files, commands = WANTED[name]
    if commands != ["update-grub"] and files:
        files = {**files, "/etc/gpupass/kernel-arguments": f"{HEAD}intel_iommu=on\n"}
    planned = set_right(tree, "qemu:///system", About(), dry_run=True)
    assert planned.ending is Ending.PLANNED and tree.files() == before and not tree.ran
    report = set_right(tree, "qemu:///system", About(), approved=planned.plan)
    assert report.ending is Ending.DONE and report.note == "reboot; then: gpupass doctor"
    found = {path: text for path, text in tree.files().items() if path != "/boot/grub/grub.cfg"}
    before.pop("/boot/grub/grub.cfg", None)
    assert found == before | files | {"/etc/modprobe.d/gpupass.conf": HEAD + LINE}
    assert tree.ran == [INITRAMFS[name], *commands]
    tree.ran.clear()
    assert set_right(tree, "qemu:///system", About()).ending is Ending.NOTHING
    assert not tree.ran
    assert take_back(tree).ending is Ending.DONE
    assert {path: text for path, text in tree.files().items() if path != "/boot/grub/grub.cfg"} == before
    assert take_back(tree).ending is Ending.NOTHING


@pytest.mark.parametrize("name", [name for name, (_, commands) in WANTED.items() if commands])
def test_what_fails_at_its_end_leaves_the_files_as_they_were(name: str, host) -> None:  # type: ignore[no-untyped-def]
    tree = host(name)
    before = tree.files()
    tree.broken = WANTED[name][1][-1]
    with pytest.raises(GpupassError):
        set_right(tree, "qemu:///system", About())
    assert tree.files() == before
