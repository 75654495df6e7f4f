"""NVML's answers → Nvidia, with a double in pynvml's place."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.methods.mig.plan import instances
from gpupass.model.host import Vgpu
from gpupass.model.user import User, UserKind
from gpupass.observe import observe
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost, System
from gpupass.system.nvml import Asked, GpuAnswer, read_gpus
from tests.host_tree import Function, HostTree
from tests.mig_boards import board, instance


class NVMLError(Exception):
    value = 3  # not supported


def _double(**answers: Any) -> SimpleNamespace:
    """Every question a lambda of the index; what is left out is not supported."""

    def unsupported(_: int) -> Any:
        raise NVMLError("Not Supported")

    questions = {
        "GetPciInfo": lambda index: SimpleNamespace(
            busId=f"00000000:0{index + 1}:00.0", pciDeviceId=0x20B010DE, pciSubSystemId=0x134F10DE
        ),
        "GetUUID": lambda index: f"GPU-{index}",
        "GetHandleByIndex": lambda index: index,
        **{
            name: unsupported
            for name in (
                *("GetSerial", "GetName", "GetBoardPartNumber", "GetMinorNumber"),
                *("GetMigMode", "GetMemoryInfo", "GetPersistenceMode"),
            )
        },
        **answers,
    }
    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        **{f"nvmlDevice{name}": question for name, question in questions.items()},
    )


def test_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    double = _double(
        GetSerial=lambda index: b"165012",
        GetName=lambda index: b"NVIDIA H100 80GB HBM3",
        GetBoardPartNumber=lambda index: "692-2G520-0200-000",
        GetMinorNumber=lambda index: index,
        GetMigMode=lambda index: [0, 1],
        GetMemoryInfo=lambda index: SimpleNamespace(total=80 << 30, used=3 << 20),
        GetPersistenceMode=lambda index: 1,
    )
    monkeypatch.setitem(sys.modules, "pynvml", double)
    (first, _), _ = read_gpus(System(), Asked())
    assert (first.bus_id, first.uuid, first.serial, first.minor) == ("00000000:01:00.0", "GPU-0", "165012", 0)
    assert (first.name, first.part_number) == ("NVIDIA H100 80GB HBM3", "692-2G520-0200-000")
    assert (first.mig, first.mig_pending, first.persistence) == (False, True, True)
    assert (first.memory_total, first.memory_used) == (81920, 3)


def test_what_a_gpu_does_not_support_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _double())
    (first, _), _ = read_gpus(System(), Asked())
    assert (first.serial, first.mig, first.memory_total, first.persistence) == (None, None, None, None)


def test_one_lost_gpu_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(index: int) -> int:
        if index == 0:
            raise NVMLError("GPU is lost")
        return index

    monkeypatch.setitem(sys.modules, "pynvml", _double(GetHandleByIndex=handle))
    assert [gpu.uuid for gpu in read_gpus(System(), Asked())[0]] == ["GPU-1"]


def test_without_the_module_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(GpupassError, match="pynvml") as refusal:
        read_gpus(System(), Asked())
    assert refusal.value.hint == "pip install nvidia-ml-py"


@pytest.mark.parametrize(
    ("now", "pending", "words"),
    [
        (None, None, None),
        (True, True, "enabled"),
        (False, False, "disabled"),
        (True, False, "enabled (pending: disabled)"),
    ],
)
def test_mig_in_words(tmp_path: Any, now: bool | None, pending: bool | None, words: str | None) -> None:
    tree = HostTree(tmp_path)
    tree.function(Function(address="0000:01:00.0", ids="10de:2330", class_code=0x030200, driver="nvidia"))
    tree.file("/proc/driver/nvidia/gpus/0000:01:00.0/information", "GPU UUID: \t GPU-0\n")
    answer = {"bus_id": "00000000:01:00.0", "uuid": "GPU-0", "mig": now, "mig_pending": pending}
    tree.answers("nvml", {"gpus": [answer], "unseen": []})
    (device,) = observe(RecordedHost(str(tmp_path)), connect=None).devices
    assert device.facts.nvidia is not None
    assert device.facts.nvidia.mig_mode == words


def test_a_guest_has_the_name_of_its_domain(tmp_path: Any) -> None:
    tree = HostTree(tmp_path)
    tree.function(Function(address="0000:01:00.0", ids="10de:2330", class_code=0x030200, driver="nvidia"))
    tree.file("/proc/driver/nvidia/gpus/0000:01:00.0/information", "GPU UUID: \t GPU-0\n")
    uuids = ("1B4E28BA-0000-4000-8000-000000000001", "7f000000-0000-4000-8000-000000000002")
    guests = tuple(User(kind=UserKind.VM, name=uuid, detail="vGPU 7") for uuid in uuids)
    gpu = board("H100-80")
    gpu = board("H100-80", replace(instance(gpu, "3g.40gb", 0), users=guests))
    answer = GpuAnswer(bus_id="00000000:01:00.0", uuid="GPU-0", mig=True, mig_pending=True, mig_gpu=gpu)
    tree.answers("nvml", {"gpus": [to_builtins(answer)], "unseen": []})
    domain = {"name": "web", "uuid": uuids[0].lower(), "state": "running", "autostart": False}
    tree.answers("domains", {"domains": [{**domain, "job": None, "resident": None}], "unseen": []})
    (device,) = observe(RecordedHost(str(tmp_path))).devices
    ((first, second),) = (one.users for one in instances(device))
    assert first == User(kind=UserKind.DOMAIN, name="web", detail="vGPU 7")
    assert second == guests[1]


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("4294967295", None), (None, None)])
def test_the_gpu_instance_of_a_vgpu(tmp_path: Any, text: str | None, number: int | None) -> None:
    tree = HostTree(tmp_path)
    path = tree.function(
        Function(address="0000:01:00.4", ids="10de:2330", class_code=0x030200, driver="nvidia")
    )
    tree.file(f"{path}/nvidia/current_vgpu_type", "694")
    if text is not None:
        tree.file(f"{path}/nvidia/gpu_instance_id", text)
    record_host(RecordedHost(str(tmp_path)), tmp_path / "copy", "qemu:///system")
    for root in (tmp_path, tmp_path / "copy"):
        (device,) = observe(RecordedHost(str(root)), connect=None).devices
        assert device.facts.vgpu == Vgpu(current=694, instance=number)


def test_the_driver_tells_the_uuid_where_nvml_is_silent(tmp_path: Any) -> None:
    tree = HostTree(tmp_path)
    tree.function(Function(address="0000:01:00.0", ids="10de:2330", class_code=0x030200, driver="nvidia"))
    text = "GPU UUID: \t GPU-7\nDevice Minor: \t 2\n"
    tree.file("/proc/driver/nvidia/gpus/0000:01:00.0/information", text)
    tree.answers("nvml", {"gpus": [], "unseen": ["NVML: cannot ask"]})
    host = observe(RecordedHost(str(tmp_path)), connect=None)
    nvidia = host.devices[0].facts.nvidia
    assert nvidia is not None
    assert (nvidia.uuid, nvidia.minor) == ("GPU-7", 2)
    assert "NVML: cannot ask" in host.unseen
