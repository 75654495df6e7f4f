"""One initialisation for all threads, none while a GPU must be let go of, and none in this process."""

import os
import sys
import time
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from gpupass.errors import GpupassError, NotClean
from gpupass.model.mig import MigProfile
from gpupass.system import nvml_child
from gpupass.system.nvml_library import Known, Library, NoNvmlAnswer, told

GPU = "0000:01:00.0"
PROFILE = MigProfile(id=0, name="a", slices=1, memory=1, most=1, placements=())


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"error {value}")
        self.value = value


class Calls:
    """What was called, in whichever process."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def add(self, name):
        with self.path.open("a") as file:
            file.write(f"{name}\n")

    def __eq__(self, names):
        return self.path.read_text().split() == names


@pytest.fixture
def calls(monkeypatch, tmp_path):
    made = Calls(tmp_path / "calls")
    double = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: made.add("init"),
        nvmlShutdown=lambda: made.add("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "pynvml", double)
    return made


@pytest.fixture
def library():
    made = Library()
    yield made
    made.close()


def opened(there):
    assert there.nvml
    return os.getpid()


def slow(there, path):
    assert there.nvml
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()


def learning(there):
    there.known.boards["GPU-1"] = "a board"
    there.known.profiles["a board"] = (PROFILE,)
    there.known.compute_profiles["a board", 0] = ((0, 1),)
    there.known.vgpu_types[468] = "A100-4C"


def known(there):
    return there.known


def counted(there):
    yield 1
    yield 2
    time.sleep(60)


def refused(there):
    raise GpupassError("cannot do it: no", "try this")


def crash(there):
    os.abort()


def ask(library, call, *arguments, seconds=20):
    return library.ask(GPU, call, *arguments, seconds=seconds)


def test_nothing_stays_open(calls, library):
    assert ask(library, opened) != os.getpid()
    assert calls == ["init", "shutdown"]


def test_kept_open(calls, library):
    with library.kept():
        assert calls == []
        assert len({ask(library, opened) for _ in range(3)}) == 1
        assert calls == ["init"]
        with library.silent():
            assert calls == ["init", "shutdown"]
        ask(library, opened)
    assert calls == ["init", "shutdown"] * 2


def test_silent_waits_for_callers_and_keeps_new_ones_out(calls, library, tmp_path):
    order, silenced = [], Event()
    ask(library, learning)

    def silence():
        with library.silent():
            order.append("silent")
            assert library._known.profiles == {}
            silenced.set()

    def late():
        ask(library, opened)
        order.append("called")

    first = Thread(target=lambda: order.append(bool(ask(library, slow, tmp_path / "go"))))
    first.start()
    while not library._callers:
        time.sleep(0.001)
    threads = [Thread(target=silence), Thread(target=late)]
    threads[0].start()
    while not library._closers:
        time.sleep(0.001)
    threads[1].start()
    assert not silenced.wait(0.1)
    (tmp_path / "go").touch()
    for thread in (first, *threads):
        thread.join(20)
    assert sorted(map(str, order)) == ["True", "called", "silent"] and order.index("silent") < order.index(
        "called"
    )
    assert calls == ["init", "shutdown"] * 2


def test_one_gpu_does_not_wait_for_another(calls, library, tmp_path):
    with library.kept():
        waiting = Thread(target=lambda: ask(library, slow, tmp_path / "go"))
        waiting.start()
        while not library._callers:
            time.sleep(0.001)
        ask(library, opened)
        assert waiting.is_alive()
        (tmp_path / "go").touch()
        waiting.join(20)
    assert calls == ["init", "shutdown"]


def test_many_threads(calls, library):
    def work():
        for _ in range(50):
            ask(library, opened)

    with library.kept():
        threads = [Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert calls == ["init", "shutdown"]


def test_what_was_asked_once_the_next_process_knows(calls, library):
    ask(library, learning)
    told = ask(library, known)
    assert (told.profiles, told.vgpu_types) == ({"a board": (PROFILE,)}, {468: "A100-4C"})
    with library.silent():
        pass
    assert ask(library, known) == Known(boards={"GPU-1": "a board"}), "the driver may be another one by now"


def test_several_may_need_it_closed_at_once(calls, library):
    with library.silent():
        other = Thread(target=lambda: library.silent().__enter__())
        other.start()
        other.join(20)
        assert not other.is_alive()


def test_what_is_kept_open_ends_with_the_library(calls, library):
    with library.kept():
        ask(library, opened)
        library.close()
        assert calls == ["init", "shutdown"]


def test_what_hangs_is_left_behind_and_the_others_go_on(calls, library, tmp_path, monkeypatch):
    monkeypatch.setattr(nvml_child.os, "kill", lambda *_: None)
    done = []
    with library.kept():
        other = Thread(target=lambda: done.append(ask(library, slow, tmp_path / "go")))
        other.start()
        while not library._callers:
            time.sleep(0.001)
        with pytest.raises(NotClean, match="the NVIDIA driver does not answer") as hung:
            ask(library, slow, tmp_path / "never", seconds=0.2)
        assert hung.value.addresses == (GPU,)
        fresh = ask(library, opened)
        (tmp_path / "go").touch()
        other.join(20)
    assert done and done != [fresh]
    assert calls == ["init", "init", "shutdown"]


def test_what_came_before_the_hang_is_not_lost(calls, library):
    found = []
    with pytest.raises(NoNvmlAnswer, match="does not answer"):
        found.extend(library.answers(counted, seconds=0.5))
    assert found == [1, 2]


def test_errors_come_over(calls, library):
    with pytest.raises(GpupassError, match="cannot do it: no") as error:
        ask(library, refused)
    assert error.value.hint == "try this"
    with pytest.raises(GpupassError, match="its library has ended the process"):
        ask(library, crash)
    assert ask(library, opened)


@pytest.mark.parametrize(
    ("code", "why", "hint"),
    [
        (4, "no permission", "run it with sudo"),
        (13, "this NVIDIA driver is too old for it", "cat /proc/driver/nvidia/version"),
        (15, "the GPU is lost", "dmesg"),
        (999, "NVML says: error 999", "gpupass show X"),
    ],
)
def test_errors(code, why, hint, calls):
    nvml = sys.modules["pynvml"]
    with pytest.raises(GpupassError) as error, told("cut X", nvml, "gpupass show X"):
        raise NVMLError(code)
    assert error.value.message == f"cannot cut X: {why}" and hint in error.value.hint


def test_it_cannot_be_initialised(calls, library, monkeypatch):
    def fails():
        raise NVMLError(9)

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", fails)
    with pytest.raises(GpupassError, match="the nvidia driver is not loaded"):
        ask(library, opened)
