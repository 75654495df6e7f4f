"""Who runs when: lab and GPU tests only where asked for, and then a skip is a failure."""

import os

import pytest

from gpupass.errors import Unforeseen
from gpupass.model.wire import from_json, to_json

_GATES = {"lab": "GPUPASS_LAB", "gpu": "GPUPASS_GPU"}


def pytest_addoption(parser):
    parser.addoption("--regenerate", action="store_true", help="write golden files anew instead of comparing")


@pytest.fixture
def regenerate(request):
    return request.config.getoption("--regenerate")


@pytest.fixture(autouse=True)
def documents(monkeypatch):
    """Whatever a test has printed with --json is what the class of the document says."""

    def checked(document, indent):
        text = to_json(document, indent)
        from_json(text, type(document))
        return text

    monkeypatch.setattr("gpupass.cli.output.to_json", checked)


@pytest.fixture
def faults():
    """Faults of gpupass itself that a test has it make: elsewhere each of them is a failure."""
    return []


@pytest.fixture(autouse=True)
def no_faults(request, monkeypatch):
    """gpupass tells its own faults in one line: no test may take them for a foreseen failure."""
    made = request.getfixturevalue("faults") if "faults" in request.fixturenames else []
    tell = Unforeseen.__init__

    def noted(self, bug):
        made.append(bug)
        tell(self, bug)

    monkeypatch.setattr(Unforeseen, "__init__", noted)
    yield
    assert "faults" in request.fixturenames or not made, made


def pytest_collection_modifyitems(items):
    for item in items:
        for marker, variable in _GATES.items():
            if item.get_closest_marker(marker) is not None and os.environ.get(variable) != "1":
                item.add_marker(pytest.mark.skip(reason=f"set {variable}=1 to run it"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where the lab (or GPU) was promised, a test that skips itself has failed."""
    report = (yield).get_result()
    promised = any(
        item.get_closest_marker(marker) is not None and os.environ.get(variable) == "1"
        for marker, variable in _GATES.items()
    )
    if report.skipped and promised and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although promised: {report.longrepr}"
