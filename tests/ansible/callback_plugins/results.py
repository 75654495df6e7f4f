"""Every result of a play as a line of JSON in the file $RESULTS, beside what is printed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: results as JSON
description: One line for each result.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"

    def _tell(self, result, **how):
        told = {**result._result, **how}
        line = {"host": result._host.get_name(), "task": result._task.get_name(), "result": told}
        with Path(os.environ["RESULTS"]).open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result):
        self._tell(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._tell(result, failed=True)

    def v2_runner_on_unreachable(self, result):
        self._tell(result, failed=True)
