"""The event loop of one user, which runs the coroutines of its fixtures and bodies in the user's own thread.

It runs while one of them does, and stands still in between: while the user waits for its next iteration, or runs
blocking code. Each coroutine is a task of its own. Its context begins as a copy of the thread's, and what it has set
when it ends is visible to all that the user runs afterwards, as if it had been an ordinary call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from contextvars import Context, ContextVar, Token, copy_context
from types import FrameType, TracebackType
from typing import Any, TypeVar

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.interruption import IterationInterrupted

T = TypeVar("T")
_UNSET = object()
_Tokens = list[tuple[ContextVar[Any], Token[Any]]]
_LEAVE_S = 0.5, 0.2
"""Seconds that the tasks which a user leaves behind get to end, after the first and the second cancellation."""


class UserLoop:
    """One user's event loop. All but ``cancel`` and ``place`` is for the user's thread."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        """Make the loop, and make it the thread's current one. Raises OSError where no file can be opened."""
        self._loop = new_loop()
        self._loop.set_exception_handler(_without_interruptions)
        asyncio.set_event_loop(self._loop)
        self._running: _Work | None = None
        """What the thread waits for."""
        self._waits = 0
        """How often it has waited: which of its waits an interruption is for."""
        self._awaited: tuple[asyncio.Future[Any], ...] = ()
        """The loop stops when one of these is done."""
        self._left: list[_Work] = []
        """What did not end when it had to."""

    def refuse_foreign_sockets(self) -> None:
        """Raise SettingError if the loop opens its sockets in C: they would be neither bound nor checked."""
        if not isinstance(self._loop, asyncio.BaseEventLoop):
            raise SettingError(
                f"{type(self._loop).__module__}.{type(self._loop).__qualname__} opens its sockets in C, so they would "
                "leave from any address and to any host; let users run on asyncio's own loop, or set "
                "bind_sockets='session'"
            )

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait until the awaitable is done; its result. Raises what it raises, and IterationInterrupted."""
        work = self._start(awaitable, awaitable)
        self._drive(work, work.task)
        if work.context is not None:
            _take(work.context)
        else:  # it was cancelled before its first step, and would be "never awaited"
            _close(awaitable)
        result: T = work.result()
        return result

    def enter(self, generator: AsyncGenerator[T, None], name: str) -> tuple[T, Callable[[], None]]:
        """Set up an async generator fixture; its value, and a function that tears it down.

        It lives in one task, so that what it entered before its ``yield`` (a task group, a cancel scope, a context
        variable) can be left after it.
        """
        fixture = _AsyncFixture(generator, name, self._loop)
        work = self._start(fixture.live(), generator)
        self._drive(work, work.task, fixture.value)
        if not fixture.value.done():
            work.result()
        tokens = _take(fixture.context)

        def leave() -> None:
            self._refuse_if_running(None)
            if not fixture.goodbye.done():  # it is cancelled with its task
                fixture.goodbye.set_result(None)
            try:
                self._drive(work, work.task)
                work.result()
            finally:
                _take_back(tokens)

        return fixture.value.result(), leave

    def close(self) -> list[str]:
        """End all that is left (tasks, async generators, the threads of its executor), and close the loop.

        Returns the name and place of each task that did not end when it was cancelled.
        """
        if self._loop.is_closed():
            return []
        try:
            return self.run(self._wind_up())
        finally:
            for work in self._left:
                work.abandon()
            for task in asyncio.all_tasks(self._loop):
                _abandon(task)
            asyncio.set_event_loop(None)
            self._loop.close()

    # -- for other threads --------------------------------------------------------------------------------------------

    def cancel(self, patience_s: float) -> bool:
        """Cancel what runs: CancelledError is raised where it waits. False if the loop stands still.

        If it has not ended after ``patience_s``, IterationInterrupted is raised there, and after as much again the
        loop is stopped too and IterationInterrupted raised in the user's thread: the coroutine waits for something
        that cannot be cancelled. All of this needs a loop whose callbacks return.
        """
        wait = self._waits
        if self._running is None:
            return False
        try:
            self._loop.call_soon_threadsafe(self._cancel, wait, patience_s)
        except RuntimeError:  # it has just been closed
            return False
        return True

    def place(self) -> str:
        """The line of user code at which the running coroutine waits; empty if there is none."""
        running = self._running
        return "" if running is None else _place_of(running.source)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _start(self, awaitable: Awaitable[Any], source: object) -> _Work:
        self._refuse_if_running(awaitable)
        work = _Work(awaitable, source)
        work.task = self._loop.create_task(work.run())
        return work

    def _refuse_if_running(self, awaitable: object) -> None:
        if self._loop.is_running():
            _close(awaitable)
            raise RuntimeError(
                "the user's event loop runs already, so that no blocking call may wait for it; in a coroutine, await, "
                "and name an async fixture in the signature in place of request.getfixturevalue()"
            )

    def _drive(self, work: _Work, *until: asyncio.Future[Any]) -> None:
        """Run the loop until one of the futures is done: the work's task, or what it does on the way."""
        self._awaited, self._running = until, work
        self._waits += 1
        work.interruptions = 0
        for future in until:
            future.add_done_callback(self._stop)
        is_done = False
        try:
            self._loop.run_forever()
            is_done = any(future.done() for future in until)
            if not is_done:
                if work.is_stuck:
                    raise IterationInterrupted().with_traceback(work.stuck_at)
                raise RuntimeError("the user's event loop was stopped before the coroutine ended")
        finally:
            self._awaited, self._running = (), None
            for future in until:
                future.remove_done_callback(self._stop)
            if not is_done and not work.is_over():
                self._left.append(work)

    def _stop(self, future: asyncio.Future[Any]) -> None:
        if future in self._awaited:  # else an interruption came first
            self._loop.stop()

    def _cancel(self, wait: int, patience_s: float) -> None:
        work = self._running
        if work is None or wait != self._waits:
            return
        work.interruptions += 1
        if work.is_stuck:
            work.abort()
            self._loop.stop()
            return
        work.task.cancel()
        self._loop.call_later(patience_s, self._cancel, wait, patience_s)

    async def _wind_up(self) -> list[str]:
        ours = {each.task for each in (*self._left, self._running) if each is not None}
        tasks: set[asyncio.Task[Any]] = set()
        interruption: asyncio.CancelledError | None = None
        for seconds in _LEAVE_S:
            if not (pending := asyncio.all_tasks() - ours):
                break
            tasks |= pending
            for task in pending:
                task.cancel()
            try:
                await asyncio.wait(pending, timeout=seconds)
            except asyncio.CancelledError as cancelled:  # the teardown's time is over: what is left is named first
                interruption = cancelled
        left = [_name_of(task) for task in asyncio.all_tasks() - ours]
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                message = "a task failed when the user's event loop was closed"
                self._loop.call_exception_handler({"message": message, "exception": error, "task": task})
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
        if interruption is not None and not left:
            raise interruption
        return left


