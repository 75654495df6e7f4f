"""The collection as a whole: its own unit tests, where the wheel has it, and what the documentation promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gpupass import __version__

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "gpupass/ansible_collections/gpupass/kvm"


def test_its_own_unit_tests(tmp_path):
    """As `ansible-test units` runs them, in this Python."""
    (tmp_path / "ansible_collections").symlink_to(HERE.parents[1])
    quiet = ("-q", "-c", os.devnull, "-p", "no:cacheprovider", "--import-mode=importlib")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, "--rootdir", HERE, HERE / "tests/unit"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_versions_agree():
    assert yaml.safe_load((HERE / "galaxy.yml").read_text())["version"] == __version__


def test_every_module_is_in_the_action_group():
    named = yaml.safe_load((HERE / "meta/runtime.yml").read_text())["action_groups"]["gpupass"]
    assert named == sorted(path.stem for path in (HERE / "plugins/modules").glob("*.py"))


NAMES = {
    "module": {"gpupass_attachment", "gpupass_doctor", "gpupass_info", "gpupass_profile"},
    "inventory": {"gpupass"},
    "role": {"gpupass_host"},
}


def found(controller, kind, **environment):
    listed = controller.run("ansible-doc", "--list", "--json", "--type", kind, "gpupass.kvm", **environment)
    assert listed.returncode == 0, listed.stdout
    return {name.removeprefix("gpupass.kvm.") for name in json.loads(listed.stdout)}


@pytest.mark.parametrize("kind", NAMES)
def test_ansible_finds_all_of_it(kind, controller):
    assert found(controller, kind) == NAMES[kind]


def test_the_wheel_has_it_where_ansible_looks(controller):
    """Beside ansible-core; no path is set."""
    nowhere = str(controller.directory)
    assert found(controller, "module", ANSIBLE_COLLECTIONS_PATH=nowhere) == NAMES["module"]


def test_built_and_installed_from_the_tarball(controller):
    built = controller.directory / "built"
    subprocess.run([ROOT / "scripts/build-collection", built], check=True, stdout=subprocess.PIPE)
    (tarball,) = built.iterdir()
    assert tarball.name == f"gpupass-kvm-{__version__}.tar.gz"
    installed = controller.directory / "installed"
    galaxy = ("ansible-galaxy", "collection")
    done = controller.run(
        *galaxy, "install", "--offline", "--force", "--collections-path", installed, tarball
    )
    assert done.returncode == 0, done.stdout
    here = installed / "ansible_collections/gpupass/kvm"
    names = {path.name for path in here.iterdir()}
    assert names == {"FILES.json", "MANIFEST.json", "README.md", "changelogs", "meta", "plugins", "roles"}
    assert found(controller, "role", ANSIBLE_COLLECTIONS_PATH=str(installed)) == NAMES["role"]
