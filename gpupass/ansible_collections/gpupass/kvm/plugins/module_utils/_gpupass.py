# SPDX-License-Identifier: Apache-2.0 OR GPL-3.0-or-later
# GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt), or the Apache License 2.0

"""`gpupass … --json` as a program: how it is called, and what it says as the result of a task."""

from __future__ import annotations

import json

SCHEMA = 2  # of every document; another number means that one of the two is too old
UPDATE = "Update gpupass or the collection."
BESIDE_PATH = ["/opt/gpupass/bin", "/usr/local/bin", "/usr/sbin"]  # where the role puts it; sudo's PATH is short

COMMON = {
    "executable": {"type": "str", "default": "gpupass"},
    "connect": {"type": "str", "default": "qemu:///system", "aliases": ["uri"]},
}
TIMEOUT = {"timeout": {"type": "float"}}  # not given: gpupass's own
# the CLI's options, as its hints name them, are options of the modules
SPOKEN = (
    ("--allow-disruption", "allow_disruption: true"),
    ("--allow-reset", "allow_reset: true"),
    ("--adopt", "adopt: true"),
    ("--with-functions", "with_functions: true"),
    ("--at-start", "at_start: true"),
    ("--even-of ", "even_of: "),
)
TOLD = (  # of an envelope; `warnings` are Ansible's own, and `diff` has a form of its own
    "steps",
    "changes",
    "disrupts",
    "waits",
    "foreign",
    "refused",
    "resets",
    "needs_allow_reset",
    "driver_changes",
    "seconds",
    "matches",
    "error",
)
WORDS_OF_STEPS = 8
MORE_FOLLOWS = "more follows, which only a look at what these make can plan"


def ask(module, *arguments, positional=(), data=None, changes=False):
    """The document that gpupass answers; `positional` come last, `data` is its standard input.

    Whatever is no answer of a gpupass that this collection understands ends the task. A document with an error is
    an answer. `changes`: a gpupass that is killed may have changed something.
    """
    command = [_executable(module), *arguments, "--json"]
    if positional:
        command += ["--", *positional]
    rc, out, err = module.run_command(
        command, data=data, environ_update={"LC_ALL": "C.UTF-8"}, errors="surrogate_or_replace"
    )
    spoken = {"cmd": command, "rc": rc, "stdout": out, "stderr": err}
    try:
        document = json.loads(out)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        module.fail_json(msg=_no_answer(command, rc, out, err), changed=changes and rc < 0, **spoken)
    if document.get("schema") != SCHEMA:
        said = document.get("schema")
        module.fail_json(
            msg=f"cannot read the answer of {command[0]}: it is of schema {said}, and this collection reads "
            f"schema {SCHEMA}. {UPDATE}",
            **spoken,
        )
    return document, {"cmd": command}


def read(module, *arguments):
    """A document without an error."""
    document, called = ask(module, *arguments)
    if document.get("error"):
        module.fail_json(msg=sentence(document["error"]), error=document["error"], **called)
    return document


def change(module, *arguments, positional, data=None, only_checks=False):
    """End the task as the envelope says; `only_checks`: nothing is to be changed, and a difference is a failure."""
    looks = module.check_mode or only_checks
    document, result = changed(module, *arguments, positional=positional, data=data, looks=looks)
    result["changed"] = document["changed"] and not only_checks
    if only_checks and not document["matches"]:
        result["error"] = differs = _differs(document)
        module.fail_json(msg=sentence(differs), **result)
    module.exit_json(msg=deeds(document, looks), **result)


def changed(module, *arguments, looks, positional=(), data=None):
    """The envelope, and that as the result of a task; the task ends where it tells of an error."""
    document, called = ask(module, *arguments, positional=positional, data=data, changes=not looks)
    result = {key: document[key] for key in TOLD if key in document}
    result.update(called, changed=document["changed"])
    for warning in document["warnings"]:
        module.warn(_finding(warning))
    for wait in document["waits"]:
        module.warn(f"waits: {wait}")
    if module._diff:
        result["diff"] = _diff(document["diff"])
    error = document["error"]
    if error and _only_waits(document):
        result["error"] = error = None
    if error:
        module.fail_json(msg=_with_what_stands(sentence(error), document), **result)
    return document, result


def patience(module):
    """For a guest to let go."""
    seconds = module.params["timeout"]
    return [] if seconds is None else ["--timeout", f"{seconds:g}"]


