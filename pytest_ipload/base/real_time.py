"""Clocks that keep running although a test has frozen time.

Libraries that freeze the time replace the functions of ``time``, in that module and wherever they find them. A load
is timed by the system's clocks all the same: they are read by functions that are not among those. On Linux and macOS
``perf_counter_ns`` reads the very clock of ``time.perf_counter_ns``.
"""

from __future__ import annotations

import functools
import sys
import time as _time
from collections.abc import Callable

perf_counter_ns: Callable[[], int]
"""As ``time.perf_counter_ns``."""
time_ns: Callable[[], int]
"""As ``time.time_ns``."""
monotonic: Callable[[], float]
"""As ``time.monotonic``."""
time: Callable[[], float]
"""As ``time.time``."""

if sys.platform == "win32":  # it has no clocks by number; a search for the function does not find a partial
    perf_counter_ns, time_ns = functools.partial(_time.perf_counter_ns), functools.partial(_time.time_ns)
    monotonic, time = functools.partial(_time.monotonic), functools.partial(_time.time)
else:
    _STEADY: int = getattr(_time, "CLOCK_UPTIME_RAW", _time.CLOCK_MONOTONIC)  # the former is macOS's
    perf_counter_ns = functools.partial(_time.clock_gettime_ns, _STEADY)
    time_ns = functools.partial(_time.clock_gettime_ns, _time.CLOCK_REALTIME)
    monotonic = functools.partial(_time.clock_gettime, _STEADY)
    time = functools.partial(_time.clock_gettime, _time.CLOCK_REALTIME)
