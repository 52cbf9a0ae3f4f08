from __future__ import annotations

import threading
from typing import Any

import pytest

from pytest_ipload.stats.recorder import CHUNK_SAMPLES, KEPT_NS, KEPT_REQUESTS, Chunk, Recorder
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, LATENESS, OK, REQUEST, Problem, Sample

SECOND = 1_000_000_000


def sample(number: int, ended_ns: int = 0, latency_ns: int = 0) -> Sample:
    """One that is kept whole."""
    return Sample(REQUEST, str(number), ended_ns - latency_ns, latency_ns, redirects=1)


ORDINARY = Sample(REQUEST, "GET /", 5, 10, OK, 200, "127.0.0.1")
PROBLEM = Problem("HTTP 500", "no", "test.py:1")


def names(chunks: list[Chunk]) -> list[int]:
    return [int(each.name) for chunk in chunks for each in chunk.all_samples()]


def test_a_chunk_is_handed_over_when_it_is_full() -> None:
    recorder = Recorder()
    for number in range(CHUNK_SAMPLES - 1):
        recorder.record(sample(number))
    assert recorder.drain() == []
    recorder.record(sample(CHUNK_SAMPLES - 1))
    assert names(recorder.drain()) == list(range(CHUNK_SAMPLES))
    assert recorder.drain() == []


def test_a_chunk_is_handed_over_when_its_first_sample_is_older_than_a_second() -> None:
    recorder = Recorder()
    recorder.record(sample(0, ended_ns=5 * SECOND))
    recorder.record(sample(1, ended_ns=6 * SECOND))
    assert recorder.drain() == []
    recorder.record(sample(2, ended_ns=6 * SECOND + 1))
    assert names(recorder.drain()) == [0, 1, 2]
    recorder.record(sample(3, ended_ns=7 * SECOND))  # a new chunk has a new age
    assert recorder.drain() == []


def test_age_is_counted_from_end_to_end_so_a_long_iteration_makes_no_small_chunks() -> None:
    recorder = Recorder()
    recorder.record(sample(0, ended_ns=60 * SECOND, latency_ns=60 * SECOND))
    recorder.record(sample(1, ended_ns=60 * SECOND + 1))
    assert recorder.drain() == []


@pytest.mark.parametrize(
    "other",
    [
        {"redirects": 1},
        {"connections": 1, "connect_ns": 2, "tls_ns": 3, "first_byte_ns": 4},
        {"outcome": FAILED, "problem": PROBLEM},
        {"outcome": FAULT, "fault": "ports-exhausted", "problem": PROBLEM},
        {"lateness_ns": 7},
        {"retries": 1},
    ],
)
def test_of_ordinary_samples_the_times_are_kept_and_others_are_kept_whole(other: dict[str, Any]) -> None:
    recorder, unusual = Recorder(), ORDINARY._replace(**other)
    ordinary = [ORDINARY._replace(started_ns=number) for number in range(3)]
    for each in (*ordinary, unusual):
        recorder.record(each)
    recorder.flush()
    [chunk] = recorder.drain()
    assert chunk.samples == [unusual]
    assert [list(times) for times in chunk.times.values()] == [[0, 10, 1, 10, 2, 10]]
    assert chunk.all_samples() == [unusual, *ordinary]


def test_a_name_for_each_sample_does_not_make_an_array_for_each() -> None:
    recorder = Recorder()
    samples = [ORDINARY._replace(name=str(number)) for number in range(100)]
    for each in samples:
        recorder.record(each)
    recorder.flush()
    [chunk] = recorder.drain()
    assert len(chunk.times) == 16
    assert sorted(chunk.all_samples()) == sorted(samples)


def test_a_chunk_of_ordinary_samples_is_handed_over_when_one_kind_is_full() -> None:
    recorder = Recorder()
    for _ in range(CHUNK_SAMPLES - 1):
        recorder.record(ORDINARY)
    assert recorder.drain() == []
    recorder.record(ORDINARY)
    assert [len(chunk.all_samples()) for chunk in recorder.drain()] == [CHUNK_SAMPLES]


def test_flush_hands_over_the_rest_once() -> None:
    recorder = Recorder()
    recorder.flush()
    recorder.record(sample(0))
    recorder.flush()
    recorder.flush()
    assert names(recorder.drain()) == [0]


@pytest.mark.parametrize("collectors", [1, 3])
def test_nothing_is_lost_and_nothing_comes_twice(collectors: int) -> None:
    per_owner = 4 * CHUNK_SAMPLES + 17
    recorders = [Recorder() for _ in range(4)]
    done = threading.Event()
    taken: list[list[int]] = [[] for _ in range(collectors)]

    def own(first: int, recorder: Recorder) -> None:
        for number in range(first, first + per_owner):
            recorder.record(sample(number))
        recorder.flush()

    def collect(out: list[int]) -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            for recorder in recorders:
                out.extend(names(recorder.drain()))

    owners = [threading.Thread(target=own, args=(i * per_owner, each)) for i, each in enumerate(recorders)]
    gatherers = [threading.Thread(target=collect, args=(out,)) for out in taken]
    for thread in (*gatherers, *owners):
        thread.start()
    for thread in owners:
        thread.join(30)
    done.set()
    for thread in gatherers:
        thread.join(30)
    assert sorted(number for out in taken for number in out) == list(range(4 * per_owner))


