"""A block of a body that is timed: a step, or a measured call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_ipload.base import real_time
from pytest_ipload.base.code_location import place_of_traceback
from pytest_ipload.base.errors import RendezvousEnded, SettingError
from pytest_ipload.settings.parsing import as_label
from pytest_ipload.stats.fault_text import message_of, own_fault
from pytest_ipload.stats.sample import FAILED, FAULT, OK, REQUEST, STEP, Problem, Sample

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser


class TimedBlock(AbstractContextManager[None], AbstractAsyncContextManager[None]):
    """``with`` or ``async with`` times the block; as a decorator it times each call of a function or coroutine."""

    def __init__(self, user: VirtualUser, kind: str, name: str) -> None:
        """``kind`` is that of the sample. Raises SettingError for a name that is not a text."""
        try:
            self._name = as_label(name, f"the name of a {kind}")
        except ValueError as error:
            raise SettingError(str(error)) from None
        self._user = user
        self._kind = kind
        self._started: int | None = None
        self._failed_before = 0
        self._paused_before = 0

    def __enter__(self) -> None:
        if self._kind == REQUEST:
            self._user.wait_for_turn()
        self._begin()

    async def __aenter__(self) -> None:
        if self._kind == REQUEST:
            await self._user.wait_for_turn_async()
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, each call of it timed."""
        again = self._user, self._kind, self._name
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
                async with TimedBlock(*again):
                    return await function(*args, **kwargs)

            return timed_coroutine

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with TimedBlock(*again):
                return function(*args, **kwargs)

        return timed

    def _begin(self) -> None:
        if self._started is not None:
            raise RuntimeError(f"{self._kind} {self._name!r} is being timed already; make a new one for each block")
        self._failed_before, self._paused_before = self._user.failed_requests, self._user.paused_ns
        self._started = real_time.perf_counter_ns()

    def _end(self, error: BaseException | None) -> None:
        assert self._started is not None
        started, self._started = self._started, None
        latency = real_time.perf_counter_ns() - started
        if self._kind == STEP:
            latency = max(0, latency - (self._user.paused_ns - self._paused_before))
        if isinstance(error, RendezvousEnded):
            return  # the end of the load ended a wait in here: that is not a failure
        user, problem, fault = self._user, None, None
        if error is not None:
            problem = Problem(type(error).__name__, message_of(error), place_of_traceback(error.__traceback__))
            fault = own_fault(error)  # a socket of ours could not be opened: not the target's failure
        has_failed = error is not None or (self._kind == STEP and user.failed_requests > self._failed_before)
        outcome = (FAULT if fault and self._kind == REQUEST else FAILED) if has_failed else OK
        source = user.source_address
        user.record(
            Sample(
                self._kind, self._name, started, latency, outcome, source_address=source, problem=problem, fault=fault
            )
        )
