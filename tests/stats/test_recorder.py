from __future__ import annotations

import threading

import pytest

from pytest_ipload.stats.recorder import CHUNK_SAMPLES, Recorder
from pytest_ipload.stats.sample import REQUEST, Sample

SECOND = 1_000_000_000


def sample(number: int, ended_ns: int = 0, latency_ns: int = 0) -> Sample:
    return Sample(REQUEST, str(number), ended_ns - latency_ns, latency_ns)


def names(samples: list[Sample]) -> list[int]:
    return [int(each.name) for each in samples]


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
