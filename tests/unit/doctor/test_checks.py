"""Each check of the doctor has hosts that pass and hosts that fail; each remedy, on each distribution, can be typed."""

import re
import shlex

import pytest
from msgspec.structs import replace

from gpupass.doctor.check import Check, Level, Sight
from gpupass.doctor.checks import CHECKS, SUBJECTS
from gpupass.doctor.examine import examine, waits_for_reboot
from gpupass.doctor.fix import fixable
from gpupass.doctor.remedy import Arguments, Options, Remedy
from gpupass.doctor.words import words
from gpupass.model.ground import Distribution, Family, Ground, Loader, LoaderKind, ModuleOption, Modules
from gpupass.model.host import Host
from tests.doctor_sights import GROUND, HOST, sight
from tests.unit.doctor.cases import CASES
from tests.unit.doctor.cases_above import SECOND

BY_ID = {check.id: check for check in CHECKS}
BAD = (Level.WARN, Level.FAIL)
ALL = (
    [(check, changes) for check in CHECKS for changes in CASES[check.id].bad]
    if BY_ID.keys() == CASES.keys()
    else []
)
NAMES = [f"{check.id}-{number}" for number, (check, _) in enumerate(ALL)]


def levels(check: Check, of: Sight) -> list[Level]:
    return [said.level or check.worst for said in check.find(of)]