class _Work:
    """A coroutine in its task. What is raised in it passes through here."""

    task: asyncio.Task[Any]

    def __init__(self, awaitable: Awaitable[Any], source: object) -> None:
        """``source`` is the user's coroutine or generator."""
        self._awaitable = awaitable
        self.source = source
        self.context: Context | None = None
        """What it had set when it ended."""
        self.interruptions = 0
        """The first one is a cancellation; with the second, IterationInterrupted is raised in it; see ``is_stuck``."""
        self.stuck_at: TracebackType | None = None
        """Where it was when it was aborted."""
        self._cancelled: asyncio.CancelledError | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether two interruptions did not reach it: it waits for a task that swallows them. It must not go on."""
        return self.interruptions > 2

    async def run(self) -> Any:
        """For the task."""
        try:
            return await self
        except asyncio.CancelledError as error:
            self._cancelled = error
            raise
        finally:
            self.context = copy_context()

    def __await__(self) -> Generator[Any, Any, Any]:
        """What the awaitable does; but a task can only be cancelled, and another exception can only be raised here."""
        steps: Any = self._awaitable.__await__()
        raised: list[BaseException] = []
        try:
            waits_for = next(steps)
            while True:
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    raised.append(error)
                if self.is_stuck:  # what it waited for has ended after all, and the user runs something else
                    raised[:] = [IterationInterrupted()]
                # Not in the except clause: what the coroutine raises later has nothing to do with that exception.
                waits_for = steps.throw(self._passed_on(raised.pop())) if raised else steps.send(sent)
        except StopIteration as end:
            return end.value

    def _passed_on(self, error: BaseException) -> BaseException:
        return IterationInterrupted() if self.interruptions > 1 and isinstance(error, asyncio.CancelledError) else error

    def result(self) -> Any:
        """What it returned; raises what it raised, or IterationInterrupted."""
        if not self.task.cancelled():
            return self.task.result()
        error = self._cancelled or asyncio.CancelledError()  # that of the task has no traceback before Python 3.11
        raise IterationInterrupted().with_traceback(error.__traceback__) if self.interruptions else error

    def is_over(self) -> bool:
        """Whether its task has ended; then an exception that has left the loop already is not reported again."""
        if self.task.done() and not self.task.cancelled():
            self.task.exception()
        return self.task.done()

    def abort(self) -> None:
        """Raise IterationInterrupted in it, past its task, which waits for what does not end."""
        self.stuck_at = _traceback_of(self.source)
        context: Context = getattr(self.task, "get_context", copy_context)()  # its own: since Python 3.12
        coroutine: Any = self.task.get_coro()
        with suppress(BaseException):  # it has failed, whatever it makes of this
            context.run(coroutine.throw, IterationInterrupted())

    def abandon(self) -> None:
        """Close it, with the loop."""
        if not self.is_over():
            _abandon(self.task)
        _close(self.source)


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


def _abandon(task: asyncio.Task[Any]) -> None:
    """Close a task that has not ended, with its loop."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # as in run_until_complete: it is known
    _close(task.get_coro())


