from __future__ import annotations

from array import array
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import MS, ORIGIN, SECOND, iteration, request, step

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Recorder
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, OK, REQUEST, SETUP, STEP, Sample
from pytest_ipload.stats.windows import Windows

KEY = (REQUEST, "GET /", None, 0, OK)

samples_ = st.builds(
    lambda kind, **more: request(**more)._replace(kind=kind),
    st.sampled_from([REQUEST, STEP, ITERATION, SETUP]),
    name=st.sampled_from(["a", "b"]),
    latency_ms=st.integers(0, 3000),
    at_ms=st.integers(0, 100_000),
    outcome=st.sampled_from([OK, OK, FAILED, FAULT]),
    connections=st.integers(0, 1),
    lateness_ns=st.sampled_from([0, 5 * MS]),
)
batches = st.lists(samples_, max_size=30)


def windows(*samples: Sample, length_ms: int = 1000, warmup_ms: int = 0, planned: bool = False) -> Windows:
    result = Windows(length_ms * MS, judged_from_ns=ORIGIN + warmup_ms * MS, planned=planned)
    result.add_chunk(Chunk(list(samples), {}))
    return result


def counts(found: Windows, ended_ms: int, **where: Any) -> list[int]:
    return [table.count(**where) for _, table in found.full(ORIGIN + ended_ms * MS)]


def in_any_order(found: Windows) -> dict[str, Any]:
    plain = found.to_plain()
    for _, content in plain["windows"]:
        content[1].sort(key=str)
    return plain


def test_a_sample_belongs_to_the_window_in_which_it_ended() -> None:
    found = windows(
        request(latency_ms=999, at_ms=0),
        request(latency_ms=1000, at_ms=0),
        request(latency_ms=10, at_ms=1989),
        request(latency_ms=10, at_ms=1990),
    )
    assert counts(found, 3000) == [1, 2, 1]


@pytest.mark.parametrize(("ended_ms", "full"), [(999, 0), (1000, 1), (1001, 1), (4000, 4)])
def test_a_window_is_full_when_it_is_over_whether_it_has_samples_or_not(ended_ms: int, full: int) -> None:
    found = windows(request(at_ms=3100))
    assert [number for number, _ in found.full(ORIGIN + ended_ms * MS)] == list(range(full))
    assert counts(found, ended_ms) == [0, 0, 0, 1][:full]


def test_windows_are_counted_from_the_end_of_the_warm_up() -> None:
    found = windows(request(at_ms=900), request(at_ms=499), request(at_ms=2500), warmup_ms=500)
    assert counts(found, 3500) == [1, 0, 1]


def test_the_first_windows_may_be_left_out() -> None:
    found = windows(request(at_ms=2500))
    assert [(number, table.count()) for number, table in found.full(ORIGIN + 4 * SECOND, 2)] == [(2, 1), (3, 0)]


def test_a_fault_and_a_users_set_up_are_in_no_window() -> None:
    found = windows(request(outcome=FAULT, fault="x"), request()._replace(kind=SETUP))
    found.add_chunk(Chunk([], {(SETUP, "POST /login", None, 200, OK): array("q", [ORIGIN, MS])}))
    assert found.to_plain()["windows"] == []


def test_all_that_can_be_measured_can_be_measured_of_a_window() -> None:
    found = windows(
        request("GET /cart", 10, source_address="127.0.0.2", status=200, connections=1, connect_ns=3 * MS),
        request("GET /cart", 90, outcome=FAILED, status=503, lateness_ns=10 * MS),
        step("checkout", 40),
        iteration(70),
        planned=True,
    )
    ((_, table),) = found.full(ORIGIN + SECOND)
    assert (table.count(REQUEST, status=503), table.names(STEP)) == (1, ["checkout"])
    assert (table.response(REQUEST, outcome=FAILED).max_ns, table.phase("connect").max_ns) == (100 * MS, 3 * MS)


