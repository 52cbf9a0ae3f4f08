"""Where a segment comes from: the version that ran it, and how far its machine's clock is from the target's."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from pytest_ipload.base import real_time

_REPLIES = 10
"""The number of each user's first replies that are read."""
_STA_UNSYNC = 0x0040
"""In include/uapi/linux/timex.h."""


TARGET, LEADER = "target", "segment 0"
"""Whose clock machines' clocks are compared with: by the ``Date`` of its replies, or in the store."""


@dataclass(frozen=True)
class ClockOffset:
    """By how many seconds this machine's clock is ahead of a common one: between these two."""

    low_s: float
    high_s: float
    reference: str = TARGET
    """Whose clock the common one is."""

    def __post_init__(self) -> None:
        """ValueError for an invalid interval: it may come from a file."""
        if not self.low_s <= self.high_s:
            raise ValueError("the lower end of a clock's offset is above its upper one")
        if self.reference not in (TARGET, LEADER):
            raise ValueError(f"{self.reference!r:.40} is not a common clock; expected {TARGET!r} or {LEADER!r}")

    @property
    def nearest_s(self) -> float:
        """The smallest offset that is possible: machines' clocks usually agree better than it is measured."""
        return min(max(0.0, self.low_s), self.high_s)


@dataclass(frozen=True)
class Origin:
    """What is known of the process that ran a segment; None where unknown."""

    version: str
    """Of this package."""
    commit: str | None
    is_synchronised: bool | None
    """Whether the operating system reports its clock as synchronised."""


class OffsetMeter:
    """Compares the clock with the ``Date`` of the first replies that each user gets. Thread-safe.

    RFC 9110, section 6.6.1: the date is when the reply was made, in whole seconds. So each reply bounds the offset to
    an interval of a second plus the time that the reply took; the result is the intersection of all of them.
    """

    def __init__(self, clock: Callable[[], float] = real_time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._low_s, self._high_s = -math.inf, math.inf

    @property
    def offset(self) -> ClockOffset | None:
        """The offset; None if no reply has a usable date, or if replies contradict each other."""
        with self._lock:
            is_known = -math.inf < self._low_s <= self._high_s < math.inf
            return ClockOffset(self._low_s, self._high_s) if is_known else None

    def watch(self, session: Any) -> None:
        """Read the first replies that a session of requests gets, then leave the session as it was."""
        call, left = session.request, _REPLIES

        def request(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                vars(session).pop("request", None)
                session.timeout = session.timeout  # setting any attribute makes the session refresh its caches
            asked = self._clock()
            reply = call(*args, **kwargs)
            self.note(asked, self._clock(), reply.headers)
            return reply

        session.request = request

    def note(self, asked: float, answered: float, headers: Mapping[str, str]) -> None:
        """A reply with these headers; its request was sent, and the reply came, at these readings of the clock."""
        if "Age" in headers:  # it comes from a cache, as its date does
            return
        try:
            second = parsedate_to_datetime(headers.get("Date") or "").timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        with self._lock:
            self._low_s = max(self._low_s, asked - (second + 1))
            self._high_s = min(self._high_s, answered - second)


def is_synchronised() -> bool | None:
    """Whether the system's clock is synchronised, as by NTP; None where the system does not say. See adjtimex(2)."""
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(512)  # struct timex, with ``modes`` 0, which only reads
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    word = ctypes.sizeof(ctypes.c_long)
    # modes, padded to a long; offset, freq, maxerror, esterror; status.
    status = ctypes.c_int.from_buffer(buffer, 5 * word).value
    return not status & _STA_UNSYNC
