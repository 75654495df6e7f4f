"""`gpupass schema`: what a verb prints with --json, as JSON Schema made from the documents' classes."""

import json
from difflib import get_close_matches
from typing import Any

import click
import msgspec

from gpupass.cli.documents import changes, devices, doctor, domains, lab, profiles, slots
from gpupass.cli.documents.document import Failed
from gpupass.errors import Usage

DOCUMENTS: dict[str, tuple[Any, ...]] = {
    "list": (devices.Listed,),
    "show": (devices.Shown,),
    "groups": (devices.Grouped,),
    "slots": (slots.Slotted,),
    "promises": (slots.Promised,),
    "record": (devices.Recorded,),
    "bind": (changes.Envelope,),
    "unbind": (changes.Envelope,),
    "attach": (changes.Envelope,),
    "detach": (changes.Envelope,),
    "move": (changes.Envelope,),
    "recover": (changes.Envelope,),
    "quarantine list": (changes.Quarantined,),
    "quarantine clear": (changes.Envelope,),
    "adopt": (changes.Envelope,),
    "plan": (changes.Envelope,),
    "apply": (changes.Envelope,),
    "check": (changes.Envelope,),
    "rollback": (changes.Envelope,),
    "export": (profiles.Exported, profiles.ExportedFor),
    "diff": (profiles.Compared,),
    "history": (changes.History,),
    "profile validate": (profiles.Validated,),
    "profile import-mig": (profiles.Imported,),
    "enable": (changes.Envelope,),
    "disable": (changes.Envelope,),
    "cdi": (changes.Envelope, profiles.Specified),
    "doctor": (doctor.Examined, changes.Envelope),
    "host early-bind": (changes.Envelope,),
    "domain check": (domains.CheckedDomain,),
    "domain prepare": (changes.Envelope,),
    "lab status": (lab.LabStatus,),
    "lab topologies": (lab.Topologies,),
}


@click.command()
@click.argument("verb", nargs=-1)
@click.option("--json", "as_json", is_flag=True, hidden=True, help="It is JSON anyway.")
def schema(verb: tuple[str, ...], as_json: bool) -> None:
    """Print the JSON Schema of what VERB prints with --json; without VERB: which verbs have one."""
    name = " ".join(verb)
    if name in DOCUMENTS:
        click.echo(json.dumps(schema_of(name), indent=2))
    elif name:
        raise Usage(f"cannot tell the schema of {name}: {_why_not(name)}", "gpupass schema")
    else:
        click.echo("\n".join(DOCUMENTS))


def schema_of(verb: str) -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of what one of DOCUMENTS prints, or prints instead when it fails."""
    kinds = DOCUMENTS[verb] if is_envelope(verb) else (*DOCUMENTS[verb], Failed)
    roots, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"gpupass {verb} --json",
        "anyOf": list(roots),
        "$defs": {name: _printed(one) for name, one in sorted(definitions.items())},
    }


def is_envelope(verb: str) -> bool:
    """It tells a failure in the envelope, too."""
    return changes.Envelope in DOCUMENTS.get(verb, ())


def _why_not(name: str) -> str:
    below = [verb for verb in DOCUMENTS if verb.startswith(f"{name} ")]
    near = get_close_matches(name, DOCUMENTS, 1)
    if below:
        return f"did you mean {' or '.join(map(repr, below))}?"
    return "no such verb prints JSON" + (f", did you mean {near[0]!r}?" if near else "")


def _printed(definition: dict[str, Any]) -> dict[str, Any]:
    """A document is printed whole: what has a default in the model is there, too."""
    properties = definition.get("properties")
    if properties is None:
        return definition
    always = [name for name, one in properties.items() if "default" in one]
    required = [name for name in properties if name in always or name in definition.get("required", ())]
    plain = {name: _without(_without(one, "default"), "discriminator") for name, one in properties.items()}
    return definition | {"properties": plain, "required": required}


def _without(schema: Any, word: str) -> Any:
    """At any depth: `discriminator` is OpenAPI's, and strict validators know it not."""
    if isinstance(schema, dict):
        return {key: _without(value, word) for key, value in schema.items() if key != word}
    return [_without(one, word) for one in schema] if isinstance(schema, list) else schema
