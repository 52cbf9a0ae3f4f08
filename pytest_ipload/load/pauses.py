"""Pauses of a user within its iterations."""

from __future__ import annotations

import threading
from random import Random

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import IploadError, RendezvousEnded, SettingError
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.iteration_log import IterationLog
from pytest_ipload.settings.parsing import as_span


class Pauses:
    """The pauses of one user. It waits in its own thread; another one may interrupt it."""

    __slots__ = ("_is_interrupted", "_log", "_wake_up")

    def __init__(self, log: IterationLog) -> None:
        """``log`` takes note of how long the user paused."""
        self._log = log
        self._is_interrupted = False
        self._wake_up: threading.Event | None = None  # most users do without

    def wait(self, span: float | str, random: Random) -> None:
        """See ``VirtualUser.pause``. Raises SettingError; RendezvousEnded if it is interrupted in an iteration."""
        seconds = seconds_of(span, random)
        wake_up = self._wake_up = self._wake_up or threading.Event()
        if self._is_interrupted:  # looked at after the event is there: ``interrupt`` does it the other way round
            wake_up.set()
        began_ns = real_time.perf_counter_ns()
        try:
            is_over = wake_up.wait(seconds)
        except IterationInterrupted:
            if not self._log.running:
                raise
            is_over = True
        finally:
            self._log.paused_ns += real_time.perf_counter_ns() - began_ns
        if is_over and self._log.running:  # the target has no part in it: the iteration is dropped
            raise RendezvousEnded("the load ended during a pause")
        if is_over:
            raise IploadError("a pause was interrupted")

    def interrupt(self) -> None:
        """Pauses end, now and later."""
        self._is_interrupted = True
        if self._wake_up is not None:
            self._wake_up.set()

    def resume(self) -> None:
        """There may be pauses again: in the teardown."""
        self._is_interrupted = False
        if self._wake_up is not None:
            self._wake_up.clear()


def seconds_of(span: float | str, random: Random) -> float:
    """How long to pause; a span is drawn from. Raises SettingError."""
    try:
        low, high = as_span(span)
    except ValueError as error:
        raise SettingError(f"pause: {error}") from None
    return low if low == high else random.uniform(low, high)
