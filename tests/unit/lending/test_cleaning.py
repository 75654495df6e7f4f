"""Which reset a slot gets: each function's own, its bus's, or none."""

import pytest

from gpupass.lending.cleaning import cleaning
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host


def function(address, methods, parent="0000:00:01.0"):
    return Device(
        address=Address(address),
        vendor=1,
        device=1,
        class_code=0x030000,
        parent=Address(parent) if parent else None,
        detail=Detail(reset_methods=methods),
    )


@pytest.mark.parametrize(
    ("functions", "others", "resets", "refused"),
    [
        ([("01:00.0", ("flr",))], [], [("function", 1)], 0),
        ([("01:00.0", ("flr", "bus")), ("01:00.1", ("pm",))], [], [("function", 2)], 0),
        ([("01:00.0", ("flr",)), ("01:00.1", ())], [], [("bus", 2)], 0),
        ([("01:00.0", ()), ("01:00.1", ())], [], [("bus", 2)], 0),
        ([("01:00.0", ())], [("01:00.1", ())], [("none", 1)], 1),  # a neighbour would be reset too
        ([("01:00.0", ())], [("01:01.0", ("flr",))], [("none", 1)], 1),
        ([("01:01.0", ("flr",)), ("01:00.0", ("flr",))], [], [("function", 1), ("function", 1)], 0),
        ([("01:00.0", ("flr",)), ("01:01.0", ())], [], [("function", 1), ("none", 1)], 1),
    ],
)
def test_one_reset_per_slot(functions, others, resets, refused):
    members = tuple(function(f"0000:{address}", methods) for address, methods in functions)
    strangers = tuple(function(f"0000:{address}", methods) for address, methods in others)
    found, findings = cleaning(Host(devices=(*members, *strangers)), members)
    assert [(reset.method, len(reset.addresses)) for reset in found] == resets
    assert len(findings) == refused and all(finding.fatal and finding.remedy for finding in findings)


def test_in_the_root_complex_there_is_no_bus_to_reset():
    device = function("0000:00:08.0", (), parent=None)
    (reset,), (finding,) = cleaning(Host(devices=(device,)), (device,))
    assert reset.method == "none" and "cannot be reset" in finding.message