def test_every_check_has_its_cases() -> None:
    assert BY_ID.keys() == CASES.keys()
    assert len(CHECKS) == len(BY_ID) == sum(len(checks) for _, checks in SUBJECTS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_what_passes(check: Check) -> None:
    found = levels(check, sight(CASES[check.id].good))
    assert found and {*found} == {Level.PASS}


@pytest.mark.parametrize(("check", "changes"), ALL, ids=NAMES)
def test_what_fails(check: Check, changes: dict[str, object]) -> None:
    found = list(check.find(sight(changes)))
    bad = [said for said in found if (said.level or check.worst) in (*BAD, check.worst)]
    assert bad
    assert check.worst is Level.FAIL or Level.FAIL not in [said.level for said in bad]
    for said in bad:
        assert said.why and "\n" not in said.why
        assert said.remedy is not None, said


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_nothing_that_is_not_told_passes_for_good(check: Check) -> None:
    """A record that holds nothing, or a user who sees nothing: what was wrong on purpose is not called right."""
    for changes in CASES[check.id].bad:
        given = sight(changes)
        blind = Sight(host=given.host, ground=replace(Ground(), as_root=False))
        for said in check.find(blind):
            if said.level is Level.UNKNOWN:
                assert said.remedy is not None


def test_on_a_host_where_all_is_well_nothing_is_told_but_that() -> None:
    assert {one.level for one in examine(sight({"devices": (SECOND,)}))} == {Level.PASS}
    assert examine(Sight(host=Host(devices=()), ground=GROUND))


GROUNDS = {
    kind.value: replace(
        GROUND,
        distribution=Distribution(family=family, id=family.value),
        loader=Loader(kind=kind, files=files, words=("quiet", "iommu=off"), made=None),
    )
    for kind, family, files in (
        (LoaderKind.UPDATE_GRUB, Family.DEBIAN, ("/etc/default/grub",)),
        (LoaderKind.GRUBBY, Family.FEDORA, ("/boot/loader/entries/a.conf",)),
        (LoaderKind.OSTREE, Family.FEDORA, ()),
        (LoaderKind.GRUB2_MKCONFIG, Family.SUSE, ("/etc/default/grub",)),
        (LoaderKind.SDBOOTUTIL, Family.SUSE, ("/etc/kernel/cmdline",)),
        (LoaderKind.GRUB_MKCONFIG, Family.ARCH, ("/etc/default/grub",)),
        (LoaderKind.ENTRIES, Family.ARCH, ("/boot/loader/entries/arch.conf",)),
        (LoaderKind.UNIFIED, Family.ARCH, ("/etc/kernel/cmdline",)),
        (LoaderKind.KERNEL_INSTALL, Family.DEBIAN, ("/etc/kernel/cmdline",)),
        (LoaderKind.PROXMOX_BOOT_TOOL, Family.PROXMOX, ("/etc/kernel/cmdline",)),
        (LoaderKind.UNKNOWN, Family.OTHER, ()),
    )
}
# what a doctor must not tell anybody to switch on; to take it out is another thing
HARMFUL = re.compile(
    r"allow_unsafe_interrupts=(1|y)|pcie_acs_override|setenforce|SELINUX=|enable_unsafe_noiommu_mode=(1|y)"
    r"|iommu=off|mitigations=off|security_driver.*none|chmod 777|rm -rf|disable_denylist=1|relaxed_acs_check=1",
    re.IGNORECASE,
)
TAKEN_OUT = re.compile(r"take .*? out of|--remove-args=('[^']*'|\S+)|--delete=\S+")


def remedies() -> list[tuple[str, Remedy]]:
    found = {
        (check.id, said.remedy): None
        for check, changes in ALL
        for said in check.find(sight(changes))
        if said.remedy is not None
    }
    return list(found)


@pytest.mark.parametrize(
    ("id", "remedy"), remedies(), ids=[f"{id}-{n}" for n, (id, _) in enumerate(remedies())]
)
def test_a_remedy_can_be_typed_and_harms_nobody(id: str, remedy: Remedy) -> None:
    for ground in GROUNDS.values():
        text = words(remedy, ground)
        assert text and "\n" not in text
        assert shlex.split(text)
        assert not HARMFUL.search(TAKEN_OUT.sub("", text)), text


def test_the_kernels_command_line_in_the_words_of_each_loader() -> None:
    add, remove = Arguments(add=("intel_iommu=on",)), Arguments(remove=("iommu=off",))
    assert {kind: (words(add, ground), words(remove, ground)) for kind, ground in GROUNDS.items()} == TYPED


TYPED = {
    "update-grub": (
        "echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on\"' "
        ">> /etc/default/grub.d/zz-gpupass.cfg; update-grub, then reboot",
        "take iommu=off out of GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub; update-grub, then reboot",
    ),
    "grubby": (
        "grubby --update-kernel=ALL --args=intel_iommu=on, then reboot",
        "grubby --update-kernel=ALL --remove-args=iommu=off, then reboot",
    ),
    "rpm-ostree": (
        "rpm-ostree kargs --append=intel_iommu=on, then reboot",
        "rpm-ostree kargs --delete=iommu=off, then reboot",
    ),
    "grub2-mkconfig": (
        "add intel_iommu=on to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub; "
        "grub2-mkconfig -o /boot/grub2/grub.cfg, then reboot",
        "take iommu=off out of GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub; "
        "grub2-mkconfig -o /boot/grub2/grub.cfg, then reboot",
    ),
    "sdbootutil": (
        "add intel_iommu=on to /etc/kernel/cmdline; sdbootutil update-all-entries, then reboot",
        "take iommu=off out of /etc/kernel/cmdline; sdbootutil update-all-entries, then reboot",
    ),
    "grub-mkconfig": (
        "add intel_iommu=on to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub; "
        "grub-mkconfig -o /boot/grub/grub.cfg, then reboot",
        "take iommu=off out of GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub; "
        "grub-mkconfig -o /boot/grub/grub.cfg, then reboot",
    ),
    "systemd-boot": (
        "add intel_iommu=on to the options of /boot/loader/entries/arch.conf, then reboot",
        "take iommu=off out of the options of /boot/loader/entries/arch.conf, then reboot",
    ),
    "unified kernel image": (
        "add intel_iommu=on to /etc/kernel/cmdline; mkinitcpio -P, then reboot",
        "take iommu=off out of /etc/kernel/cmdline; mkinitcpio -P, then reboot",
    ),
    "kernel-install": (
        "add intel_iommu=on to /etc/kernel/cmdline; kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r), then reboot",
        "take iommu=off out of /etc/kernel/cmdline; kernel-install add $(uname -r) /boot/vmlinuz-$(uname -r), then reboot",
    ),
    "proxmox-boot-tool": (
        "add intel_iommu=on to /etc/kernel/cmdline; proxmox-boot-tool refresh, then reboot",
        "take iommu=off out of /etc/kernel/cmdline; proxmox-boot-tool refresh, then reboot",
    ),
    "unknown": (
        "add intel_iommu=on to the command line of the kernel in your boot loader, then reboot",
        "take iommu=off out of the command line of the kernel in your boot loader, then reboot",
    ),
}


def test_set_but_not_booted_says_reboot() -> None:
    add = Arguments(add=("intel_iommu=on",))
    told = Loader(kind=LoaderKind.UPDATE_GRUB, files=("/etc/default/grub",), words=("intel_iommu=on",))
    assert words(add, replace(GROUND, loader=told)).startswith("reboot")
    unmade = replace(told, made=("ro", "quiet"))
    assert words(add, replace(GROUND, loader=unmade)).startswith("update-grub, then reboot")


def test_an_option_that_is_written_and_not_loaded_says_reboot() -> None:
    cure = Options(lines=("options vfio_iommu_type1 dma_entry_limit=65535", "blacklist nouveau"))
    option = ModuleOption(
        module="vfio_iommu_type1", words=("dma_entry_limit=65535",), file="/etc/modprobe.d/x.conf"
    )
    half = replace(GROUND, modules=Modules(options=(option,)))
    whole = replace(GROUND, modules=Modules(options=(option,), blacklist=frozenset({"nouveau"})))
    assert not words(cure, half).startswith("reboot") and words(cure, whole).startswith("reboot")
    assert (fixable(cure, half), fixable(cure, whole)) == (True, False)
    given = sight(
        {"modules.parameters": {"vfio_iommu_type1.dma_entry_limit": "1024"}, "modules.options": (option,)}
    )
    assert waits_for_reboot(examine(given)) and not waits_for_reboot(examine(sight()))


def test_the_host_of_the_cases_is_one() -> None:
    assert [device.address for device in sight().gpus] == [HOST.devices[0].address]
