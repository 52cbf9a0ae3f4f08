"""Work of ours that a user's thread waits for, and that is not a part of its set-up: such as compiling a component."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_ipload.base.real_time import perf_counter_ns

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser


class OwnThread(threading.Thread):
    """The thread of a user."""

    user: VirtualUser


@contextmanager
def awaited_work() -> Iterator[None]:
    """While this is entered in a user's thread, its set-up is not overdue because no request finishes."""
    thread = threading.current_thread()
    if not isinstance(thread, OwnThread):
        yield
        return
    thread.user.awaits_work = True
    try:
        yield
    finally:
        thread.user.stirred_ns = perf_counter_ns()
        thread.user.awaits_work = False
