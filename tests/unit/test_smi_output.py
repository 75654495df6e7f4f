"""The readers of nvidia-smi's output that tests/gpu relies on, on output as it has been published."""

from tests.gpu import smi

QUERY = """
==============NVSMI LOG==============

Driver Version                            : 535.104.05

Attached GPUs                             : 2
GPU 00000000:1A:00.0
    Product Name                          : NVIDIA A100-SXM4-40GB
    Persistence Mode                      : Enabled
    MIG Mode
        Current                           : Enabled
        Pending                           : Disabled
    Serial Number                         : 1320021000000
    GPU UUID                              : GPU-a
    Minor Number                          : 0
    FB Memory Usage
        Total                             : 40960 MiB
        Reserved                          : 571 MiB

GPU 00000000:3B:00.0
    Product Name                          : Tesla T4
    MIG Mode
        Current                           : N/A
        Pending                           : N/A
"""
LGIP = """
+-----------------------------------------------------------------------------+
| GPU instance profiles:                                                      |
| GPU   Name             ID    Instances   Memory     P2P    SM    DEC   ENC  |
|                              Free/Total   GiB              CE    JPEG  OFA  |
|=============================================================================|
|   0  MIG 1g.5gb        19     7/7        4.75       No     14     0     0   |
|                                                             1     0     0   |
+-----------------------------------------------------------------------------+
|   0  MIG 1g.5gb+me     20     1/1        4.75       No     14     1     0   |
|                                                             1     1     1   |
"""
LGIPP = """
GPU  0 Profile ID 19 Placements: {0,1,2,3,4,5,6}:1
GPU  0 Profile ID  9 Placements: {0,4}:4
GPU  0 Profile ID  0 Placement : {0}:8
"""
LGI = """
+-------------------------------------------------------+
| GPU instances:                                        |
| GPU   Name             Profile  Instance   Placement  |
|                          ID       ID       Start:Size |
|=======================================================|
|   0  MIG 1g.5gb          19       13          6:1     |
|   0  MIG 3g.20gb          9        2          0:4     |
"""


def test_query():
    assert smi.addresses(QUERY) == ["0000:1a:00.0", "0000:3b:00.0"]
    told = smi.sections(QUERY)
    assert list(told) == ["0000:1a:00.0", "0000:3b:00.0"]
    first = told["0000:1a:00.0"]
    assert smi.value(first, "MIG Mode", "Current") == "Enabled"
    assert smi.value(first, "MIG Mode", "Pending") == "Disabled"
    assert smi.value(first, "FB Memory Usage", "Total") == "40960 MiB"
    assert smi.value(first, "GPU UUID") == "GPU-a" and smi.value(first, "Nothing") == ""
    assert smi.value(told["0000:3b:00.0"], "MIG Mode", "Current") == "N/A"


def test_tables():
    assert smi.profiles(LGIP) == {0: [("1g.5gb", 19, 7, 4.75), ("1g.5gb+me", 20, 1, 4.75)]}
    assert smi.placements(LGIPP) == {0: {19: ((0, 1, 2, 3, 4, 5, 6), 1), 9: ((0, 4), 4), 0: ((0,), 8)}}
    assert smi.instances(LGI) == {0: [("1g.5gb", 19, 13, 6, 1), ("3g.20gb", 9, 2, 0, 4)]}
