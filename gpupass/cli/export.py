"""`gpupass export` and `gpupass diff`: profiles out of a host, and beside each other."""

from pathlib import Path

import click
from msgspec.structs import replace

from gpupass.app.export import FORMATS, PVE_MAPPING, export_for, foreign
from gpupass.app.export import export as export_host
from gpupass.cli.documents.profiles import Compared, Exported, ExportedFor, LeftOut
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import (
    DIFFERENT,
    connect_option,
    host_option,
    json_option,
    print_json,
    tell,
    tell_text,
)
from gpupass.errors import Usage
from gpupass.model.profile import Profile
from gpupass.profiles import write_profile
from gpupass.system import Reader, System


@click.command()
@json_option
@host_option
@connect_option
@click.option(
    "--as",
    "manager",
    type=click.Choice(FORMATS),
    help="Instead: what guests can have, for nova.conf, the KubeVirt CR or /etc/pve/mapping/pci.cfg.",
)
@click.option("--node", metavar="NAME", help="With --as pve-mapping: what Proxmox calls this host.")
def export(as_json: bool, host_dir: Path | None, connect: str, manager: str | None, node: str | None) -> None:
    """Print a profile of this host as it is; `gpupass export | gpupass plan -` has nothing to do."""
    if node is not None and manager != PVE_MAPPING:
        raise Usage(
            "cannot export: --node belongs to --as pve-mapping", "gpupass export --as pve-mapping --node NAME"
        )
    if manager is not None:
        _export_for(manager, reader_at(host_dir), connect, node, as_json)
        return
    profile, host = export_host(reader_at(host_dir), connect)
    text = write_profile(profile)
    if as_json:
        print_json(Exported(profile=text, foreign=foreign(host), unseen=host.unseen))
        return
    tell_text(text)
    for note in (*foreign(host), *(f"not seen: {unseen}" for unseen in host.unseen)):
        tell(f"# {note}", err=True)


def _export_for(manager: str, system: Reader, connect: str, node: str | None, as_json: bool) -> None:
    written, host = export_for(system, manager, connect, node)
    if as_json:
        left = tuple(LeftOut(what=one.what, why=one.why) for one in written.left)
        print_json(ExportedFor(format=manager, text=written.text, left_out=left, unseen=host.unseen))
        return
    tell_text(written.text)
    for unseen in host.unseen:
        tell(f"# not seen: {unseen}", err=True)


@click.command()
@click.argument("old")
@click.argument("new")
@json_option
def diff(old: str, new: str, as_json: bool) -> int:
    """What differs between two profiles, whatever the order of their rules. Exit status 3: something."""
    import difflib

    from gpupass.app.profile_file import load_file

    system = System()
    before, after = (_lines(load_file(system, name)) for name in (old, new))
    lines = list(difflib.unified_diff(before, after, old, new))
    if as_json:
        print_json(Compared(differ=bool(lines), diff="".join(lines)))
    else:
        tell_text("".join(lines))
    return DIFFERENT if lines else 0


def _lines(profile: Profile) -> list[str]:
    gpus = tuple(sorted(profile.gpus, key=lambda rule: rule.name))
    attachments = tuple(sorted(profile.attachments, key=lambda one: (one.device, one.domain)))
    return write_profile(replace(profile, gpus=gpus, attachments=attachments)).splitlines(keepends=True)
