"""`gpupass profile`: the format of profiles, and whether a file is one."""

import json

import click

from gpupass.cli.output import json_option, print_json, show_error
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
            documents.append({"file": file, "valid": False, "errors": _errors(error)})
            if not as_json:
                show_error(error, as_json=False)
            continue
        rules, attachments = len(loaded.gpus), len(loaded.attachments)
        documents.append(
            {"file": file, "valid": True, "rules": rules, "attachments": attachments, "errors": []}
        )
        if not as_json:
            click.echo(f"{file}: valid, {_count(rules, 'rule')}, {_count(attachments, 'attachment')}")
    if as_json:
        print_json(files=documents)
    return status


def _errors(error: Usage) -> list[dict[str, str]]:
    from gpupass.profiles import ProfileInvalid

    alone = ((error.message, error.hint or ""),)
    reasons = error.findings if isinstance(error, ProfileInvalid) else alone
    return [{"message": message, "remedy": remedy} for message, remedy in reasons]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
