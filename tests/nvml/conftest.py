import pytest

from tests.nvml import host


@pytest.fixture(scope="session")
def running():
    with host.server() as server:
        yield server


@pytest.fixture
def machine(tmp_path, running):
    """`machine("A100-40", "H100-80 on")` → a host with these GPUs; each one in a directory of its own."""
    made = []

    def make(*gpus):
        made.append(host.make(tmp_path / str(len(made)), running, *gpus))
        return made[-1]

    return make
