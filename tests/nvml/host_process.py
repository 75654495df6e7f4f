"""The real gpupass, in a process of its own, on a machine whose GPUs are the double's: `python host_process.py STATE ARGS…`

Its journal, records and locks lie on the disk in STATE; sysfs is simulated, NVML and nvidia-smi are the double's.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import gpupass.system  # noqa: E402
from tests.host_tree import Function  # noqa: E402
from tests.simulated import DISK, FUNCTIONS, NVIDIA, Machine  # noqa: E402

RealSystem = gpupass.system.System


def functions(gpus: list[list[str]]) -> tuple[Function, ...]:
    """The disk, and the GPUs of the double's state, each below a port of its own."""
    (card,) = (one for one in FUNCTIONS if one.address == NVIDIA)
    kept = [one for one in FUNCTIONS if one.address in (DISK, "0000:00:04.0")]
    cards = (
        replace(card, address=address, parent=None, group=100 + int(number))
        for _, number, _, address, *_ in gpus
    )
    return (*kept, *cards)


class HostProcess(Machine):
    """What `System()` is in this process."""

    def __new__(cls, root: str = "", state: Path | None = None):
        return RealSystem(root, state) if root else object.__new__(cls)

    def __init__(self) -> None:
        lines = [line.split() for line in Path(os.environ["FAKE_NVML_STATE"]).read_text().splitlines()]
        gpus = [words for words in lines if words[0] == "gpu"]
        super().__init__(Path(os.environ["HOST_STATE"]), functions(gpus))
        self.files.remove(f"/proc/driver/nvidia/gpus/{NVIDIA}")
        for _, number, _, address, *_ in gpus:
            text = f"GPU UUID: \t GPU-unknown\nDevice Minor: \t {number}\n"
            self.put(f"/proc/driver/nvidia/gpus/{address}/information", text)
        self.put("/dev/nvidiactl", "")
        self.put("/proc/sys/kernel/random/boot_id", os.environ.get("HOST_BOOT", "boot-1") + "\n")
        for words in lines:
            if words[0] == "process":
                self.process("python", f"/dev/nvidia{words[1]}", int(words[4]))
        for one in filter(None, os.environ.get("HOST_HOLDERS", "").split(",")):
            name, number = one.split(":")
            self.process(name, f"/dev/nvidia{number}")

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        if argv[0] == "nvidia-smi":
            return RealSystem.run(self, *argv, timeout=timeout)
        return super().run(*argv, timeout=timeout)


def main() -> None:
    os.environ["HOST_STATE"] = sys.argv[1]
    sys.argv[1:] = sys.argv[2:]
    os.environ["PATH"] = f"{Path(__file__).parent / 'bin'}:{os.environ['PATH']}"
    os.geteuid = lambda: 0
    gpupass.system.System = HostProcess
    from gpupass.cli.main import main
    from gpupass.system import names

    names.pci_names = lambda ids: {}

    main()


if __name__ == "__main__":
    main()
