"""profiles/*.yaml: each is valid, and for a recorded host."""

from pathlib import Path

import pytest

from gpupass.app.profile_file import load_file
from gpupass.system import System
from tests.profile_files import load

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_example(path: Path) -> None:
    profile = load_file(System(), str(path))
    assert profile.gpus
    assert (ROOT / "tests/hosts" / path.stem).is_dir()
    assert f"tests/hosts/{path.stem}" in path.read_text()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


def test_the_profile_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    profile = load(text, hostname="gpu-7", common="version: 1\n")
    assert [item.domain for item in profile.attachments] == ["vm3", "vm2"]


@pytest.mark.parametrize("number", [1, 2])
def test_the_readmes_other_profiles(number: int) -> None:
    """Pieces of profiles: MIG; vGPU and mediated devices."""
    block = (ROOT / "README.md").read_text().split("```yaml\n")[1 + number].partition("```")[0]
    profile = load("version: 1\n" + block)
    assert len(profile.gpus) == (2, 3)[number - 1]
    assert [item.domain for item in profile.attachments] == ([], ["vm1", "vm2"])[number - 1]
