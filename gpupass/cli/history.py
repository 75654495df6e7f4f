"""`gpupass history`: who changed what, when, and how it ended."""

import click

from gpupass.app import history as past
from gpupass.cli.documents.changes import Entry, History, Part
from gpupass.cli.output import json_option, print_json, tell
from gpupass.system import System


@click.command()
@click.option("--all", "everything", is_flag=True, help="Not only the last twenty.")
@json_option
def history(everything: bool, as_json: bool) -> None:
    """List applies and single changes, the newest last."""
    entries = _entries(System())
    shown = entries if everything else entries[-20:]
    if as_json:
        print_json(History(history=tuple(shown)))
        return
    for entry in shown:
        tell(f"{entry.time}  {entry.user:<10} {entry.what}: {entry.result}")
        for part in entry.parts:
            tell(f"{'':<27}{part.what}: {part.result}")
    if not shown:
        tell("nothing has been changed yet")


def _entries(system: System) -> list[Entry]:
    applies, operations = past.history(system)
    single = [
        Entry(id=o.id, time=o.time, user=o.user, what=o.title, result=o.end or "open", parts=())
        for o in operations
        if not o.apply
    ]
    whole = [
        Entry(
            id=apply.id,
            time=apply.time,
            user=apply.user,
            what=f"apply {apply.source}" if not apply.takes_back else apply.source,
            result=apply.end.value,
            parts=tuple(
                Part(what=o.title, result=o.end or "open") for o in operations if o.apply == apply.id
            ),
        )
        for apply in applies
    ]
    return sorted([*single, *whole], key=lambda entry: (entry.time, entry.id))
