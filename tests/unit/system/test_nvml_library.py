"""One initialisation for all threads, none while a GPU must be let go of, and errors in an operator's words."""

import sys
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from gpupass.errors import GpupassError
from gpupass.model.mig import MigProfile
from gpupass.system.nvml_library import Library, told


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"error {value}")
        self.value = value


@pytest.fixture
def calls(monkeypatch):
    made = []
    double = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: made.append("init"),
        nvmlShutdown=lambda: made.append("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "pynvml", double)
    return made


def test_nothing_stays_open(calls):
    library = Library()
    with library.calls(), library.calls():
        pass
    assert calls == ["init", "shutdown"]


def test_kept_open(calls):
    library = Library()
    with library.kept():
        assert calls == []
        for _ in range(3):
            with library.calls():
                pass
        assert calls == ["init"]
        with library.silent():
            assert calls == ["init", "shutdown"]
        with library.calls():
            pass
    assert calls == ["init", "shutdown"] * 2


def test_silent_waits_for_callers_and_keeps_new_ones_out(calls):
    library, asked, order = Library(), Event(), []
    library.profiles["GPU-1"] = (MigProfile(id=0, name="a", slices=1, memory=1, most=1, placements=()),)

    def silence():
        asked.set()
        with library.silent():
            order.append("silent")
            assert library.profiles == {}

    def call():
        with library.calls():
            order.append("called")

    with library.calls():
        silent = Thread(target=silence)
        silent.start()
        assert asked.wait(10)
        while not library._closers:
            pass
        late = Thread(target=call)
        late.start()
        order.append("first is done")
    silent.join(10)
    late.join(10)
    assert order == ["first is done", "silent", "called"]
    assert calls == ["init", "shutdown"] * 2


def test_many_threads(calls):
    library = Library()

    def work():
        for _ in range(50):
            with library.calls():
                pass

    with library.kept():
        threads = [Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert calls == ["init", "shutdown"]


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


def test_it_cannot_be_initialised(calls, monkeypatch):
    def fails():
        raise NVMLError(9)

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", fails)
    with pytest.raises(GpupassError, match="the nvidia driver is not loaded"), Library().calls():
        pass


def test_a_call_within_a_call_does_not_wait_for_whoever_wants_silence(calls):
    library = Library()

    def silence():
        with library.silent():
            pass

    with library.calls():
        silent = Thread(target=silence)
        silent.start()
        while not library._closers:
            pass
        with library.calls():
            pass
    silent.join(10)
    assert not silent.is_alive() and calls == ["init", "shutdown"]
