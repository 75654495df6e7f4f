"""Runs inside the lab: what gpupass remembers, a line each: "claim 0000:01:00.0", "open move 0000:01:00.0 to vm1".

`remembered.py elsewhen` makes the open operations another boot's.
"""

import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, "/opt/gpupass-copy")

from gpupass.model.wire import from_json, to_json
from gpupass.store import Store, operations
from gpupass.store.marks import read_marks

with closing(Store(Path("/var/lib/gpupass"))) as store:
    if sys.argv[1:] == ["elsewhen"]:
        with store.writing() as commit:
            for name, _, body in commit.rows("events", "WHERE number = 0"):
                commit.put(
                    "events", name, 0, to_json({**from_json(body, dict), "boot_id": "another"}).decode()
                )
    for mark in read_marks(store):
        tag, carrier, _ = mark.key
        print(tag, carrier)
    for _, events in operations.open_ones(store):
        print("open", events[0]["begin"])
