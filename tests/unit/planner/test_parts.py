"""The small host around some devices: what a plan for them can ask about."""

from gpupass.model.host import Device, Host
from gpupass.model.mark import Origin
from gpupass.planner.parts import parts_of

ROOT, PORT, OTHER_PORT = "0000:00:01.0", "0000:01:00.0", "0000:01:01.0"
GPU, AUDIO, BESIDE, FAR, ALONE = (
    "0000:02:00.0",
    "0000:02:00.1",
    "0000:02:01.0",
    "0000:03:00.0",
    "0000:04:00.0",
)
BRIDGE = 0x060400


def function(address, parent, group, kind=0x030200):
    return Device(address=address, vendor=1, device=1, class_code=kind, parent=parent, group=group)


HOST = Host(
    devices=(
        function(ROOT, None, 1, BRIDGE),
        function(PORT, ROOT, 2, BRIDGE),
        function(OTHER_PORT, ROOT, 3, BRIDGE),
        function(GPU, PORT, 4),
        function(AUDIO, PORT, 4),
        function(BESIDE, PORT, 5),
        function(FAR, OTHER_PORT, 6),
        function(ALONE, None, 7),
    ),
    marks=tuple(Origin(carrier=address, driver=None) for address in (FAR, GPU, AUDIO, ALONE)),
)


def addresses(*devices):
    part = parts_of(HOST)((HOST.device(address) for address in devices), ())
    return [device.address for device in part.devices], [mark.carrier for mark in part.marks]


def test_its_group_all_bridges_above_and_what_is_directly_below_them():
    assert addresses(GPU) == ([ROOT, PORT, OTHER_PORT, GPU, AUDIO, BESIDE], [GPU, AUDIO])
    assert addresses(ALONE) == ([ALONE], [ALONE])
    assert addresses(ALONE, FAR) == ([ROOT, PORT, OTHER_PORT, FAR, ALONE], [FAR, ALONE])
