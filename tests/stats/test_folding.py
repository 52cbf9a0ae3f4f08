"""Samples that are folded together, for speed, give what they give one at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import ORIGIN, SECOND, iteration, measurements, request

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, OK, REQUEST, SETUP, STEP, Problem, Sample

kinds = st.builds(
    Sample,
    st.sampled_from([REQUEST, STEP, SETUP, ITERATION]),
    st.sampled_from(["a", "b"]),
    st.just(0),
    st.just(0),
    st.sampled_from([OK, FAILED]),
    st.sampled_from([0, 200, 503]),
    st.sampled_from([None, "127.0.0.2"]),
    redirects=st.integers(0, 2),
    connections=st.integers(0, 2),
    connect_ns=st.one_of(st.none(), st.integers(0, 1_000_000)),
    lateness_ns=st.integers(0, 1_000_000),
    retries=st.integers(0, 2),
)
faults = st.builds(
    lambda fault, message: request(outcome=FAULT, fault=fault, problem=Problem("OSError", message, "")),
    st.sampled_from([None, "ports-exhausted", "too-many-files"]),
    st.sampled_from(["one", "two"]),
)
odd_ones = st.lists(st.one_of(faults, st.sampled_from([request("c"), request("c", at_ms=-5)])), max_size=3)


def chunk_of(like: Sequence[Sample], draw: random.Random) -> list[Sample]:
    """A user's samples, each being like one of two, with times of their own."""
    return [
        draw.choice(like)._replace(
            started_ns=ORIGIN + draw.randrange(SECOND), latency_ns=round(10 ** draw.uniform(2, 9.5))
        )
        for _ in range(120)
    ]


@given(st.integers(0, 2**32), st.tuples(kinds, kinds), odd_ones, st.booleans(), st.sampled_from([0, 500]))
def test_a_chunk_gives_the_same_as_its_samples_one_at_a_time(
    seed: int, like: tuple[Sample, Sample], odd: list[Sample], planned: bool, warmup_ms: int
) -> None:
    chunk = chunk_of(like, random.Random(seed))
    chunk[50:50] = odd  # of the warm-up, of other series, or faults
    together = measurements(chunk, warmup_ms=warmup_ms, planned=planned)
    one_at_a_time = measurements([], warmup_ms=warmup_ms, planned=planned)
    for sample in chunk:
        one_at_a_time.add([sample])
    # The order of names, addresses and faults is a part of it, and so are the messages of the first faults.
    assert repr(together.to_plain()) == repr(one_at_a_time.to_plain())


def test_an_ordinary_chunk_is_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = [make(latency_ms=at % 7, at_ms=at) for at in range(256) for make in (request, iteration)]
    expected = measurements(chunk).to_plain()
    monkeypatch.delattr(Histogram, "record")  # what takes one value
    monkeypatch.delattr(Measurements, "_add_each")
    assert measurements(chunk).to_plain() == expected


@given(st.integers(0, 2**32), st.tuples(kinds, kinds), odd_ones, st.booleans(), st.sampled_from([0, 500]))
def test_the_chunks_of_a_recorder_give_the_same_as_its_samples_one_at_a_time(
    seed: int, like: tuple[Sample, Sample], odd: list[Sample], planned: bool, warmup_ms: int
) -> None:
    ordinary = [each._replace(outcome=OK, redirects=0, connections=0, lateness_ns=0, retries=0) for each in like]
    samples = [*chunk_of(like, random.Random(seed)), *odd, *chunk_of(ordinary, random.Random(seed))]
    recorder, together = Recorder(), measurements([], warmup_ms=warmup_ms, planned=planned)
    for sample in samples:
        recorder.record(sample)
    recorder.flush()
    for chunk in recorder.drain():
        together.add_chunk(chunk)
    one_at_a_time = measurements([], warmup_ms=warmup_ms, planned=planned)
    for sample in samples:
        one_at_a_time.add([sample])
    assert in_any_order(together) == in_any_order(one_at_a_time)


def in_any_order(measured: Measurements) -> dict[str, object]:
    """All of it, but for what came first."""
    plain = measured.to_plain()
    return {**plain, "series": sorted(plain["series"], key=repr), "faults": set(plain["faults"])}


def test_seconds_that_are_over_are_packed_and_can_still_be_added_to() -> None:
    samples = [request("a", at_ms=1000 * second + 1) for second in range(30)]
    measured = measurements(samples)
    assert [number for number, second in measured.seconds.items() if second._latency._packed is None] == list(
        range(20, 30)
    )
    measured.add([request("a", at_ms=2)])
    assert [measured.seconds[number].latency.count for number in (0, 1)] == [2, 1]
