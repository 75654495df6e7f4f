"""Which initramfs tool, by distribution."""

import pytest

from gpupass.boot.initramfs import HOOK_FUNCTIONS, OSTREE, Unknown, initramfs_tool
from gpupass.model.boot import BootState
from gpupass.steps.refresh import FileReader

DRACUT = "/usr/bin/dracut"
HOSTS = {
    "Debian 12": ('ID=debian\nVERSION_ID="12"\n', (HOOK_FUNCTIONS,), FileReader.INITRAMFS_TOOLS),
    "Debian 13": ('ID=debian\nVERSION_ID="13"\n', (HOOK_FUNCTIONS,), FileReader.INITRAMFS_TOOLS),
    "Debian with dracut": ("ID=debian\n", (DRACUT,), FileReader.DRACUT),
    "Ubuntu 24.04, dracut-core beside": (
        "ID=ubuntu\nID_LIKE=debian\n",
        (HOOK_FUNCTIONS, DRACUT),
        FileReader.INITRAMFS_TOOLS,
    ),
    "Mint": ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', (HOOK_FUNCTIONS, DRACUT), FileReader.INITRAMFS_TOOLS),
    "Fedora": ("NAME='Fedora Linux'\nID=fedora\n", (DRACUT,), FileReader.DRACUT),
    "RHEL 9": ('ID="rhel"\nID_LIKE="fedora"\n', ("/usr/sbin/dracut",), FileReader.DRACUT),
    "Rocky with foreign hooks": (
        'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
        (DRACUT, HOOK_FUNCTIONS),
        FileReader.DRACUT,
    ),
    "Arch": ("ID=arch\n", ("/usr/bin/mkinitcpio",), "mkinitcpio"),
    "Arch with dracut": ("ID=arch\n", ("/usr/bin/mkinitcpio", DRACUT), FileReader.DRACUT),
    "Silverblue": ("ID=fedora\n", (DRACUT, OSTREE), "ostree"),
    "Alpine": ("ID=alpine\n", (), "neither initramfs-tools nor dracut (alpine)"),
    "nothing at all": ("", (), "an unknown distribution"),
}


@pytest.mark.parametrize("name", HOSTS)
def test_tool(name):
    os_release, present, wanted = HOSTS[name]
    tool = initramfs_tool(BootState(os_release=os_release, present=present))
    if isinstance(tool, Unknown):
        assert wanted in tool.why and tool.remedy
    else:
        assert tool is wanted
