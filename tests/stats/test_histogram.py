from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.hdr_bins import HIGHEST_US, LAST_BIN, bin_edges_us, bin_index
from pytest_ipload.stats.histogram import Histogram, record_many

HOUR_NS = HIGHEST_US * 1000
durations = st.one_of(st.integers(0, 5_000_000), st.integers(0, HOUR_NS), st.integers(0, 40).map(lambda n: 2**n))


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def merged(*parts: Histogram) -> Histogram:
    result = Histogram()
    for part in parts:
        result.merge(part)
    return result


def test_an_empty_histogram_has_no_statistics() -> None:
    empty = Histogram()
    assert (empty.count, empty.total_ns, empty.overflow) == (0, 0, 0)
    assert (empty.min_ns, empty.max_ns, empty.mean_ns, empty.quantile(0.5)) == (None, None, None, None)


def test_exact_numbers_beside_the_bins() -> None:
    histogram = histogram_of([1_499, 1_500, 3_000_001])
    assert histogram.bins == {1: 1, 2: 1, bin_index(3_000): 1}
    assert (histogram.count, histogram.total_ns) == (3, 3_003_000)
    assert (histogram.min_ns, histogram.max_ns, histogram.mean_ns) == (1_499, 3_000_001, 1_001_000)


@pytest.mark.parametrize(("ns", "us"), [(0, 0), (1, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2), (2_047_000, 2047)])
def test_values_are_rounded_to_the_nearest_microsecond(ns: int, us: int) -> None:
    assert histogram_of([ns]).bins == {us: 1}


odd_values = st.sampled_from([-2_000, -1, 0, 499, 500, HOUR_NS + 499, HOUR_NS + 500, 3 * HOUR_NS])


@given(st.lists(st.lists(st.one_of(odd_values, durations)), max_size=3), st.lists(durations))
def test_recording_many_is_the_same_as_recording_one_at_a_time(batches: list[list[int]], before: list[int]) -> None:
    histogram, other = histogram_of(before), Histogram()
    for batch in batches:
        kept = list(batch)
        record_many(batch, histogram, other)
        assert batch == kept
    values = [value for batch in batches for value in batch]
    assert histogram == histogram_of([*before, *values])
    assert other == histogram_of(values)


def test_a_negative_value_counts_as_zero() -> None:
    assert histogram_of([-5]) == histogram_of([0])


def test_a_value_above_one_hour_is_kept_in_the_last_bin_and_counted() -> None:
    histogram = histogram_of([1_000_000, HOUR_NS, 3 * HOUR_NS])
    assert histogram.overflow == 1
    assert histogram.bins[LAST_BIN] == 2
    assert histogram.max_ns == 3 * HOUR_NS
    assert histogram.value_at_rank(3) == 3 * HOUR_NS
    assert histogram.value_at_rank(2) == pytest.approx(HOUR_NS, rel=0.001)


@pytest.mark.parametrize("us", [0, 1, 2047, 2048, 2049, 4095, 4096, 1_000_000, HIGHEST_US])
def test_a_value_lies_within_the_edges_of_its_bin(us: int) -> None:
    low, high = bin_edges_us(bin_index(us))
    assert low <= us <= high
    assert high - low <= us / 1000


def test_bins_follow_each_other_without_gap() -> None:
    edges = [bin_edges_us(index) for index in range(LAST_BIN + 1)]
    assert all(high + 1 == next_low for (_, high), (next_low, _) in itertools.pairwise(edges))


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0, 0.01, 0.07, 0.5, 0.55, 0.9, 0.95, 0.999, 1]))
def test_a_quantile_is_the_nearest_rank_within_the_promised_error(values: list[int], q: float) -> None:
    rank = max(1, math.ceil(Fraction(str(q)) * len(values)))
    exact = sorted(values)[rank - 1]
    measured = histogram_of(values).quantile(q)
    assert measured is not None
    assert abs(measured - exact) <= max(exact / 1000, 500)
    assert min(values) <= measured <= max(values)


def test_p95_of_20_samples_is_the_19th() -> None:
    histogram = histogram_of([10_000_000] * 19 + [900_000_000])
    assert histogram.quantile(0.95) == pytest.approx(10_000_000, rel=0.001)
    assert histogram.quantile(0.951) == 900_000_000


@pytest.mark.parametrize("rank", [0, -1, 3])
def test_a_rank_that_does_not_exist_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match=f"no rank {rank} among 2"):
        histogram_of([1, 2]).value_at_rank(rank)


@pytest.mark.parametrize("q", [-0.1, 1.1, 95, math.nan])
def test_what_is_no_quantile_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="not a quantile"):
        Histogram().quantile(q)


groups = st.lists(durations, max_size=30)


@given(groups, groups, groups)
def test_merging_is_associative_commutative_and_the_same_as_recording_all(
    one: list[int], two: list[int], three: list[int]
) -> None:
    a, b, c = histogram_of(one), histogram_of(two), histogram_of(three)
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c)) == histogram_of([*one, *two, *three])


