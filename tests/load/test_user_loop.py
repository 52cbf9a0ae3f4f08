"""The event loop of a user, in the test's own thread; interruptions come from callbacks of the loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from pytest_ipload.base.code_location import place_of_traceback
from pytest_ipload.load import user_loop
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.user_loop import UserLoop

COLOUR: ContextVar[str] = ContextVar("COLOUR", default="none")


@pytest.fixture
def loop() -> Iterator[UserLoop]:
    made = UserLoop()
    yield made
    made.close()


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


async def forever() -> None:
    await asyncio.sleep(3600)


async def deaf(until: asyncio.Event) -> None:
    """Ends when it wants to, and not when it is cancelled."""
    while not until.is_set():
        with suppress(asyncio.CancelledError):
            await until.wait()


class TestCoroutines:
    def test_run_on_one_loop_each_in_a_task_of_its_own(self, loop: UserLoop) -> None:
        async def where() -> tuple[object, object]:
            return asyncio.get_running_loop(), asyncio.current_task()

        first, second = loop.run(where()), loop.run(where())
        assert first[0] is second[0] is asyncio.get_event_loop()
        assert first[1] is not second[1]
        assert loop.run(answer()) == 42

    @pytest.mark.parametrize("kind", [KeyError, pytest.fail.Exception, KeyboardInterrupt, SystemExit, BaseException])
    def test_raise_what_they_raise_and_the_next_one_runs(self, loop: UserLoop, kind: type[BaseException]) -> None:
        async def fails() -> None:
            await asyncio.sleep(0)
            raise kind("no")

        with pytest.raises(kind) as caught:
            loop.run(fails())
        assert caught.value.__context__ is None
        assert loop.run(answer()) == 42

    def test_handle_what_others_raise_as_without_a_load(self, loop: UserLoop) -> None:
        async def fails() -> None:
            raise KeyError

        async def handles() -> None:
            with suppress(KeyError):
                await asyncio.gather(fails(), answer())
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(forever(), 0.001)
            raise ValueError

        with pytest.raises(ValueError) as caught:
            loop.run(handles())
        assert caught.value.__context__ is None

    def test_see_and_set_the_threads_context_variables(self, loop: UserLoop) -> None:
        async def paints() -> str:
            before = COLOUR.get()
            COLOUR.set("red")
            await asyncio.sleep(0)
            return before

        token = COLOUR.set("blue")
        try:
            assert loop.run(paints()) == "blue"
            assert COLOUR.get() == "red"
        finally:
            COLOUR.reset(token)

    def test_cannot_be_waited_for_by_blocking_calls(self, loop: UserLoop) -> None:
        async def blocks() -> None:
            loop.run(answer())

        with pytest.raises(RuntimeError, match=r"name an async fixture in the signature"):
            loop.run(blocks())
        gc.collect()  # an error if the inner coroutine was never awaited

    def test_that_stop_the_loop_are_said_to_have(self, loop: UserLoop) -> None:
        async def stops() -> None:
            asyncio.get_running_loop().stop()
            await forever()

        with pytest.raises(RuntimeError, match="the user's event loop was stopped before the coroutine ended"):
            loop.run(stops())


class TestFixtures:
    def test_live_in_one_task_and_one_context(self, loop: UserLoop) -> None:
        tasks = []

        async def painted() -> AsyncGenerator[str, None]:
            tasks.append(asyncio.current_task())
            token = COLOUR.set("red")
            yield "value"
            COLOUR.reset(token)
            tasks.append(asyncio.current_task())

        value, leave = loop.enter(painted(), "painted")
        assert (value, COLOUR.get()) == ("value", "red")
        leave()
        assert COLOUR.get() == "none"
        assert tasks[0] is tasks[1]

    @pytest.mark.parametrize(
        ("yields", "problem"), [(0, "fixture 'odd' did not yield a value"), (2, "fixture 'odd' yields more than once")]
    )
    def test_that_do_not_yield_once_are_errors(self, loop: UserLoop, yields: int, problem: str) -> None:
        async def odd() -> AsyncGenerator[int, None]:
            for number in range(yields):
                yield number

        with pytest.raises(ValueError, match=problem):
            loop.enter(odd(), "odd")[1]()

    def test_fail_where_they_are_set_up_or_torn_down(self, loop: UserLoop) -> None:
        async def fragile(early: bool) -> AsyncGenerator[None, None]:
            if early:
                raise KeyError("early")
            yield
            raise KeyError("late")

        with pytest.raises(KeyError, match="early"):
            loop.enter(fragile(True), "fragile")
        _, leave = loop.enter(fragile(False), "fragile")
        with pytest.raises(KeyError, match="late"):
            leave()

    def test_that_are_cancelled_while_others_run_say_so_when_they_are_torn_down(self, loop: UserLoop) -> None:
        async def group() -> AsyncGenerator[Any, None]:
            try:
                yield asyncio.current_task()
            except asyncio.CancelledError:
                raise KeyError("a member of the group failed") from None

        task, leave = loop.enter(group(), "group")

        async def cancels() -> None:
            task.cancel()
            await asyncio.sleep(0)

        loop.run(cancels())
        with pytest.raises(KeyError, match="a member of the group failed"):
            leave()


def interrupted(loop: UserLoop, body: Callable[[], Awaitable[Any]], patience_s: float = 60.0) -> Any:
    """What comes of a body that is cancelled as soon as it waits."""

    async def run() -> Any:
        asyncio.get_running_loop().call_soon(loop.cancel, patience_s)
        return await body()

    return loop.run(run())


class TestInterruption:
    def test_is_first_a_cancellation(self, loop: UserLoop) -> None:
        seen = []

        async def cleans_up() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                seen.append("cleaned")
                raise

        with pytest.raises(IterationInterrupted) as caught:
            interrupted(loop, cleans_up)
        assert seen == ["cleaned"]
        assert "test_user_loop.py" in place_of_traceback(caught.value.__traceback__)

    def test_may_make_a_body_return_or_raise(self, loop: UserLoop) -> None:
        async def returns() -> str:
            with suppress(asyncio.CancelledError):
                await forever()
            return "done"

        async def raises() -> None:
            try:
                await forever()
            except asyncio.CancelledError:
                raise KeyError("after it") from None

        assert interrupted(loop, returns) == "done"
        with pytest.raises(KeyError, match="after it"):
            interrupted(loop, raises)

    def test_is_raised_in_a_body_that_goes_on(self, loop: UserLoop) -> None:
        seen = []

        async def deaf() -> None:
            try:
                while True:
                    with suppress(asyncio.CancelledError):
                        await forever()
            finally:
                seen.append("left")

        with pytest.raises(IterationInterrupted) as caught:
            interrupted(loop, deaf, patience_s=0.01)
        assert seen == ["left"]
        assert "test_user_loop.py" in place_of_traceback(caught.value.__traceback__)

    def test_ends_a_body_that_waits_for_a_task_that_goes_on(
        self, loop: UserLoop, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended, seen = asyncio.Event(), []

        async def waits() -> None:
            try:
                await asyncio.create_task(deaf(ended))
                seen.append("it goes on")
            finally:
                seen.append("left")

        with pytest.raises(IterationInterrupted) as caught:
            interrupted(loop, waits, patience_s=0.01)
        assert seen == ["left"]
        line = waits.__code__.co_firstlineno + 2
        assert place_of_traceback(caught.value.__traceback__).endswith(f"test_user_loop.py:{line}")
        ended.set()
        loop.run(asyncio.sleep(0.01))
        assert loop.close() == []
        assert seen == ["left"]
        gc.collect()
        assert caplog.records == []

    def test_that_comes_too_late_does_not_end_what_runs_next(self, loop: UserLoop) -> None:
        async def ends() -> None:
            loop.cancel(0.001)

        loop.run(ends())
        loop.run(asyncio.sleep(0.01))

    def test_before_the_first_step_leaves_nothing_that_was_never_awaited(self, loop: UserLoop) -> None:
        asyncio.get_event_loop().call_soon(lambda: loop._cancel(loop._waits, 0.01))
        with pytest.raises(IterationInterrupted):
            loop.run(answer())
        gc.collect()  # an error if the coroutine was never awaited

    def test_reaches_only_a_loop_that_runs(self, loop: UserLoop) -> None:
        assert not loop.cancel(0.0)
        loop.close()
        assert not loop.cancel(0.0)

    def test_in_a_callback_is_not_reported_as_its_failure(
        self, loop: UserLoop, caplog: pytest.LogCaptureFixture
    ) -> None:
        def callback() -> None:
            raise IterationInterrupted

        async def calls() -> None:
            asyncio.get_running_loop().call_soon(callback)
            await asyncio.sleep(0)

        loop.run(calls())
        assert caplog.records == []


class TestPlace:
    def test_is_the_line_where_a_coroutine_or_a_fixture_waits(self, loop: UserLoop) -> None:
        async def fixture() -> AsyncGenerator[None, None]:
            await looks()
            yield

        async def looks() -> None:
            asyncio.get_running_loop().call_soon(lambda: places.append(loop.place()))
            await asyncio.sleep(0.001)  # here

        places: list[str] = []
        loop.run(looks())
        loop.enter(fixture(), "fixture")[1]()
        line = looks.__code__.co_firstlineno + 2
        assert [place.rpartition("/")[2] for place in places] == [f"test_user_loop.py:{line}"] * 2
        assert loop.place() == ""


class TestClose:
    def test_ends_tasks_generators_and_executor_threads(self, loop: UserLoop) -> None:
        seen = []

        async def background() -> None:
            try:
                await forever()
            finally:
                seen.append("task")

        async def numbers() -> AsyncGenerator[int, None]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                seen.append("generator")

        async def starts() -> Any:
            task = asyncio.create_task(background())
            generator = numbers()
            await anext(generator)
            return task, generator, await asyncio.to_thread(threading.current_thread)

        task, generator, thread = loop.run(starts())
        loop.close()
        assert seen == ["task", "generator"]
        assert task.cancelled()
        assert not thread.is_alive()
        loop.close()
        del generator

    def test_names_a_task_that_does_not_end(
        self, loop: UserLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(user_loop, "_LEAVE_S", (0.01, 0.01))

        async def starts() -> None:
            asyncio.create_task(deaf(asyncio.Event()))  # noqa: RUF006  # it is left behind
            await asyncio.sleep(0)

        loop.run(starts())
        [left] = loop.close()
        line = deaf.__code__.co_firstlineno + 4
        assert left.startswith("deaf at ")
        assert left.endswith(f"test_user_loop.py:{line}")
        gc.collect()
        assert caplog.records == []  # no "Task was destroyed but it is pending!"

    def test_names_it_also_if_it_is_interrupted(self, loop: UserLoop) -> None:
        async def starts() -> None:
            asyncio.create_task(deaf(asyncio.Event()))  # noqa: RUF006
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.01, loop.cancel, 60.0)  # when it is closed

        loop.run(starts())
        assert len(loop.close()) == 1

    def test_reports_a_task_that_fails_by_it(self, loop: UserLoop, caplog: pytest.LogCaptureFixture) -> None:
        async def background() -> None:
            try:
                await forever()
            finally:
                raise KeyError("lost")

        async def starts() -> object:
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            return task

        task = loop.run(starts())
        with caplog.at_level(logging.ERROR, "asyncio"):
            loop.close()
        [record] = caplog.records
        assert "a task failed when the user's event loop was closed" in record.message
        del task