def text_of(profile):
    """JSON is YAML."""
    return profile if isinstance(profile, str) else json.dumps(profile, indent=1)


def version(module):
    """What gpupass calls itself: the only answer that is no document."""
    rc, out, err = module.run_command([_executable(module), "--version"], environ_update={"LC_ALL": "C.UTF-8"})
    if rc != 0:
        module.fail_json(msg=f"cannot use {module.params['executable']}: {(err or out).strip()}", rc=rc)
    return out.split()[-1] if out.split() else ""


def sentence(error):
    """What failed, why, and what to do: all that an operator reads."""
    path, message, hint = error.get("path"), error["message"], error.get("hint")
    where = f" (at {path})" if path and path not in message else ""
    reasons = "".join(f"; {_finding(reason)}" for reason in error.get("reasons") or ())
    if error["code"] == "not-root":
        hint = "become: true"
    if error["code"] == "usage" and message.startswith("No such "):  # option or command
        return f"{message} {UPDATE}"
    then = f" What to do: {hint.rstrip('.')}." if hint else ""
    return _spoken(f"{(message + where + reasons).rstrip('.')}.{then}")


def _executable(module):
    name = module.params["executable"]
    found = module.get_bin_path(name, opt_dirs=BESIDE_PATH)
    if found is None:
        module.fail_json(
            msg=f"cannot find the command {name} on this host. Install gpupass there, for example with the role "
            "gpupass.kvm.gpupass_host, or say where it is (executable)."
        )
    return found


def _no_answer(command, rc, out, err):
    """A gpupass that does not know an option says so on its standard error, and nothing else."""
    if rc < 0:
        return (
            f"cannot tell what has been done: {command[0]} was killed by signal {-rc}. What to do: run the task again."
        )
    lines = [line.strip() for line in (err or out).splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("Error:")), lines[-1] if lines else "it says nothing")
    if said.startswith("Error: No such"):
        return f"cannot use {command[0]}: {said[len('Error: ') :]} {UPDATE}"
    return (
        f"cannot use {command[0]}: it ended with status {rc} and no JSON document: {said.rstrip('.')}. "
        f"What to do: run it by hand: {' '.join(command)}."
    )


def _finding(finding):
    if isinstance(finding, str):
        return finding
    remedy = finding.get("remedy") or finding.get("hint")
    return _spoken(f"{finding['message']} ({remedy})" if remedy else finding["message"])


def _spoken(text):
    for typed, option in SPOKEN:
        text = text.replace(typed, option)
    return text


def _only_waits(document):
    """Nothing is under way: the rest is done when a domain starts, which fails no play over a fleet."""
    pending = document["error"]["code"] == "pending" and document["waits"]
    return pending and not any(one["error"] for one in document["changes"])


def _with_what_stands(said, document):
    """A change that failed and could not be taken back wholly has changed something."""
    done = [step for step in document["steps"] if step["status"] == "done"]
    if not document["changed"]:
        return said
    return f"{said} Done and not taken back: {len(done)} of {len(document['steps'])} steps (see steps)."


def deeds(document, only_planned):
    words = _words(document)
    if not document["changed"]:
        return "nothing to do"
    more = len(words) - WORDS_OF_STEPS
    told = "; ".join(words[:WORDS_OF_STEPS]) + (f"; and {more} more" if more > 0 else "")
    if only_planned and any(one["continues"] for one in document["changes"]):
        told += f"; {MORE_FOLLOWS}"
    return f"{'would change' if only_planned else 'changed'}: {told or 'what gpupass remembers'}"


def _differs(document):
    """`check` has found a difference: to gpupass that is an answer, to a task that asked for none an error."""
    because = [*_words(document), *map(_finding, document["refused"]), *document["waits"]]
    shown = "; ".join(because[:WORDS_OF_STEPS]) or "see changes"
    return {
        "code": "differs",
        "message": f"this host is not as the profile says: {shown}",
        "hint": "run the task with state: present",
        "exit_code": 3,
        "retryable": False,
        "path": None,
        "reasons": [],
    }


def _words(document):
    return [step["words"] for step in document["steps"] if not step["hidden"]]


def _diff(diff):
    texts = {side: json.dumps(diff[side], indent=2, sort_keys=True) + "\n" for side in ("before", "after")}
    return dict(texts, before_header="GPUs of this host", after_header="GPUs of this host")
