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
from gpupass.system import process  # noqa: E402
from tests import killed  # noqa: E402
from tests.host_tree import Function  # noqa: E402
from tests.simulated import DISK, FUNCTIONS, NVIDIA, Machine, _tree  # noqa: E402

RealSystem = gpupass.system.System


def lines_of(state: Path, kind: str) -> list[list[str]]:
    return [line.split() for line in state.read_text().splitlines() if line.startswith(f"{kind} ")]


def gpus_of(state: Path) -> list[list[str]]:
    return lines_of(state, "gpu")


def functions(state: Path) -> tuple[Function, ...]:
    """The disk, and the GPUs of the double's state, each below a port of its own; a VF where a guest runs, or HOST_VFS says so."""
    (card,) = (one for one in FUNCTIONS if one.address == NVIDIA)
    kept = [one for one in FUNCTIONS if one.address in (DISK, "0000:00:04.0")]
    shared = {words[1] for words in lines_of(state, "guest")} | set(os.environ.get("HOST_VFS", "").split(","))
    cards = [
        replace(
            card,
            address=address,
            parent=None,
            group=100 + int(number),
            sriov=(16, 1) if number in shared else None,
            vf_layout=(4, 1, "2330") if number in shared else None,
        )
        for _, number, _, address, *_ in gpus_of(state)
    ]
    vfs = (
        replace(
            one,
            address=one.address.replace("00.0", "00.4"),
            group=200 + one.group,
            physfn=one.address,
            sriov=None,
            vf_layout=None,
        )
        for one in cards
        if one.sriov is not None
    )
    return (*kept, *cards, *vfs)


class HostProcess(Machine):
    """What `System()` is in this process."""

    def __init__(self) -> None:
        state = Path(os.environ["FAKE_NVML_STATE"])
        gpus = gpus_of(state)
        super().__init__(Path(os.environ["HOST_STATE"]), functions(state))
        self.files.remove(f"/proc/driver/nvidia/gpus/{NVIDIA}")
        for _, number, _, address, *_ in gpus:
            text = f"GPU UUID: \t GPU-unknown\nDevice Minor: \t {number}\n"
            self.put(f"/proc/driver/nvidia/gpus/{address}/information", text)
        self.put("/dev/nvidiactl", "")
        self.put("/proc/sys/kernel/random/boot_id", os.environ.get("HOST_BOOT", "boot-1") + "\n")
        if "HOST_NODES" in os.environ:
            self._device_files(len(gpus))
        for words in lines_of(state, "process"):
            self.process("python", f"/dev/nvidia{words[1]}", int(words[4]))
        for one in filter(None, os.environ.get("HOST_HOLDERS", "").split(",")):
            name, number = one.split(":")
            self.process(name, f"/dev/nvidia{number}")

    def _device_files(self, gpus: int) -> None:
        """The nodes of the GPUs and of every instance they could have, under the driver's fixed numbers."""
        minors = ["config 1", "monitor 2"]
        for gpu in range(gpus):
            self.put(f"/dev/nvidia{gpu}", "")
            for gi in range(15):
                first = 3 + (gpu * 15 + gi) * 9
                minors.append(f"gpu{gpu}/gi{gi}/access {first}")
                minors += [f"gpu{gpu}/gi{gi}/ci{ci}/access {first + 1 + ci}" for ci in range(8)]
        self.put("/proc/driver/nvidia-caps/mig-minors", "".join(f"{line}\n" for line in minors))
        for line in minors:
            self.put(f"/dev/nvidia-caps/nvidia-cap{line.split()[1]}", "")

    def _write(self, path: str, value: str, seconds: float = 10.0) -> None:
        _trace(f"write {path.rpartition('/')[2]}")
        super()._write(path, value, seconds)

    def _run(self, argv: tuple[str, ...], seconds: float = 60.0) -> str:
        _trace(f"run {' '.join(argv)}")
        if argv[0] == "nvidia-smi":
            process.ENVIRONMENT = {
                **os.environ,
                "PATH": f"{Path(__file__).parent / 'bin'}:{os.environ['PATH']}",
            }
            return RealSystem._run(self, argv, seconds)
        return super()._run(argv, seconds)


def _trace(line: str) -> None:
    """Among the calls of NVML, where those are traced."""
    if "FAKE_NVML_TRACE" in os.environ:
        with Path(os.environ["FAKE_NVML_TRACE"]).open("a") as trace:
            trace.write(f"{line}\n")


def prepare() -> None:
    """Whatever is imported from here on takes the simulated machine for the real one."""
    os.geteuid = lambda: 0
    gpupass.system.System = HostProcess
    from gpupass.system import names
    from tests import shuffled

    names.pci_names = lambda ids: {}
    for room in shuffled.PLANNING:
        room.in_order = shuffled.checked


def run(state: str, *arguments: str) -> None:
    os.environ["HOST_STATE"] = state
    if "FAKE_NVML_FAULTS" in os.environ:  # NVML is called in processes of its own, one after another
        os.environ["FAKE_NVML_COUNTS"] = f"{os.environ['FAKE_NVML_STATE']}.calls-{os.getpid()}"
        os.environ["FAKE_NVML_KILLS"] = str(os.getpid())
    sys.argv[1:] = arguments
    killed.install()
    from gpupass.cli.main import main

    main()


def serve() -> None:
    """[state, arguments, environment, output] line by line, each in a child of its own; answers exit statuses."""
    import json

    import pynvml  # noqa: F401

    from gpupass.cli import bind, export, inspect, plan, profile, recover  # noqa: F401

    for line in sys.stdin:
        state, arguments, environment, output = json.loads(line)
        _tree(functions(Path(environment["FAKE_NVML_STATE"])))  # kept for the next child
        child = os.fork()
        if child == 0:
            os.environ.update(environment)
            fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(fd, stream)
            run(state, *arguments)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    prepare()
    serve() if sys.argv[1] == "--serve" else run(*sys.argv[1:])
