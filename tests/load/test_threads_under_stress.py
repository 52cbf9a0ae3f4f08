"""What users share, with a switch of threads after nearly every step: nothing is lost, nothing lands with another user.

It holds by locks, or by operations of dict, list and deque that are one step also on free-threaded Python (see
docs/how-it-works.md); a ``+=`` on shared state would fail here.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from support.scripted_load import Script, run

from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.failure_log import FailureLog
from pytest_ipload.load.iterations import IterationQuota
from pytest_ipload.stats.collector import Pieces, SampleCollector
from pytest_ipload.stats.evidence.keeper import EvidenceKeeper
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST, Problem, timed_sample
from pytest_ipload.transport.message.reply_head import ReplyHeads
from pytest_ipload.transport.path_log import FastPathLog

THREADS, TIMES = 8, 400
LONG_S = 60.0


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], object]) -> None:
    """Call it in all threads, with the thread's number; what they raise is raised here."""
    ready, errors = threading.Barrier(THREADS), list[BaseException]()

    def one(number: int) -> None:
        try:
            ready.wait(LONG_S)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    if errors:
        raise errors[0]


def test_a_load_counts_each_iteration_and_each_request_with_its_user() -> None:
    def body(iteration: object) -> None:
        user = iteration.user  # type: ignore[attr-defined]
        with user.measure(f"of user {user.index}"):
            pass

    executor = run(Script(body=body), users=THREADS, iterations=TIMES // 4)
    measured = executor.measurements
    assert measured.count(ITERATION, outcome=OK) == THREADS * TIMES // 4
    assert [measured.count(REQUEST, name=f"of user {number}") for number in range(THREADS)] == [TIMES // 4] * THREADS


def test_samples_are_collected_while_they_are_recorded() -> None:
    recorders = [Recorder() for _ in range(THREADS)]
    collector = SampleCollector(False, Pieces(), lambda: None)
    collector.begin(0, 0, None)
    left = threading.Semaphore(0)

    def record(number: int) -> None:
        if number == 0:  # the collector's thread
            while not all(left.acquire(timeout=0.001) for _ in range(1, THREADS)):
                collector.collect(recorders)
            return
        recorder = recorders[number]
        for turn in range(TIMES):
            # Each second begins another chunk, so that many change hands.
            recorder.tally((REQUEST, f"of {number}", None, 200, OK), turn * 300_000_000, number)
            if turn % 10 == 0:
                recorder.record(timed_sample(REQUEST, f"of {number}", turn, number, FAILED))
        recorder.flush()
        left.release(THREADS)

    at_once(record)
    collector.collect(recorders)
    for number in range(1, THREADS):
        assert collector.measurements.count(REQUEST, name=f"of {number}", outcome=OK) == TIMES
        assert collector.measurements.count(REQUEST, name=f"of {number}", outcome=FAILED) == TIMES // 10


def test_shared_iterations_and_arrivals_are_each_taken_once() -> None:
    quota = IterationQuota(THREADS * TIMES - 1)
    arrivals = ArrivalQueue(iter(range(THREADS * TIMES)), None, lambda: None)
    taken: list[list[float | None]] = [[] for _ in range(THREADS)]
    quotas = [0] * THREADS

    def take(number: int) -> None:
        for _ in range(TIMES):
            taken[number].append(arrivals.take(0.0))
            arrivals.start()
            with arrivals.waiting():
                quotas[number] += quota.take()

    at_once(take)
    assert Counter(chain.from_iterable(taken)) == Counter(range(THREADS * TIMES))
    assert arrivals.started == THREADS * TIMES
    assert sum(quotas) == THREADS * TIMES - 1
    assert quota.over.is_set()


def test_failures_and_calls_off_the_fast_path_are_all_counted() -> None:
    failures, calls = FailureLog(), FastPathLog()

    def fail(number: int) -> None:
        for turn in range(TIMES):
            failures.add_problem(Problem("Error", "it", f"place {turn % 3}"), number, turn, None)
            calls.add(f"hook {turn % 2}")

    at_once(fail)
    assert sum(group.count for group in failures.groups()) == THREADS * TIMES
    assert len(failures.groups()) == 3
    assert calls.calls() == {"hook 0": THREADS * TIMES // 2, "hook 1": THREADS * TIMES // 2}


class _User:
    def __init__(self, number: int) -> None:
        self.index = self.iteration = number
        self.is_iterating = True


def test_the_slowest_and_the_first_failed_requests_are_kept_and_no_more() -> None:
    keeper = EvidenceKeeper(5, lambda: 0)

    def offer(number: int) -> None:
        user = _User(number)
        for turn in range(TIMES):
            latency_ns = (turn * 7919 % TIMES) * THREADS + number + 1
            keeper.offer_slow(timed_sample(REQUEST, f"n{turn % 2}", turn, latency_ns, OK), user, None)
            keeper.offer_failed(timed_sample(REQUEST, f"n{turn % 2}", turn, latency_ns, FAILED), user, None)

    at_once(offer)
    found: dict[tuple[str, str], list[int]] = {}
    for kind, kept in keeper.kept():
        assert (kept.sample.latency_ns - 1) % THREADS == kept.user
        found.setdefault((kind, kept.sample.name), []).append(kept.sample.latency_ns)
    assert [len(latencies) for latencies in found.values()] == [5] * 4
    for name in (0, 1):
        offered = {(turn * 7919 % TIMES) * THREADS + n + 1 for turn in range(name, TIMES, 2) for n in range(THREADS)}
        assert found["slow", f"n{name}"] == sorted(offered, reverse=True)[:5]


def test_a_cache_that_is_emptied_all_the_time_gives_each_its_own() -> None:
    heads = ReplyHeads()

    def look(number: int) -> None:
        for turn in range(TIMES):
            head = heads[b"HTTP/1.1 200 OK\r\nContent-Length: %d" % (number * TIMES + turn)]
            assert head is not None
            assert head.length == number * TIMES + turn

    at_once(look)
