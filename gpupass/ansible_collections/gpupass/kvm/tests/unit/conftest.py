"""A module is run as Ansible runs it; only the command that it calls is a table of answers."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

FOUND = "/usr/local/bin/gpupass"


@pytest.fixture
def ran(monkeypatch, capsys):
    """`ran(module, options, *answers)` → the result, and (command, standard input) of each call.

    An answer is (status, output, error output); an output that is no text is printed as JSON.
    """

    def run(module, options, *answers, **how):
        left, calls, warned = list(answers), [], []

        def run_command(self, command, data=None, **settings):
            assert settings["environ_update"] == {"LC_ALL": "C.UTF-8"}
            calls.append((command, data))
            status, out, err = left.pop(0)
            return status, out if isinstance(out, str) else json.dumps(out), err

        def get_bin_path(self, name, required=False, opt_dirs=None):
            return how.get("found", FOUND)

        monkeypatch.setattr(AnsibleModule, "run_command", run_command)
        monkeypatch.setattr(AnsibleModule, "get_bin_path", get_bin_path)
        monkeypatch.setattr(AnsibleModule, "warn", lambda self, text: warned.append(text))
        special = {"_ansible_check_mode": how.get("check", False), "_ansible_diff": how.get("diff", False)}
        with patch_module_args({**options, **special}), pytest.raises(SystemExit):
            module.main()
        assert not left
        return {**json.loads(capsys.readouterr().out), "warned": warned}, calls

    return run


def envelope(**values):
    return {
        "schema": 2,
        "changed": False,
        "steps": [],
        "changes": [],
        "disrupts": [],
        "waits": [],
        "foreign": [],
        "refused": [],
        "warnings": [],
        "resets": [],
        "needs_allow_reset": [],
        "driver_changes": [],
        "seconds": 0.0,
        "matches": False,
        "diff": {"before": {}, "after": {}},
        "error": None,
        **values,
    }


def error(code, message, **values):
    empty = {"hint": None, "exit_code": 1, "retryable": False, "path": None, "file": None, "line": None}
    return {"code": code, "message": message, **empty, "column": None, "reasons": [], **values}


def step(number, words, status="done", hidden=False):
    return {
        "number": number,
        "change": "render: passthrough 0000:01:00.0",
        "step": "Bind",
        "target": "0000:01:00.0",
        "words": words,
        "why": "",
        "hidden": hidden,
        "status": status,
        "details": {},
    }
