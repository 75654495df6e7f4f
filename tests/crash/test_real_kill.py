"""A kill really is one: a process of its own dies at the commit, another one recovers."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gpupass import app
from gpupass.store import Store
from tests.simulated import LONE, Machine

ROOT = Path(__file__).parent.parent.parent
DIE = """
import os, sys
from pathlib import Path
os.geteuid = lambda: 0
from gpupass import app
from tests import killed
from tests.simulated import LONE, Machine
killed.install()
app.bind(Machine(Path(sys.argv[1])), LONE)
"""


@pytest.mark.parametrize(("point", "open_ones", "events"), [("2-", 0, 0), ("2", 1, 1), ("5-", 1, 3)])
def test_killed(point, open_ones, events, hidden, new_state):
    state = new_state()
    environment = {**os.environ, "GPUPASS_CRASH": point, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DIE, str(state)], env=environment, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(Store(state)) as store, store.reading() as rows:
        operations = rows.rows("operations", "WHERE ended IS NULL")
        assert len(operations) == open_ones and len(rows.rows("events")) == events
    machine = Machine(state)
    assert [report.ending for report in app.recover(machine)] == ["rolled back"] * open_ones
    assert machine.driver(LONE) == "bochs-drm" and machine.records() == {}
