"""Where a VF will be, as far as the physical function tells before there are any."""

import pytest

from gpupass.model.host import Sriov, vf_address


@pytest.mark.parametrize(
    ("pf", "offset", "stride", "number", "address"),
    [
        ("0000:0a:00.0", 128, 2, 0, "0000:0a:10.0"),
        ("0000:0a:00.0", 128, 2, 3, "0000:0a:10.6"),
        ("0000:0a:00.0", 128, 2, 4, "0000:0a:11.0"),
        ("0000:02:00.0", 1, 1, 0, "0000:02:00.1"),
        ("0001:41:00.1", 256, 1, 0, "0001:42:00.1"),
        ("0000:02:00.0", 1, 0, 0, "0000:02:00.1"),
        ("0000:02:00.0", 1, 0, 1, None),
        ("0000:02:00.0", 0, 0, 0, None),
        ("0000:02:00.0", None, None, 0, None),
    ],
)
def test_address(pf, offset, stride, number, address):
    """Never the PF's own: an offset of 0 says that it does not know yet."""
    sriov = Sriov(total=8, enabled=0, autoprobe=True, offset=offset, stride=stride)
    assert vf_address(pf, sriov, number) == address
