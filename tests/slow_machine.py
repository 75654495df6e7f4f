"""Eight GPUs whose drivers take their time: for what is done at once."""

import time
from pathlib import Path

from tests.host_tree import Function
from tests.simulated import FUNCTIONS, Machine

GPUS = tuple(f"0000:{bus:02x}:00.0" for bus in range(0x41, 0x49))
PROBE = 0.5  # seconds until a driver has bound, or let go


class SlowMachine(Machine):
    """Really waits in every write that a driver answers."""

    def _write(self, path: str, value: str, seconds: float) -> None:
        if path.endswith(("unbind", "drivers_probe")):
            time.sleep(PROBE)
        super()._write(path, value, seconds)


def make(state: Path) -> SlowMachine:
    cards = tuple(
        Function(
            address=gpu, ids="1234:1111", class_code=0x038000, driver="bochs-drm", group=number, reset="flr"
        )
        for number, gpu in enumerate(GPUS, 100)
    )
    return SlowMachine(state, (*FUNCTIONS, *cards))
