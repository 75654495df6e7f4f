"""How much work a call is, where a clock would tell how busy the machine is."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def operations(call: Callable[[], object]) -> int:
    """Instructions of Python's virtual machine; what a C function does within counts as one."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def growth(of: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times the work four times the size is; of(size) prepares it. Linear: 4."""
    return operations(of(4 * size)) / operations(of(size))
