"""What the reading verbs refuse, with the exit status of the contract."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = Path(__file__).parents[2] / "hosts"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpupass", *arguments], capture_output=True, text=True, check=False
    )


def test_unknown_device() -> None:
    done = _run("show", "09:00.0", "--host", str(HOSTS / "desktop"))
    assert done.returncode == 2
    assert done.stderr.startswith("cannot find a device 09:00.0")
    assert "hint: gpupass list --all" in done.stderr


def test_ambiguous_device_as_json() -> None:
    done = _run("show", "b4-96-91-ff-ff-aa-bb-cc", "--json", "--host", str(HOSTS / "server-sriov"))
    assert done.returncode == 2
    error = json.loads(done.stdout)
    assert error["schema"] == 2
    assert "0000:41:00.0" in error["error"]["message"] and "0000:41:00.1" in error["error"]["message"]


def test_no_record(tmp_path: Path) -> None:
    done = _run("list", "--host", str(tmp_path))
    assert (done.returncode, "it is no record" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"holders": [{"pid": 1, "evil": 2}], "unseen": []}', '{"holders": 3}']
)
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    shutil.copytree(HOSTS / "no-iommu", tmp_path / "host", symlinks=True)
    (tmp_path / "host/gpupass/holders.json").write_text(text)
    done = _run("list", "--host", str(tmp_path / "host"))
    assert done.returncode == 1
    assert done.stderr.startswith("cannot read the recorded host")


def test_a_domain_cannot_name_files_outside_the_record(tmp_path: Path) -> None:
    shutil.copytree(HOSTS / "server-sriov", tmp_path / "host", symlinks=True)
    (tmp_path / "evil.live.xml").write_text("<domain/>")
    index = tmp_path / "host/gpupass/domains.json"
    data = json.loads(index.read_text())
    data["domains"][0]["uuid"] = "../../../evil"
    index.write_text(json.dumps(data))
    assert _run("list", "--host", str(tmp_path / "host")).returncode == 0
