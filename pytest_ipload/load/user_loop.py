"""The event loop of one user, which runs the coroutines of its fixtures and bodies in the user's own thread.

It runs while one of them does, and stands still in between: while the user waits for its next iteration, or runs
blocking code. Each coroutine is a task of its own. Its context begins as a copy of the thread's, and what it has set
when it ends is visible to all that the user runs afterwards, as if it had been an ordinary call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, Token, copy_context
from typing import Any, TypeVar

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.load.interruption import IterationInterrupted

T = TypeVar("T")
_UNSET = object()
_Tokens = list[tuple[ContextVar[Any], Token[Any]]]


class UserLoop:
    """One user's event loop. All but ``cancel``, ``break_off`` and ``place`` is for the user's thread."""

    def __init__(self) -> None:
        """Make the loop, and make it the thread's current one. Raises OSError where no file can be opened."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_without_interruptions)
        asyncio.set_event_loop(self._loop)
        self._task: asyncio.Task[Any] | None = None
        """The one that the thread waits for."""
        self._source: object = None
        """The user's coroutine or generator that it runs."""
        self._awaited: tuple[asyncio.Future[Any], ...] = ()
        """The loop stops when one of these is done."""
        self._context: Context | None = None
        """What the last coroutine had set when it ended."""
        self._cancelled: asyncio.Task[Any] | None = None
        self._is_broken_off = False
        self._left: dict[asyncio.Task[Any], object] = {}
        """Tasks that did not end when they had to, and what they run."""

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait until the awaitable is done; its result. Raises what it raises, and IterationInterrupted."""
        self._refuse_if_running(awaitable)
        self._context = None
        task = self._loop.create_task(self._within(awaitable))
        try:
            self._drive(task, awaitable, task)
            if self._context is not None:
                _take(self._context)
            return self._result_of(task)
        finally:
            if task.done():
                _close(awaitable)  # a task that is cancelled before its first step never gets to it

    def enter(self, generator: AsyncGenerator[T, None], name: str) -> tuple[T, Callable[[], None]]:
        """Set up an async generator fixture; its value, and a function that tears it down.

        It lives in one task, so that what it entered before its ``yield`` (a task group, a cancel scope, a context
        variable) can be left after it.
        """
        self._refuse_if_running(None)
        fixture = _AsyncFixture(generator, name, self._loop)
        task = self._loop.create_task(fixture.live())
        self._drive(task, generator, task, fixture.value)
        if not fixture.value.done():
            self._result_of(task)
        tokens = _take(fixture.context)

        def leave() -> None:
            self._refuse_if_running(None)
            fixture.goodbye.set_result(None)
            try:
                self._drive(task, generator, task)
                self._result_of(task)
            finally:
                _take_back(tokens)

        return fixture.value.result(), leave

    def close(self) -> None:
        """End all that is left (tasks, async generators, the threads of its executor), and close the loop."""
        if self._loop.is_closed():
            return
        try:
            self.run(self._wind_up())
        finally:
            for task, source in self._left.items():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # as in run_until_complete: it is known
                _close(task.get_coro())
                _close(source)
            asyncio.set_event_loop(None)
            self._loop.close()

    # -- for other threads --------------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel the running task: CancelledError is raised where it waits. False if the loop stands still."""
        task = self._task
        if task is None:
            return False
        self._cancelled = task
        return self._soon(task.cancel)

    def break_off(self) -> None:
        """Do not wait for the running task any longer, if the loop still takes its turns."""
        if (task := self._task) is not None:
            self._soon(self._break, task)

    def place(self) -> str:
        """The line of user code at which the running task waits; empty if there is none."""
        frames, at = [], self._source
        while at is not None:
            frames.append(next((each for name in _FRAMES if (each := getattr(at, name, None)) is not None), None))
            at = next((each for name in _WAITS if (each := getattr(at, name, None)) is not None), None)
        return next((place for frame in reversed(frames) if (place := place_of_frame(frame))), "")

    def _soon(self, callback: Callable[..., object], *arguments: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # it has just been closed
            return False
        return True

    # -- inside -------------------------------------------------------------------------------------------------------

    def _refuse_if_running(self, awaitable: object) -> None:
        if self._loop.is_running():
            _close(awaitable)
            raise RuntimeError(
                "the user's event loop runs already, so that no blocking call may wait for it; in a coroutine, await, "
                "and name an async fixture in the signature in place of request.getfixturevalue()"
            )

    async def _within(self, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        finally:
            self._context = copy_context()

    def _drive(self, task: asyncio.Task[Any], source: object, *until: asyncio.Future[Any]) -> None:
        """Run the loop until one of the futures is done: the task, or what it does on the way."""
        self._awaited, self._source, self._task = until, source, task
        for future in until:
            future.add_done_callback(self._stop)
        try:
            self._loop.run_forever()
            if not any(future.done() for future in until):
                if self._is_broken_off:
                    raise IterationInterrupted
                raise RuntimeError("the user's event loop was stopped before the coroutine ended")
        finally:
            self._awaited, self._source, self._task = (), None, None
            self._is_broken_off = False
            for future in until:
                future.remove_done_callback(self._stop)
            if not any(future.done() for future in until):
                self._left[task] = source
            elif task.done() and not task.cancelled():
                task.exception()  # KeyboardInterrupt has left the loop already: nothing else would look at it

    def _stop(self, future: asyncio.Future[Any]) -> None:
        if future in self._awaited:  # else an interruption came first
            self._loop.stop()

    def _break(self, task: asyncio.Task[Any]) -> None:
        if task is self._task:
            self._is_broken_off = True
            self._loop.stop()

    def _result_of(self, task: asyncio.Task[T]) -> T:
        try:
            return task.result()
        except asyncio.CancelledError as error:
            if task is self._cancelled:
                raise IterationInterrupted().with_traceback(error.__traceback__) from None
            raise

    async def _wind_up(self) -> None:
        tasks = [each for each in asyncio.all_tasks() if each is not self._task and each not in self._left]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                message = "a task failed when the user's event loop was closed"
                self._loop.call_exception_handler({"message": message, "exception": error, "task": task})
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


_FRAMES, _WAITS = ("cr_frame", "ag_frame", "gi_frame"), ("cr_await", "ag_await", "gi_yieldfrom")


class _AsyncFixture:
    """An async generator with one ``yield``."""

    def __init__(self, generator: AsyncGenerator[Any, None], name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._generator = generator
        self._name = name
        self.value: asyncio.Future[Any] = loop.create_future()
        """What it yields."""
        self.goodbye: asyncio.Future[None] = loop.create_future()
        """Set when it is to go on."""
        self.context = Context()
        """What it had set at its ``yield``."""

    async def live(self) -> None:
        """Its whole life."""
        try:
            value = await anext(self._generator)
        except StopAsyncIteration:
            raise ValueError(f"fixture {self._name!r} did not yield a value") from None
        self.context = copy_context()
        self.value.set_result(value)
        try:
            try:
                await self.goodbye
            except asyncio.CancelledError as cancelled:  # a task group that it has entered has failed
                await self._generator.athrow(cancelled)
            else:
                await anext(self._generator)
        except StopAsyncIteration:
            return
        await self._generator.aclose()
        raise ValueError(f"fixture {self._name!r} yields more than once")


def _take(context: Context) -> _Tokens:
    """Set in the thread's context what is different in the other one."""
    return [(variable, variable.set(value)) for variable, value in context.items() if variable.get(_UNSET) is not value]


def _take_back(tokens: _Tokens) -> None:
    for variable, token in reversed(tokens):
        variable.reset(token)


def _close(coroutine: object) -> None:
    """Close a coroutine that will not run any more; what it raises at that has no one to go to."""
    close = getattr(coroutine, "close", None)
    if close is not None and hasattr(coroutine, "cr_frame"):
        with suppress(BaseException):
            close()


def _without_interruptions(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler: an interruption that arrives in a callback is no one's mistake."""
    if not isinstance(context.get("exception"), IterationInterrupted):
        loop.default_exception_handler(context)
