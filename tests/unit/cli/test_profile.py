"""gpupass profile: what is printed, and the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

GOOD = "version: 1\ngpus: [{name: a, select: {slot: 3}, use: passthrough}]\nattachments: [{domain: vm, device: a}]\n"
BAD = "version: 1\ngpus: [{name: a, select: {slt: 3}, use: pasthrough}]\n"


def _run(*arguments: str, given: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); from gpupass.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", code, "profile", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, input=given, cwd=cwd)


def test_validate(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = _run("validate", "good.yaml", "-", given=GOOD, cwd=tmp_path)
    valid = "valid, 1 rule, 1 attachment"
    assert (done.returncode, done.stdout) == (0, f"good.yaml: {valid}\n-: {valid}\n")


def test_every_file_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "good.yaml").write_text("version: 1\n")
    done = _run("validate", "bad.yaml", "none.yaml", "good.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == "good.yaml: valid, 0 rules, 0 attachments\n"
    assert done.stderr == (
        "cannot use bad.yaml: 2 errors\n"
        "  - bad.yaml:2:27: unknown key 'slt', did you mean 'slot'?\n"
        "  - bad.yaml:2:41: unknown use 'pasthrough', did you mean 'passthrough'?\n"
        "cannot read none.yaml: No such file or directory\n"
    )


def test_json(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nzebra: 1\n")
    done = _run("validate", "--json", "bad.yaml", "-", given=GOOD, cwd=tmp_path)
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["schema"] == 2
    bad, good = document["files"]
    assert bad == {
        "file": "bad.yaml",
        "valid": False,
        "errors": [
            {
                "message": "bad.yaml:2:1: unknown key 'zebra'",
                "remedy": "known here: version, include, gpus, attachments, containers, hosts",
                "path": "zebra",
                "file": "bad.yaml",
                "line": 2,
                "column": 1,
            }
        ],
    }
    assert good == {"file": "-", "valid": True, "rules": 1, "attachments": 1, "errors": []}


def test_hostname() -> None:
    text = "version: 1\nhosts: {gpu1: {gpus: [{name: a, select: {slot: 3}, use: host}]}}\n"
    assert (
        _run("validate", "--hostname", "gpu1", "-", given=text).stdout == "-: valid, 1 rule, 0 attachments\n"
    )
    assert (
        _run("validate", "--hostname", "gpu2", "-", given=text).stdout == "-: valid, 0 rules, 0 attachments\n"
    )


def test_what_is_too_large_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("#" * (2 << 20))
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff")
    done = _run("validate", "large", "binary", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "cannot read large: it is larger than 1 MiB\n"
        "cannot read binary: byte 5 is no UTF-8 text\n"
        "cannot read .: Is a directory\n"
    )


def test_schema() -> None:
    done = _run("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "gpupass profile"


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.yaml")
    (tmp_path / name).write_text("version: 1\n")
    done = _run("validate", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "\\udcff.yaml: valid, 0 rules, 0 attachments\n")
