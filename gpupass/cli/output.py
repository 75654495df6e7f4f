"""What every verb prints alike: JSON documents, errors with hints, and the options all share."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gpupass.cli.documents.document import Document
from gpupass.cli.printable import printable, printable_lines
from gpupass.errors import GpupassError
from gpupass.model.domain import QEMU
from gpupass.model.wire import to_json

DIFFERENT = 3  # exit status: differences were found
_NOT_ASCII = re.compile("[^\0-\x7f]+")
F = TypeVar("F", bound=Callable[..., Any])


def json_option(verb: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(verb)


def host_option(verb: F) -> F:
    """`--host DIR`: read a recorded host instead of this one."""
    return click.option(
        "--host",
        "host_dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read a host stored by `gpupass record` instead of this machine.",
    )(verb)


def connect_option(verb: F) -> F:
    return click.option(
        "--connect", default=QEMU, show_default=True, metavar="URI", help="libvirt to talk to."
    )(verb)


def stop_option(verb: F) -> F:
    """`--stop NAME`, several times."""
    return click.option(
        "--stop",
        multiple=True,
        metavar="NAME",
        help="Who holds the device for the host and may be stopped until it is back: dcgm, display-manager, "
        "console, …; others are named in /etc/gpupass/stoppable.",
    )(verb)


def tell(line: str = "", err: bool = False) -> None:
    """One line for people. Whatever is said, a name in it moves no cursor (printable)."""
    click.echo(printable(line), err=err)


def tell_text(text: str) -> None:
    """The text of a file as it would be written, its end of line included."""
    click.echo(printable_lines(text), nl=False)


def tell_drawn(drawing: str) -> None:
    """With colours; whoever has drawn it has made all names in it printable."""
    click.echo(drawing)


def print_json(document: Document) -> None:
    """In ASCII: no sign in a name can then do anything to a terminal."""
    text = to_json(document, 2).decode()
    click.echo(_NOT_ASCII.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    import json

    return json.dumps(found[0])[1:-1]


def show_finding(lead: str, message: str, remedy: str | None, err: bool = True) -> None:
    """ "warning: …" and, below the message, what one can type."""
    tell(f"{lead}{message}", err)
    if remedy:
        tell(f"{' ' * len(lead)}{remedy}", err)


def show_error(error: GpupassError) -> None:
    """One line "cannot …: why", the findings if there are several, and a hint to type."""
    tell(error.message, err=True)
    for message, remedy in error.reasons:
        show_finding("  - ", message, remedy)
    if error.hint:
        tell(f"hint: {error.hint}", err=True)
    sys.stderr.flush()
