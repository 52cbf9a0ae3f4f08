"""Clocks that keep running although a test has frozen time.

Libraries that freeze the time replace the functions of ``time``, in that module and wherever they find them. A load
is timed by the system's clocks all the same: they are read by the functions of another instance of that module, which
those libraries do not look for. They are called for each request, so there is nothing in between.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType


def _own_time() -> ModuleType:
    """A new instance of the module ``time``; the one that all share where an interpreter has no more than that."""
    spec = BuiltinImporter.find_spec("time")
    if spec is None or spec.loader is None:
        import time

        return time
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_time = _own_time()
perf_counter_ns: Callable[[], int] = _time.perf_counter_ns
"""As ``time.perf_counter_ns``."""
time_ns: Callable[[], int] = _time.time_ns
"""As ``time.time_ns``."""
monotonic: Callable[[], float] = _time.monotonic
"""As ``time.monotonic``."""
time: Callable[[], float] = _time.time
"""As ``time.time``."""
sleep: Callable[[float], None] = _time.sleep
"""As ``time.sleep``."""
thread_time: Callable[[], float] = _time.thread_time
"""As ``time.thread_time``."""
