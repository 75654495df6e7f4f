"""Eight GPUs whose drivers take their time: for timing what is done at once."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.host_tree import Function
from tests.simulated import FUNCTIONS, Machine

GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x41, 0x49))
_PROBE = 0.5  # a driver binds or lets go


class SlowMachine(Machine):
    """Really waits in every write that a driver answers."""

    def write(self, path: str, value: str, deadline: float = 10.0) -> None:
        if path.endswith(("unbind", "drivers_probe")):
            time.sleep(_PROBE)
        super().write(path, value, deadline)


@contextmanager
def slow_machine(state: Path) -> Iterator[SlowMachine]:
    cards = tuple(
        Function(
            address=gpu, ids="1234:1111", class_code=0x038000, driver="bochs-drm", group=number, reset="flr"
        )
        for number, gpu in enumerate(GPUS, 100)
    )
    with (
        patch.object(os, "geteuid", lambda: 0),
        patch("gpupass.system.names.pci_names", lambda ids: {}),
    ):
        yield SlowMachine(state, (*FUNCTIONS, *cards))
