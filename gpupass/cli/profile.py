"""`gpupass profile`: the format of profiles, and whether a file is one."""

import json
from pathlib import Path

import click

from gpupass.cli.documents.profiles import Error, FileDocument, Imported, Validated
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import host_option, json_option, print_json, show_error, tell, tell_text
from gpupass.errors import Usage
from gpupass.system import System


@click.group()
def profile() -> None:
    """The YAML files that say how the GPUs of a host are used."""


@profile.command()
@click.option("--json", "as_json", is_flag=True, hidden=True, help="It is JSON anyway.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of a profile, for editors and checkers."""
    from gpupass.profiles import profile_schema

    click.echo(json.dumps(profile_schema(), indent=2))


@profile.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--hostname", metavar="NAME", help="Check what the files mean for this host instead.")
@json_option
def validate(files: tuple[str, ...], hostname: str | None, as_json: bool) -> int:
    """Say of each FILE (-: standard input) whether it is a valid profile, and all that is wrong with it."""
    from gpupass.app.profile_file import load_file

    status, documents = 0, []
    for file in files:
        try:
            loaded = load_file(System(), file, hostname)
        except Usage as error:
            status = error.exit_code
            documents.append(FileDocument(file=file, valid=False, errors=_errors(error)))
            if not as_json:
                show_error(error)
            continue
        rules, attachments = len(loaded.gpus), len(loaded.attachments)
        documents.append(FileDocument(file=file, valid=True, rules=rules, attachments=attachments, errors=()))
        if not as_json:
            tell(f"{file}: valid, {_count(rules, 'rule')}, {_count(attachments, 'attachment')}")
    if as_json:
        print_json(Validated(files=tuple(documents)))
    return status


@profile.command("import-mig")
@click.argument("file")
@click.option("--config", metavar="NAME", help="Which of the file's mig-configs; needless when it has one.")
@json_option
@host_option
def import_mig(file: str, config: str | None, as_json: bool, host_dir: Path | None) -> None:
    """Print the profile that says for this host what mig-parted's FILE (-: standard input) says."""
    from gpupass.app.export import import_mig
    from gpupass.app.profile_file import read_file, secrets_kept
    from gpupass.profiles import write_profile

    with secrets_kept(file):
        made = import_mig(reader_at(host_dir), file, read_file(file), config)
    text = write_profile(made)
    if as_json:
        print_json(Imported(profile=text))
    else:
        tell_text(text)


def _errors(error: Usage) -> tuple[Error, ...]:
    from gpupass.cli.documents.document import where
    from gpupass.profiles import ProfileInvalid

    alone = ((error.message, error.hint or ""),)
    reasons = error.findings if isinstance(error, ProfileInvalid) else alone
    spots = error.spots or (None,) * len(reasons)
    return tuple(
        Error(message=message, remedy=remedy, **where(spot))
        for (message, remedy), spot in zip(reasons, spots, strict=True)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
