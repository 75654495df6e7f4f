"""`gpupass lab`: rehearse on an emulated GPU host before touching a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpupass.cli.output import print_json

if TYPE_CHECKING:
    from gpupass.lab.machine import Lab

_TOPOLOGY = click.option(
    "--topology", default="simple", show_default=True, metavar="NAME", help="See `gpupass lab topologies`."
)


@click.group()
@click.option(
    "--name", default="default", envvar="GPUPASS_LAB_NAME", show_default=True, metavar="NAME",
    help="Which lab: several can run side by side.",
)  # fmt: skip
@click.pass_context
def lab(context: click.Context, name: str) -> None:
    """An emulated GPU host for trying things out.

    \b
    gpupass lab build                    once, some minutes
    gpupass lab up --from-snapshot       seconds, after the first time
    gpupass lab run -- gpupass list
    gpupass lab down

    A build keeps the image in use, the one used last before it, and any that a lab stands on, each with
    its snapshots; a snapshot keeps, of its topology, those of the last two machines that had some.
    """
    context.obj = name


def _say(text: str) -> None:
    click.echo(f"lab: {text}", err=True)


def _lab(name: str) -> Lab:
    from gpupass.lab.machine import Lab

    return Lab(name, _say)


@lab.command()
@click.option("--linux-guest", is_flag=True, help="Also boot the Linux guest once and save it (10 min).")
@click.pass_obj
def build(name: str, linux_guest: bool) -> None:
    """Build the machine's image from Debian packages; nothing to do when it is there."""
    from gpupass.lab import image

    built = image.build(_say)
    click.echo(f"lab image {built.key} is ready")
    if linux_guest:
        from gpupass.lab import linuxguest

        linuxguest.build(_say)
        click.echo(f"snapshot {linuxguest.SNAPSHOT} is ready: gpupass lab restore {linuxguest.SNAPSHOT}")


@lab.command()
@_TOPOLOGY
@click.option("--from-snapshot", is_flag=True, help="Restore the booted machine instead of booting it.")
@click.option("--while-pid", type=int, metavar="PID", help="End the lab when this process ends.")
@click.pass_obj
def up(name: str, topology: str, from_snapshot: bool, while_pid: int | None) -> None:
    """Start the machine and wait until it takes commands."""
    _lab(name).up(topology, from_snapshot=from_snapshot, follow=while_pid)


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def run(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in the machine; exits with its status, or with 255 when the machine was lost."""
    out, err = sys.stdout.buffer, sys.stderr.buffer

    def output(data: bytes) -> None:
        out.write(data)
        out.flush()

    def errors(data: bytes) -> None:
        err.write(data)
        err.flush()

    stdin = None if sys.stdin is None or sys.stdin.closed else sys.stdin.fileno()
    ending = _lab(name).execute(command, stdin=stdin, output=output, errors=errors)
    sys.exit(ending.returncode)


@lab.command()
@click.pass_obj
def shell(name: str) -> None:
    """A root shell in the machine."""
    from gpupass.lab import terminal

    sys.exit(terminal.shell(_lab(name)))


@lab.command()
@click.argument("local", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("remote")
@click.pass_obj
def put(name: str, local: Path, remote: str) -> None:
    """Copy the file LOCAL into the machine."""
    _lab(name).put(local, remote)


@lab.command()
@click.argument("remote")
@click.argument("local", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def get(name: str, remote: str, local: Path) -> None:
    """Copy the file REMOTE out of the machine."""
    _lab(name).get(remote, local)


@lab.command()
@click.argument("snapshot_name", metavar="NAME")
@click.pass_obj
def snapshot(name: str, snapshot_name: str) -> None:
    """Save the running machine as NAME."""
    _lab(name).snapshot(snapshot_name)


@lab.command()
@click.argument("snapshot_name", metavar="NAME")
@click.pass_obj
def restore(name: str, snapshot_name: str) -> None:
    """Put the machine back to snapshot NAME, in seconds."""
    _lab(name).restore(snapshot_name)


@lab.command("power-cycle")
@click.option("--topology", help="Boot it with the devices of this one: cards were added or pulled out.")
@click.pass_obj
def power_cycle(name: str, topology: str | None) -> None:
    """Cut the power and boot the same disk again: what was not synced is lost."""
    _lab(name).power_cycle(topology)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_obj
def status(name: str, as_json: bool) -> None:
    """What state this lab is in, and which snapshots fit it."""
    found = _lab(name).status()
    if as_json:
        from gpupass.cli.documents.lab import lab_status

        print_json(lab_status(found))
        return
    click.echo(f"lab {found.name}: {found.state}")
    for label, value in (
        ("topology", found.topology),
        ("started from", found.started_from),
        ("accelerator", found.accelerator),
        ("QEMU", f"{found.qemu} (process {found.pid})" if found.pid else found.qemu),
        ("image", found.image),
        ("snapshots", ", ".join(found.snapshots)),
        ("monitor", found.qmp),
        ("console", found.console),
        ("why", found.why),
    ):
        if value:
            click.echo(f"  {label}: {value}")


@lab.command()
@click.pass_obj
def down(name: str) -> None:
    """End the machine and forget its disk; snapshots stay."""
    was = _lab(name).down()
    click.echo(f"lab {name} is down" if was else f"lab {name} was not up")


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def topologies(as_json: bool) -> None:
    """The machines there are to choose from."""
    from gpupass.lab import topology

    known = [topology.load(name) for name in topology.names()]
    if as_json:
        from gpupass.cli.documents.lab import Topologies

        print_json(Topologies(topologies=tuple(known)))
        return
    for one in known:
        click.echo(f"{one.name:10} {one.description}")
        for device in (device for port in one.ports for device in port.devices):
            click.echo(f"{'':12} {device.id:10} {device.model}")
