"""What a shell completes of a verb, out of outlines.json: a whole verb would import all that it works with.

The file is made of the verbs themselves, by the test that holds it to them.
"""

import json
from pathlib import Path
from typing import Any

import click

OUTLINES = Path(__file__).with_name("outlines.json")
Outline = dict[str, Any]  # "params": [KIND, NAMES, HELP, ARITY, VALUE], …; of a group "commands": by name


def verb(name: str) -> click.Command:
    """As much of it as completion asks for."""
    outlines: dict[str, Outline] = json.loads(OUTLINES.read_text())
    return _command(name, outlines[name])


def _command(name: str, outline: Outline) -> click.Command:
    params = [_param(*param) for param in outline["params"]]
    if "commands" not in outline:
        return click.Command(name, params=params, help=outline["help"])
    below = {one: _command(one, its) for one, its in outline["commands"].items()}
    return click.Group(name, params=params, help=outline["help"], commands=below)


def _param(kind: str, names: list[str], told: str, arity: int, value: Any) -> click.Parameter:
    if kind == "argument":
        return click.Argument(names, type=_type(value), nargs=arity)
    if value == "flag":
        return click.Option(names, help=told, is_flag=True)
    return click.Option(names, help=told, type=_type(value), nargs=arity)


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return click.Choice(value)
    return {"file": click.Path(), "directory": click.Path(file_okay=False)}.get(value)


def outline(command: click.Command) -> Outline:
    """Of a verb as it is."""
    found: Outline = {
        "help": command.get_short_help_str(200),
        "params": [_told(param) for param in command.params],
    }
    if isinstance(command, click.Group):
        found["commands"] = {name: outline(one) for name, one in command.commands.items()}
    return found


def _told(param: click.Parameter) -> list[Any]:
    option = param if isinstance(param, click.Option) else None
    value: Any = "flag" if option is not None and option.is_flag else "text"
    if isinstance(param.type, click.Choice):
        value = list(param.type.choices)
    elif isinstance(param.type, click.Path):
        value = "file" if param.type.file_okay else "directory"
    names = param.opts if option is not None else [param.name]
    help = option.help if option is not None else ""
    return ["option" if option is not None else "argument", names, help or "", param.nargs, value]