def test_merging_leaves_the_other_alone_and_adds_the_overflow() -> None:
    other = histogram_of([2 * HOUR_NS])
    histogram = histogram_of([2 * HOUR_NS, 1])
    histogram.merge(other)
    assert histogram.overflow == 2
    assert other == histogram_of([2 * HOUR_NS])


@given(values=st.lists(st.integers(0, 2 * 3_600_000_000_000), max_size=50), q=st.floats(0, 1))
def test_a_coarse_histogram_has_the_same_numbers_and_quantiles_less_than_a_hundredth_higher(
    values: list[int], q: float
) -> None:
    exact = histogram_of(values)
    coarse = exact.coarse()
    assert {**coarse.to_plain(), "bins": None} == {**exact.to_plain(), "bins": None}
    assert Histogram.from_plain(coarse.to_plain()).to_plain() == coarse.coarse().to_plain() == coarse.to_plain()
    low, high = exact.quantile(q), coarse.quantile(q)
    if low is not None and high is not None:
        assert low <= high <= low * 1.008 + 1000


@given(values=st.lists(durations, max_size=50))
def test_a_packed_histogram_is_the_same_afterwards(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert Histogram.unpack(histogram.pack()) == histogram


def test_a_coarse_histogram_has_128_bins_per_doubling() -> None:
    coarse = histogram_of([us * 1000 for us in range(1024, 4096)]).coarse()
    assert len(coarse.bins) == 256 + 1, "the smallest value keeps its bin"


@given(st.lists(st.one_of(durations, st.just(2 * HOUR_NS)), max_size=30))
def test_plain_values_are_lossless_also_through_json(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert Histogram.from_plain(histogram.to_plain()) == histogram
    assert Histogram.from_plain(json.loads(json.dumps(histogram.to_plain()))) == histogram


MAX_BIN = bin_index(5_000)


def bins_text(width: int, indexes: list[int], counts: list[int]) -> str:
    """The text of these bins, made by hand."""
    numbers = [bytes([width]), *(index.to_bytes(2, "little") for index in indexes)]
    return base64.b64encode(b"".join([*numbers, *(count.to_bytes(width, "little") for count in counts)])).decode()


@pytest.mark.parametrize("count", [1, 255, 256, 2**16, 2**32, 2**53 - 1])
def test_counts_of_any_width_come_back(count: int) -> None:
    histogram = Histogram()
    histogram.bins = {5: count, 3: 1}
    histogram.count, histogram.total_ns = count + 1, 5000 * count + 3000
    histogram._min_ns, histogram._max_ns = 3000, 5000
    again = Histogram.from_plain(json.loads(json.dumps(histogram.to_plain())))
    assert (again.bins, again) == (histogram.bins, histogram)


def change(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda plain: {**plain, **fields}


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: None,
        lambda plain: [],
        lambda plain: {key: value for key, value in plain.items() if key != "overflow"},
        change(extra=1),
        change(count=3),
        change(count=True),
        change(count=2.0),
        change(count=2**60),
        change(total_ns=-1),
        change(total_ns=1),
        change(total_ns=10**12),
        change(total_ns="9"),
        change(min_ns=None),
        change(min_ns=2_000),
        change(max_ns=10**9),
        change(overflow=1),
        change(overflow=-1),
        change(bins={}),
        change(bins="\N{MICRO SIGN}"),
        change(bins="A"),
        change(bins=""),
        change(bins=bins_text(3, [1, MAX_BIN], [1, 1])),
        change(bins=bins_text(1, [1], [2])),
        change(bins=bins_text(1, [1, MAX_BIN], [1])),
        change(bins=bins_text(1, [MAX_BIN, 1], [1, 1])),
        change(bins=bins_text(1, [1, 1], [1, 1])),
        change(bins=bins_text(1, [1, LAST_BIN + 1], [1, 1])),
        change(bins=bins_text(1, [1, MAX_BIN], [2, 0])),
        change(bins=bins_text(8, [1, MAX_BIN], [1, 2**53 + 1])),
        change(bins=bins_text(1, [], []), count=0, total_ns=0),
    ],
)
def test_plain_values_that_are_wrong_or_contradict_each_other_are_refused(damage: Callable[[Any], object]) -> None:
    plain = histogram_of([1_000, 5_000_000]).to_plain()
    assert plain["bins"] == bins_text(1, [1, MAX_BIN], [1, 1])
    with pytest.raises(ValueError, match="histogram"):
        Histogram.from_plain(damage(plain))


def test_an_overflow_without_a_large_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        Histogram.from_plain({**histogram_of([HOUR_NS]).to_plain(), "overflow": 1})


def test_equal_means_equal_in_every_number() -> None:
    assert histogram_of([5_000]) == histogram_of([5_000])
    assert histogram_of([5_000]) != histogram_of([5_001])
    assert histogram_of([]) != {}
    assert repr(histogram_of([5_000])) == "<Histogram count=1 min_ns=5000 max_ns=5000>"
