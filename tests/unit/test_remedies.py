"""Every remedy that gpupass tells is a command that there is, or plain words: all of them are gone through."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gpupass.cli.main import cli
from gpupass.model.remedies import REMEDIES, remedy
from gpupass.model.user import Holder, User, UserKind

SOURCES = sorted((Path(__file__).parents[2] / "gpupass").rglob("*.py"))
HANDLES = {
    Holder.STOPPABLE: "nvidia-persistenced nvidia-persistenced.service",
    Holder.USER_UNIT: "1000 pipewire.socket pipewire.service",
    Holder.DOMAIN_DISK: "web vda",
    Holder.PROXMOX_CONFIG: "100 hostpci0",
    Holder.FRAMEBUFFER: "/sys/bus/platform/drivers/simple-framebuffer/simple-framebuffer.0",
    Holder.NVME_TARGET: "/sys/kernel/config/nvmet/subsystems/nqn.a/namespaces/1",
    Holder.MOUNT: "/srv/data",
    Holder.SWAP: "/dev/sda2",
}
PROGRAMS = {  # and what comes after their name
    "systemctl": r"(--user --machine=\S+@ )?(stop|start|restart|status|disable|enable|isolate) \S+( \S+)*",
    "virsh": r"(start|shutdown|destroy|resume|edit|domjobinfo|detach-disk|detach-interface|detach-device|dumpxml|define"
    r"|memtune|dompmwakeup|domblklist|list|nodedev-list|managedsave-remove|undefine|reset|reboot|domstate)\b.*",
    "loginctl": r"terminate-session \S+",
    "kill": r"\d+|PID|X",
    "qm": r"(shutdown|stop|config) \S+|set \S+ --delete \S+",
    "pct": r"(shutdown|stop) \S+",
    "docker": r"stop \S+",
    "podman": r"stop \S+",
    "crictl": r"inspect \S+",
    "incus": r"stop \S+",
    "lxc": r"stop \S+",
    "lxc-stop": r"--name \S+",
    "machinectl": r"poweroff \S+",
    "umount": r"\S+",
    "swapoff": r"\S+",
    "vgchange": r"--activate n \S+",
    "cryptsetup": r"close \S+",
    "multipath": r"-f \S+",
    "dmsetup": r"remove \S+",
    "mdadm": r"--stop /dev/\S+",
    "drbdadm": r"sh-dev all",
    "lsblk": r"/dev/\S+",
    "zpool": r"export \S+",
    "targetcli": r"/backstores/block delete \S+",
    "losetup": r"--detach /dev/\S+",
    "ip": r"link (set \S+ (down|nomaster)|delete \S+)",
    "ovs-vsctl": r"del-port \S+",
    "lsns": r"--type net",
    "vdpa": r"dev del \S+",
    "modprobe": r"(--remove |-r |-rv? )?\S+.*",
    "echo": r"\S+ > /sys/\S+",
    "ps": r"-ef",
    "scancel": r"\S+",
}
_COMMAND = re.compile(
    rf"(?:^|(?<=[:;,] )|(?<=or )|(?<=back: ))((?:gpupass|{'|'.join(PROGRAMS)}) (?!to )[^;,()]+)"
)


def told() -> Iterator[tuple[str, str]]:
    """(where, text) of every remedy and hint that is written in the source; what is put in is X."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg in ("remedy", "hint"):
                for text in _texts(node.value):
                    yield f"{path.name}:{node.value.lineno}", text


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.BinOp):
        for left in _texts(node.left):
            yield from (left + right for right in _texts(node.right))


def commands(text: str) -> list[str]:
    return [found.strip().removesuffix(".") for found in _COMMAND.findall(text)]


def check(command: str) -> None:
    program, _, rest = command.partition(" ")
    if program == "gpupass":
        _check_gpupass(shlex.split(rest))
    else:
        assert re.fullmatch(PROGRAMS[program], rest), command


def _check_gpupass(words: list[str]) -> None:
    """Its verbs and options are there; what they are given is not asked."""
    command: click.Command = cli
    context = click.Context(cli)
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if word.startswith("--") and word != "--help":
            assert word in known, (command.name, word)


def test_every_holder_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Holder) - {Holder.NOBODY}


@pytest.mark.parametrize("holder", REMEDIES)
def test_the_remedy_of_a_holder_is_a_command(holder: Holder) -> None:
    handle = HANDLES.get(holder, "thing")
    user = User(kind=UserKind.PROCESS, name="name", pid=7, holder=holder, handle=handle)
    text = remedy(user, "0000:01:00.0")
    found = commands(text)
    assert found or holder in (Holder.QEMU, Holder.ROOT), text
    for command in found:
        check(command)
    if holder is not Holder.PROCESS:
        assert not any(command.startswith("kill") for command in found)


@pytest.mark.parametrize("kind", UserKind)
def test_the_remedy_of_a_user_of_unknown_kind(kind: UserKind) -> None:
    for command in commands(remedy(User(kind=kind, name="name", pid=7), "0000:01:00.0")):
        check(command)


def test_what_is_foreign_is_quoted() -> None:
    user = User(kind=UserKind.DISK, name="a", holder=Holder.MOUNT, handle="/x; reboot")
    assert remedy(user, "").endswith("umount '/x; reboot'")
    user = User(kind=UserKind.PROCESS, name="a", holder=Holder.USER_UNIT, handle="1000 $(reboot).service")
    assert "'$(reboot).service'" in remedy(user, "")


ALL = sorted(set(told()))


def test_there_are_remedies() -> None:
    assert sum(bool(commands(text)) for _, text in ALL) > 30


@pytest.mark.parametrize(("where", "text"), ALL, ids=[where for where, _ in ALL])
def test_what_is_told_is_a_command(where: str, text: str) -> None:
    for command in commands(text):
        check(command)