def _name_of(task: asyncio.Task[Any]) -> str:
    """The coroutine of a task, and where it waits."""
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", task.get_name())
    place = _place_of(coroutine)
    return f"{name} at {place}" if place else name


def _frames_of(source: object) -> list[FrameType]:
    """The frames of a coroutine that waits, the innermost last."""
    frames, at = [], source
    while at is not None:
        frames.append(_first_of(at, ("cr_frame", "ag_frame", "gi_frame")))
        at = _first_of(at, ("cr_await", "ag_await", "gi_yieldfrom"))
    return [frame for frame in frames if frame is not None]


def _place_of(source: object) -> str:
    return next((place for frame in reversed(_frames_of(source)) if (place := place_of_frame(frame))), "")


def _traceback_of(source: object) -> TracebackType | None:
    """A traceback to where a coroutine waits."""
    traceback = None
    for frame in reversed(_frames_of(source)):
        traceback = TracebackType(traceback, frame, frame.f_lasti, frame.f_lineno)
    return traceback


def _first_of(found: object, names: Iterable[str]) -> Any:
    """The first of these attributes that is set."""
    return next((value for name in names if (value := getattr(found, name, None)) is not None), None)


def _take(context: Context) -> _Tokens:
    """Set in the thread's context what is different in the other one."""
    return [(variable, variable.set(value)) for variable, value in context.items() if variable.get(_UNSET) is not value]


def _take_back(tokens: _Tokens) -> None:
    for variable, token in reversed(tokens):
        variable.reset(token)


def _close(coroutine: object) -> None:
    """Close a coroutine that will not run any more; what it raises then is dropped."""
    close = getattr(coroutine, "close", None)
    if close is not None and hasattr(coroutine, "cr_frame"):
        with suppress(BaseException):
            close()


def _without_interruptions(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler: an interruption that arrives in a callback is not reported."""
    if not isinstance(context.get("exception"), IterationInterrupted):
        loop.default_exception_handler(context)