@given(batches, st.integers(100, 20_000), st.sampled_from([0, 2500]), st.booleans())
def test_each_window_holds_what_a_search_of_all_samples_finds(
    samples: list[Sample], length_ms: int, warmup_ms: int, planned: bool
) -> None:
    recorder = Recorder()  # some samples go as such, others by their numbers
    for sample in samples:
        recorder.record(sample)
    recorder.flush()
    judged_from_ns = ORIGIN + warmup_ms * MS
    found = Windows(length_ms * MS, judged_from_ns=judged_from_ns, planned=planned)
    for chunk in recorder.drain():
        found.add_chunk(chunk)
    end_ns = ORIGIN + 110 * SECOND
    tables = dict(found.full(end_ns))
    assert list(tables) == list(range((end_ns - judged_from_ns) // (length_ms * MS)))
    for number, table in tables.items():
        first_ns = judged_from_ns + number * length_ms * MS
        expected = Measurements(origin_ns=ORIGIN, judged_from_ns=judged_from_ns, planned=planned)
        expected.add(
            sample
            for sample in samples
            if first_ns <= sample.started_ns + sample.latency_ns < first_ns + length_ms * MS and sample.kind != SETUP
        )
        assert sorted(table.series_to_plain(), key=str) == sorted(expected.series_to_plain(), key=str)


@given(batches, batches, batches, st.integers(500, 20_000), st.booleans())
def test_merging_parts_in_any_order_is_the_same_as_the_whole(
    one: list[Sample], two: list[Sample], three: list[Sample], length_ms: int, planned: bool
) -> None:
    def part(*batch: Sample) -> Windows:
        return windows(*batch, length_ms=length_ms, warmup_ms=1000, planned=planned)

    left = part(*one)
    left.merge(part(*two))
    left.merge(part(*three))
    tail = part(*three)
    tail.merge(part(*two))
    right = part()
    right.merge(tail)
    right.merge(part(*one))
    assert in_any_order(left) == in_any_order(right) == in_any_order(part(*one, *two, *three))


def test_parts_with_another_origin_have_the_same_windows() -> None:
    whole = windows(request(at_ms=2500))
    other = Windows(SECOND, judged_from_ns=ORIGIN + 7 * SECOND, planned=False)
    other.add_chunk(Chunk([request(at_ms=7000 + 2500)], {}))
    whole.merge(other)
    assert counts(whole, 3000) == [0, 0, 2]


def test_merging_leaves_the_other_part_alone() -> None:
    part = windows(request())
    before = part.to_plain()
    whole = windows()
    whole.merge(part)
    whole.merge(part)
    assert part.to_plain() == before
    assert counts(whole, 1000) == [2]


def test_windows_of_another_length_or_plan_do_not_merge() -> None:
    with pytest.raises(ValueError, match="windows of 1000000000 ns and of 2000000000 ns"):
        windows().merge(windows(length_ms=2000))
    with pytest.raises(ValueError, match="one part of the load is planned"):
        windows(request()).merge(windows(request(), planned=True))


class TestPacking:
    """A window that is over for half a minute is kept small; nobody sees that from outside."""

    def long(self) -> Windows:
        found = windows()
        for second in range(200):
            found.add_chunk(Chunk([], {KEY: array("q", [ORIGIN + second * SECOND, (second + 1) * MS])}))
        return found

    def test_old_windows_are_packed_and_those_of_the_last_half_minute_are_not(self) -> None:
        found = self.long()
        assert sorted(found._open) == list(range(169, 200))
        assert sorted(found._packed) == list(range(169))

    def test_what_is_packed_is_as_it_was(self) -> None:
        latencies = [table.latency(REQUEST).max_ns for _, table in self.long().full(ORIGIN + 200 * SECOND)]
        assert latencies == [(second + 1) * MS for second in range(200)]

    def test_looking_at_a_window_does_not_unpack_it_for_good(self) -> None:
        found = self.long()
        assert counts(found, 200_000) == [1] * 200
        found.to_plain()
        assert len(found._packed) == 169

    def test_a_late_sample_still_finds_its_window(self) -> None:
        found = self.long()
        found.add_chunk(Chunk([request(latency_ms=500, at_ms=3000)], {}))
        assert counts(found, 200_000) == [1, 1, 1, 2] + [1] * 196
        assert 3 not in found._packed
        found.add_chunk(Chunk([request(at_ms=200_000)], {}))
        assert 3 in found._packed

    def test_long_windows_are_kept_open_as_long_as_the_one_before_may_get_samples(self) -> None:
        found = windows(*(request(at_ms=minute * 60_000) for minute in range(5)), length_ms=60_000)
        assert sorted(found._open) == [3, 4]


def test_a_search_for_a_packed_window_goes_by_number_and_not_by_age() -> None:
    found = windows(request(at_ms=100_000), request(at_ms=0))
    assert Counter(counts(found, 101_000)) == {0: 99, 1: 2}
    numbers = [number for number, _ in found.full(ORIGIN + 101 * SECOND)]
    assert all(after == before + 1 for before, after in pairwise(numbers))
