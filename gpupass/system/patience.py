"""How long a look waits for what does not answer: all of it together, for people wait for the look."""

import time

_MOST = 13.0  # seconds; a look is to have told what does not answer within 15
_LEAST = 1.0
_REMEMBERED = 60.0
_lost: list[tuple[float, float]] = []  # when, how long


def patience(wanted: float) -> float:
    """The seconds that may still be waited."""
    since = time.monotonic() - _REMEMBERED
    waited = sum(seconds for when, seconds in _lost if when > since)
    return min(wanted, max(_LEAST, _MOST - waited))


def lost(seconds: float) -> None:
    """They were waited in vain."""
    now = time.monotonic()
    _lost[:] = [*(one for one in _lost if one[0] > now - _REMEMBERED), (now, seconds)]


def anew() -> None:
    """Another look begins: of a process that stays each has all of it."""
    _lost.clear()