class TestTakeOver:
    """The owner does not come back."""

    def test_what_it_holds_is_handed_over_once(self) -> None:
        recorder = Recorder()
        recorder.record(sample(0))
        recorder.record(ORDINARY)
        recorder.take_over()
        assert [each.name for chunk in recorder.drain() for each in chunk.all_samples()] == ["0", "GET /"]
        recorder.flush()
        assert recorder.drain() == []

    def test_a_start_without_its_latency_is_left_out(self) -> None:
        recorder = Recorder()
        recorder.record(ORDINARY)
        [times] = recorder._times.values()
        times.append(7)
        recorder.take_over()
        [chunk] = recorder.drain()
        assert [(each.started_ns, each.latency_ns) for each in chunk.all_samples()] == [(5, 10)]

    def test_a_chunk_that_was_just_handed_over_is_not_handed_over_again(self) -> None:
        recorder = Recorder()
        recorder.record(sample(0))
        recorder._outbox.append(Chunk(recorder._samples, recorder._times))  # it was stopped in the midst of ``flush``
        recorder.take_over()
        assert names(recorder.drain()) == [0]

    def test_of_one_that_holds_nothing_there_is_nothing(self) -> None:
        recorder = Recorder()
        recorder.take_over()
        assert recorder.drain() == []


def test_lateness_goes_with_the_sample_of_its_iteration() -> None:
    recorder = Recorder()
    recorder.record(ORDINARY)
    recorder.note_lateness(9 * SECOND, 7)  # that hands nothing over by itself, however late it is
    assert recorder.drain() == []
    recorder.flush()
    [chunk] = recorder.drain()
    assert chunk.all_samples() == [ORDINARY, Sample(LATENESS, "", 9 * SECOND, 7)]


def test_requests_of_the_running_iteration_can_be_taken_back_after_others_were_handed_over() -> None:
    recorder = Recorder(keeps_requests=True)
    iteration = ORDINARY._replace(kind=ITERATION, name="")
    for second in range(3):
        recorder.record(ORDINARY._replace(started_ns=second * SECOND))
        recorder.record(iteration._replace(started_ns=second * SECOND, latency_ns=20))
    opened = ORDINARY._replace(started_ns=3 * SECOND, connections=1, connect_ns=1)
    for sample in (opened, ORDINARY._replace(started_ns=4 * SECOND), ORDINARY._replace(started_ns=5 * SECOND)):
        recorder.record(sample)
    handed_over = [each.started_ns for chunk in recorder.drain() for each in chunk.all_samples()]
    assert max(handed_over) == 2 * SECOND
    assert recorder.take_back(2 * SECOND, 10) is None
    assert recorder.take_back(3 * SECOND, 10) == opened
    assert recorder.take_back(4 * SECOND, 10) == ORDINARY._replace(started_ns=4 * SECOND)
    assert recorder.take_back(4 * SECOND, 10) is None
    recorder.flush()
    assert [each.started_ns for chunk in recorder.drain() for each in chunk.all_samples()] == [5 * SECOND]


def test_a_long_iteration_keeps_few_requests_and_not_for_long() -> None:
    recorder = Recorder(keeps_requests=True)
    for number in range(10 * KEPT_REQUESTS):
        recorder.record(ORDINARY._replace(started_ns=number))
    handed_over = sum(len(chunk.all_samples()) for chunk in recorder.drain())
    assert handed_over >= 8 * KEPT_REQUESTS
    recorder.record(ORDINARY._replace(started_ns=KEPT_NS + 10 * KEPT_REQUESTS + SECOND))
    assert handed_over + sum(len(chunk.all_samples()) for chunk in recorder.drain()) == 10 * KEPT_REQUESTS


def test_numbers_of_the_tests_own_change_hands_with_the_samples() -> None:
    recorder = Recorder()
    recorder.note_value(("count", "sold"), 5, 2.5)
    recorder.note_value(("count", "sold"), 6, 1)
    assert recorder.drain() == []
    recorder.note_value(("gauge", "queue"), 7 + SECOND, -1)
    [chunk] = recorder.drain()
    assert {key: (list(times), list(numbers)) for key, (times, numbers) in chunk.values.items()} == {
        ("count", "sold"): ([5, 6], [2.5, 1]),
        ("gauge", "queue"): ([7 + SECOND], [-1]),
    }
