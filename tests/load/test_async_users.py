"""Users whose bodies are coroutines, at the end of their load."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

import pytest
from support.scripted_load import Script, make

from pytest_ipload.base.errors import SetUpTimeout, TearDownTimeout
from pytest_ipload.load import deadlines, user_loop
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.stats.sample import FAILED, ITERATION, REQUEST

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_CANCEL_WAIT", 0.5)
    monkeypatch.setattr(deadlines, "_PATIENCE", 0.1)
    monkeypatch.setattr(deadlines, "_INTERRUPT_WAIT", 5.0)


async def forever() -> None:
    await asyncio.sleep(3600)


async def deaf() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await forever()


async def returns() -> None:
    with suppress(asyncio.CancelledError):
        await forever()


async def raises() -> None:
    try:
        await forever()
    except asyncio.CancelledError:
        raise KeyError("after it") from None


async def gathers() -> None:
    await asyncio.gather(forever(), deaf_once())


async def deaf_once() -> None:
    with suppress(asyncio.CancelledError):
        await forever()


async def spins() -> None:
    while True:
        time.sleep(0.001)


async def spins_in_a_callback() -> None:
    def spin() -> None:
        while True:
            time.sleep(0.001)

    asyncio.get_running_loop().call_soon(spin)
    await forever()


def load(body: Callable[[], Awaitable[object]], *, hurry: bool = False) -> tuple[Executor, Script]:
    """Two users that measure the body, for a load that is stopped as soon as both do; ``hurry`` is as by Ctrl-C."""
    running = threading.Semaphore(0)

    async def measured(user: VirtualUser) -> None:
        async with user.measure("call"):
            running.release()
            await body()

    def stop() -> None:
        if all(running.acquire(timeout=30) for _ in range(2)):
            executor.ask_to_stop("it is over", hurry=hurry)

    script = Script(body=lambda iteration: iteration.user.coroutines.settle(measured(iteration.user)))
    executor = make(script, users=2, duration=600.0, graceful_stop=600.0 if hurry else 0.02)
    executor.set_up()
    stops = threading.Thread(target=stop)
    stops.start()
    executor.run()
    stops.join()
    return executor, script


@pytest.mark.untraced
@pytest.mark.parametrize("body", [forever, deaf, returns, raises, gathers, spins, spins_in_a_callback])
def test_an_iteration_that_outlives_the_graceful_stop_counts_as_an_interrupted_one(
    body: Callable[[], Awaitable[object]],
) -> None:
    executor, script = load(body)
    assert executor.record.interrupted == 2
    assert executor.record.abandoned == []
    assert executor.record.teardown_errors == []
    assert executor.measurements.count(ITERATION) == executor.measurements.count(ITERATION, outcome=FAILED) == 2
    assert executor.measurements.count(REQUEST) == 2  # inside the iteration, not as a part of the teardown
    (group,) = executor.failures.groups()
    assert (group.type, group.count) == (IterationInterrupted.__name__, 2)
    assert group.message == "the iteration was still running after the graceful stop"
    assert body is returns or "test_async_users.py" in group.location
    assert script.count("tear_down") == 2


def test_one_that_waits_for_a_task_that_swallows_cancellations_ends_and_the_task_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_loop, "_LEAVE_S", (0.01, 0.01))

    async def waits() -> None:
        await asyncio.gather(deaf())

    executor, _ = load(waits)
    assert executor.record.interrupted == 2
    assert executor.record.abandoned == []
    assert executor.measurements.count(REQUEST) == 2
    (group,) = executor.failures.groups()
    assert (group.type, group.count) == (IterationInterrupted.__name__, 2)
    assert group.location.endswith(f"test_async_users.py:{waits.__code__.co_firstlineno + 1}")
    for user, error in executor.record.teardown_errors:
        assert isinstance(error, TearDownTimeout)
        assert f"user {user.index} left 1 task behind" in str(error)
        assert re.search(rf"deaf at \S*test_async_users.py:{forever.__code__.co_firstlineno + 1};", str(error))
    assert len(executor.record.teardown_errors) == 2


def test_one_that_hangs_in_a_blocking_call_is_abandoned_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_INTERRUPT_WAIT", 0.3)
    release = threading.Event()

    async def blocks() -> None:
        release.wait(60)

    executor, _ = load(blocks)
    assert len(executor.record.abandoned) == 2
    assert all("iterations, at" in line and "test_async_users.py" in line for line in executor.record.abandoned)
    (group,) = executor.failures.groups()
    assert "could not be interrupted" in group.message
    release.set()
    for user_thread in executor._user_threads:
        assert user_thread.thread is not None
        user_thread.thread.join(10)


def test_an_aborted_load_does_not_wait_for_the_graceful_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_HURRIED_WAIT", 5.0)
    executor, _ = load(deaf, hurry=True)
    assert executor.record.interrupted == 2
    assert executor.record.abandoned == []


def test_a_set_up_that_hangs_in_a_coroutine_is_ended_and_its_line_is_named() -> None:
    script = Script(set_up=lambda user: user.coroutines.settle(forever()))
    executor = make(script, users=1, timeout=0.02, graceful_stop=0.02)
    with pytest.raises(UserSetUpError) as caught:
        executor.set_up()
    cause = caught.value.__cause__
    assert isinstance(cause, SetUpTimeout)
    assert f"test_async_users.py:{forever.__code__.co_firstlineno + 1}" in str(cause)


def test_a_teardown_that_hangs_in_a_coroutine_is_ended() -> None:
    async def hangs() -> AsyncGenerator[None, None]:
        yield
        await forever()

    leaves: dict[int, Callable[[], None]] = {}

    def set_up(user: VirtualUser) -> None:
        leaves[user.index] = user.coroutines.open_loop().enter(hangs(), "hangs")[1]

    script = Script(set_up=set_up, tear_down=lambda user: leaves[user.index]())
    executor = make(script, users=1, iterations=1, graceful_stop=0.05)
    executor.set_up()
    executor.run()
    [(_, error)] = executor.record.teardown_errors
    assert isinstance(error, IterationInterrupted)


def test_nothing_of_a_loop_is_left() -> None:
    loops = []

    async def starts(iteration: Iteration) -> None:
        loops.append(asyncio.get_running_loop())
        iteration.user.state["task"] = asyncio.create_task(forever())
        await asyncio.to_thread(time.sleep, 0)

    before = set(threading.enumerate())
    script = Script(body=lambda iteration: iteration.user.coroutines.settle(starts(iteration)))
    executor = make(script, users=3, iterations=2)
    executor.set_up()
    executor.run()
    assert set(threading.enumerate()) <= before
    assert len(loops) == 6
    assert len(set(loops)) == 3
    assert all(loop.is_closed() for loop in loops)
    assert all(user.state["task"].cancelled() for user in script.users)
