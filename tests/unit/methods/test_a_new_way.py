"""What a new way to share a GPU costs: toy/lanes.py as a folder of methods/, and one entry in METHODS."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOY = Path(__file__).parent / "toy"
_LINES = 120


def test_a_folder_and_an_entry_are_all_that_it_takes(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "hosts", "lab", "plans*")
    for name in ("gpupass", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    methods = tmp_path / "gpupass" / "methods"
    (methods / "lanes").mkdir()
    shutil.copy(TOY / "lanes.py", methods / "lanes" / "__init__.py")
    app = tmp_path / "tests" / "unit" / "app"
    shutil.copy(TOY / "scenario.py", app / "test_lanes.py")
    shutil.copy(TOY / "kernel.py", app / "kernel.py")
    text = (methods / "__init__.py").read_text()
    entered = text.replace("(SRIOV, MIG,", "(LANES, SRIOV, MIG,").replace(
        "from gpupass.methods.mdev", "from gpupass.methods.lanes import LANES\nfrom gpupass.methods.mdev"
    )
    assert entered.count("LANES") == 2
    (methods / "__init__.py").write_text(entered)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/app/test_lanes.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_it_is_small():
    assert len((TOY / "lanes.py").read_text().splitlines()) < _LINES
