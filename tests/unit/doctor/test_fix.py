"""doctor --fix on files of each distribution: what is written, who reads it, and that all of it comes back."""

import pytest
from msgspec.structs import replace

from gpupass.boot.initramfs import HOOK_FUNCTIONS
from gpupass.doctor.examine import examine
from gpupass.doctor.fix import TOLD, fix_plan, fixable, paths
from gpupass.doctor.remedy import Arguments, Limit, Load, Options
from gpupass.doctor.words import AT_BOOT, DROP_IN, MODPROBE
from gpupass.model.boot import BootState, HostFile
from gpupass.model.ground import Ground, LoaderKind
from tests.doctor_sights import GROUND, sight
from tests.unit.doctor.test_checks import GROUNDS

BAD = {
    "iommu.enabled": False,
    "virtualisation.kvm": False,
    "modules.parameters": {"vfio_iommu_type1.dma_entry_limit": "1024"},
}
SAID = {
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    "/boot/loader/entries/arch.conf": "title Arch\noptions root=UUID=1 rw\n",
    "/boot/loader/entries/a.conf": "options root=UUID=1 rw\n",
    "/etc/kernel/cmdline": "root=UUID=1 quiet\n",
}
MODULES = [
    ("write", MODPROBE),
    ("modprobe", "kvm"),
    ("modprobe", "kvm_intel"),
    ("write", AT_BOOT),
]


def boot_of(ground: Ground) -> BootState:
    files = tuple(
        HostFile(path=path, text=SAID[path]) for path in (ground.loader.files if ground.loader else ())
    )
    return BootState(files=files, os_release="ID=debian\n", present=(HOOK_FUNCTIONS,))


def told(ground: Ground) -> list[tuple[str, str]]:
    given = sight(BAD)
    found = examine(
        replace(given, ground=replace(given.ground, loader=ground.loader, distribution=ground.distribution))
    )
    plan = fix_plan(found, ground, boot_of(ground))
    return [
        (
            {
                "WriteFile": "write",
                "LoadModule": "modprobe",
                "Refresh": "has read",
                "SetKernelArguments": "grubby",
            }[type(step).__name__],
            getattr(step, "path", "") or getattr(step, "module", "") or str(getattr(step, "what", "")),
        )
        for step in plan.steps
    ]


NOTED = ("write", TOLD)
WRITTEN = {
    LoaderKind.UPDATE_GRUB: [("write", DROP_IN), ("has read", "grub")],
    LoaderKind.GRUBBY: [NOTED, ("grubby", "")],
    LoaderKind.SDBOOTUTIL: [NOTED, ("write", "/etc/kernel/cmdline"), ("has read", "sdbootutil")],
    LoaderKind.ENTRIES: [NOTED, ("write", "/boot/loader/entries/arch.conf")],
    LoaderKind.PROXMOX_BOOT_TOOL: [
        NOTED,
        ("write", "/etc/kernel/cmdline"),
        ("has read", "proxmox-boot-tool"),
    ],
}


@pytest.mark.parametrize("kind", LoaderKind)
def test_what_is_written_for_each_loader(kind: LoaderKind) -> None:
    """Of a loader that it does not know how to tell it only says what to type."""
    found = told(GROUNDS[kind.value])
    assert [one for one in found if one != ("has read", "initramfs-tools")] == MODULES + WRITTEN.get(kind, [])
    assert fixable(Arguments(add=("a=b",)), GROUNDS[kind.value]) is (kind in WRITTEN)


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        (
            "update-grub",
            DROP_IN,
            '# Written by `gpupass doctor --fix`.\nGRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on"\n',
        ),
        (
            "systemd-boot",
            "/boot/loader/entries/arch.conf",
            "title Arch\noptions root=UUID=1 rw intel_iommu=on\n",
        ),
        ("proxmox-boot-tool", "/etc/kernel/cmdline", "root=UUID=1 quiet intel_iommu=on\n"),
        (
            "grubby",
            MODPROBE,
            "# Written by `gpupass doctor --fix`.\noptions vfio_iommu_type1 dma_entry_limit=65535\n",
        ),
        ("grubby", AT_BOOT, "# Written by `gpupass doctor --fix`.\nkvm\nkvm_intel\n"),
    ],
)
def test_its_words(kind: str, path: str, text: str) -> None:
    ground = GROUNDS[kind]
    given = sight(BAD)
    plan = fix_plan(examine(given), ground, boot_of(ground))
    assert [step.text for step in plan.steps if getattr(step, "path", "") == path] == [text]


def test_what_stands_there_is_not_written_again() -> None:
    given = sight(BAD)
    first = fix_plan(examine(given), GROUND, boot_of(GROUND))
    files = {step.path: step for step in first.steps if hasattr(step, "path")}
    boot = replace(
        boot_of(GROUND),
        files=tuple(HostFile(path=path, text=step.text or "") for path, step in files.items()),
    )
    again = fix_plan(examine(given), GROUND, boot)
    assert not [step for step in again.steps if hasattr(step, "path")]


def test_what_somebody_wrote_on_purpose_is_not_taken_away() -> None:
    assert not fixable(Arguments(remove=("iommu=off",)), GROUND)
    assert not fixable(Arguments(add=("a=$(reboot)",)), GROUND)
    assert not fixable(Arguments(add=("initcall_blacklist=sysfb_init",), doubt="it may fail"), GROUND)
    assert fixable(Options(lines=("options a b=c",)), GROUND)
    assert fixable(Limit(unit="libvirtd.service", line="LimitMEMLOCK=infinity"), GROUND)
    assert fixable(Load(modules=("kvm",)), GROUND)


def test_where_it_looks() -> None:
    assert paths(GROUND, ()) == (MODPROBE, AT_BOOT, DROP_IN, TOLD, "/etc/default/grub")
    assert paths(GROUNDS["unknown"], ()) == (MODPROBE, AT_BOOT, DROP_IN, TOLD)
