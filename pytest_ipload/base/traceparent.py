"""W3C Trace Context: the ids that connect a request with what the target's own tracing says of it.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

HEADER = "traceparent"
_TRACE_ID = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b")


class Traceparent(str):
    """A header's value that a ``Tracer`` made: its user's own is a plain text."""

    __slots__ = ()


class Tracer:
    """The ids of one user's requests: one trace for each iteration, a span for each request.

    They are random, from a source of their own for each user that the system seeds: they differ between users,
    workers, segments and runs, whatever the load's ``seed`` is.
    """

    def __init__(self, moment: Callable[[], int | None]) -> None:
        """``moment`` is the number of the running iteration; None outside of iterations, which have a trace too."""
        self._moment = moment
        self._draw = random.Random(os.urandom(32)).getrandbits
        self._of: int | None = None
        self._trace_id = ""
        self.last = Traceparent()
        """The value of the last header."""

    @property
    def trace_id(self) -> str:
        """The trace of the running iteration: 32 hexadecimal digits."""
        moment = self._moment()
        if moment != self._of or not self._trace_id:
            self._of, self._trace_id = moment, f"{self._draw(128) or 1:032x}"
        return self._trace_id

    def header(self) -> Traceparent:
        """The value of the header for the next request."""
        self.last = Traceparent(f"00-{self.trace_id}-{self._draw(64) or 1:016x}-01")
        return self.last

    def of_iteration(self, number: int | None) -> str | None:
        """The trace of the iteration that ran last; None if that was another one, or made no request."""
        return self._trace_id if self._trace_id and self._of == number else None


def trace_id_of(value: str) -> str | None:
    """The trace that a header's value names; None if it is not valid."""
    found = _TRACE_ID.match(value.strip())
    return None if found is None else found[1]
