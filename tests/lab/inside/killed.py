"""Runs inside the lab: gpupass that dies by SIGKILL at a commit. Usage: killed.py POINT VERB ARGS…"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from gpupass.cli.main import main
from tests import killed

os.environ["GPUPASS_CRASH"] = sys.argv[1]
sys.argv[:] = ["gpupass", *sys.argv[2:]]
killed.install()
main()
