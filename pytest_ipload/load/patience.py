"""How long users may take to get on, once they are asked to leave. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ipload.load.seat import Seat

_SECOND = 1_000_000_000
_HURRY = 0.3
"""Seconds that users get to leave by themselves when the load is broken off (Ctrl-C)."""
_INTERRUPT_WAIT, _HURRIED_WAIT = 3.0, 0.5
"""Seconds that an interrupted user gets before it is given up; the second when the load is broken off."""
_ABORT_GRACE = 1.0
"""Seconds that running iterations get at most, when a threshold has broken the load off."""


@dataclass
class Patience:
    """The executor's patience with its users. Times are nanoseconds of its clock."""

    graceful_stop: float
    """Seconds that a running iteration may take to its end."""
    origin_ns: int = 0
    """When the load began; 0 before."""
    stopped_ns: int | None = None
    """When all were asked to leave."""
    is_short: bool = False
    """Whether a threshold has broken the load off."""
    is_over: bool = False
    """Whether nobody judges any more what users are doing: the load is broken off."""

    def deadline(self, seat: Seat) -> int | None:
        """When this user must have got on, as things stand; None where nothing presses."""
        if seat.interrupted_ns is not None:
            return seat.interrupted_ns + _ns(_HURRIED_WAIT if self.is_over else _INTERRUPT_WAIT)
        grace = _ns(_HURRY if self.is_over else self.graceful_stop)
        if seat.teardown_since_ns is not None:
            since = seat.teardown_since_ns
            return (max(since, self.stopped_ns) if self.is_over and self.stopped_ns else since) + grace
        if self.is_short:
            grace = min(grace, _ns(_ABORT_GRACE))
        asked = [] if self.stopped_ns is None else [self.stopped_ns]
        if seat.slot.stop is not None and self.origin_ns:
            asked.append(self.origin_ns + _ns(seat.slot.stop))
        return min(asked) + grace if asked else None


def _ns(seconds: float) -> int:
    return round(seconds * _SECOND)
