"""`gpupass export` and `gpupass diff`: profiles out of a host, and beside each other."""

import difflib
from pathlib import Path

import click
from msgspec.structs import replace

from gpupass.app.export import export as export_host
from gpupass.app.export import foreign
from gpupass.app.profile_file import load_file
from gpupass.cli.documents.profiles import Compared, Exported
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json, tell, tell_text
from gpupass.cli.plan import DIFFERENT
from gpupass.model.profile import Profile
from gpupass.profiles import write_profile
from gpupass.system import System


@click.command()
@json_option
@host_option
@connect_option
def export(as_json: bool, host_dir: Path | None, connect: str) -> None:
    """Print a profile of this host as it is; `gpupass export | gpupass plan -` has nothing to do."""
    profile, host = export_host(reader_at(host_dir), connect)
    text = write_profile(profile)
    if as_json:
        print_json(Exported(profile=text, foreign=foreign(host), unseen=host.unseen))
        return
    tell_text(text)
    for note in (*foreign(host), *(f"not seen: {unseen}" for unseen in host.unseen)):
        tell(f"# {note}", err=True)


@click.command()
@click.argument("old")
@click.argument("new")
@json_option
def diff(old: str, new: str, as_json: bool) -> int:
    """What differs between two profiles, whatever the order of their rules. Exit status 3: something."""
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
