from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from itertools import product
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.stats.confidence import (
    minimum_samples,
    nearest_rank,
    quantile_ranks,
    samples_to_close,
    share_interval,
)


def brute_force_ranks(count: int, q: Fraction, confidence: Fraction) -> tuple[int | None, int | None]:
    """The definition, word for word, in exact fractions."""
    tail = (1 - confidence) / 2
    pmf = [math.comb(count, k) * q**k * (1 - q) ** (count - k) for k in range(count + 1)]
    below = [sum(pmf[:k], Fraction(0)) for k in range(count + 2)]
    lower = max((rank for rank in range(1, count + 1) if below[rank] <= tail), default=None)
    upper = min((rank for rank in range(1, count + 1) if 1 - below[rank] <= tail), default=None)
    return lower, upper


@pytest.mark.parametrize(
    ("count", "q", "rank"),
    [
        (20, 0.95, 19),
        (100, 0.07, 7),
        (100, 0.55, 55),
        (1000, 0.999, 999),
        (1000, 99.9 / 100, 999),
        (10, 0, 1),
        (10, 1, 10),
        (3, 0.5, 2),
        (10**7, 0.3, 3 * 10**6),
    ],
)
def test_the_nearest_rank_is_not_moved_by_binary_fractions(count: int, q: float, rank: int) -> None:
    assert nearest_rank(count, q) == rank


@given(st.integers(1, 10**7), st.decimals(0, 1, places=5))
def test_the_nearest_rank_is_the_ceiling_of_q_times_n(count: int, q: Decimal) -> None:
    assert nearest_rank(count, float(q)) == max(1, math.ceil(Fraction(q) * count))


@pytest.mark.parametrize(
    ("q", "samples"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000), (0.3, 15), (0.9999, 100_000)]
)
def test_the_minimum_is_ten_samples_above_the_quantile(q: float, samples: int) -> None:
    assert minimum_samples(q) == samples


@pytest.mark.parametrize("count", [0, 1, 2, 5, 20, 59, 100])
def test_the_ranks_are_those_of_the_exact_binomial(count: int) -> None:
    for q, confidence in product(("0.05", "0.5", "0.75", "0.9", "0.95", "0.99"), ("0.5", "0.9", "0.95", "0.99")):
        exact = brute_force_ranks(count, Fraction(q), Fraction(confidence))
        assert quantile_ranks(count, float(q), float(confidence)) == exact, (q, confidence)


@pytest.mark.parametrize(
    ("count", "q", "ranks"),
    [
        (5, 0.5, (None, None)),
        (6, 0.5, (1, 6)),
        (71, 0.95, (63, None)),  # 0.95 ** 71 is above 2.5 %
        (72, 0.95, (64, 72)),
        (100, 0.5, (40, 61)),
    ],
)
def test_a_side_is_absent_until_there_are_enough_samples(
    count: int, q: float, ranks: tuple[int | None, int | None]
) -> None:
    assert quantile_ranks(count, q) == ranks


@pytest.mark.parametrize("q", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("count", [10**6, 10**7])
def test_large_samples_agree_with_the_normal_approximation(count: int, q: float) -> None:
    deviation = math.sqrt(count * q * (1 - q))
    lower, upper = quantile_ranks(count, q)
    assert lower == pytest.approx(count * q - 1.96 * deviation, abs=3)
    assert upper == pytest.approx(count * q + 1.96 * deviation, abs=3)


@settings(max_examples=50)
@given(st.integers(1, 5000), st.floats(0.001, 0.999), st.floats(0.5, 0.999))
def test_the_interval_encloses_the_nearest_rank(count: int, q: float, confidence: float) -> None:
    lower, upper = quantile_ranks(count, q, confidence)
    assert (lower or 1) <= nearest_rank(count, q) <= (upper or count)


@pytest.mark.parametrize(("count", "q"), [(100, 0.5), (200, 0.9), (400, 0.95)])
def test_the_interval_covers_the_true_quantile_as_often_as_promised(count: int, q: float) -> None:
    random_ = random.Random(20)
    lower, upper = quantile_ranks(count, q)
    assert lower is not None
    assert upper is not None
    rounds = 1000
    covered = 0
    for _ in range(rounds):
        values = sorted(random_.random() for _ in range(count))  # uniform: the true quantile q is q
        covered += values[lower - 1] <= q <= values[upper - 1]
    assert covered / rounds >= 0.93


@pytest.mark.parametrize(
    ("count", "q", "confidence", "complaint"),
    [
        (10, 0, 0.95, "0 is not a quantile"),
        (10, 1, 0.95, "1 is not a quantile"),
        (10, math.nan, 0.95, "nan is not a quantile"),
        (10, 0.5, 1, "1 is not a confidence"),
        (10, 0.5, 0, "0 is not a confidence"),
        (-1, 0.5, 0.95, "-1 is not a number of samples"),
    ],
)
def test_impossible_arguments_are_refused(count: int, q: float, confidence: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        quantile_ranks(count, q, confidence)


def test_a_minimum_exists_only_for_quantiles_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="is not a quantile"):
        minimum_samples(1.0)
    assert minimum_samples(math.nextafter(1, 0)) == 10**13


@settings(max_examples=100)
@given(st.floats(0.01, 0.99), st.floats(0.51, 0.999))
def test_so_many_samples_close_the_interval_and_one_less_does_not(q: float, confidence: float) -> None:
    for side, count in enumerate(samples_to_close(q, confidence)):
        assert quantile_ranks(count, q, confidence)[side] is not None
        assert quantile_ranks(count - 1, q, confidence)[side] is None


def test_the_samples_that_p95_and_the_median_want() -> None:
    assert samples_to_close(0.95) == (2, 72)
    assert samples_to_close(0.5) == (6, 6)


@pytest.mark.parametrize(
    ("part", "whole", "confidence", "low", "high"),
    [
        # Wilson's interval as the solutions of (share - p) ** 2 == z ** 2 * p * (1 - p) / n, worked out by hand for
        # n = 10 and z = 1.96; the others from the same equation.
        (0, 10, 0.95, 0.0, 0.27753),
        (1, 10, 0.95, 0.01788, 0.40415),
        (5, 10, 0.95, 0.23659, 0.76341),
        (10, 10, 0.95, 0.72247, 1.0),
        (10, 100, 0.99, 0.04603, 0.20375),
        (0, 1, 0.95, 0.0, 0.79346),
    ],
)
def test_the_interval_of_a_share_is_wilsons(part: int, whole: int, confidence: float, low: float, high: float) -> None:
    assert share_interval(part, whole, confidence) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 10**7), st.floats(0, 1), st.floats(0.51, 0.999))
def test_the_interval_of_a_share_solves_wilsons_equation(whole: int, fraction: float, confidence: float) -> None:
    part = round(fraction * whole)
    share = part / whole
    low, high = share_interval(part, whole, confidence)
    assert 0 <= low <= share <= high <= 1
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for end in (low, high):
        if 0 < end < 1:
            assert (share - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / whole, rel=1e-4, abs=1e-15)


@pytest.mark.parametrize(("count", "share"), [(200, 0.5), (500, 0.05), (1000, 0.01)])
def test_the_interval_of_a_share_covers_the_true_one_as_often_as_promised(count: int, share: float) -> None:
    random_ = random.Random(27)
    rounds = 1000
    covered = 0
    for _ in range(rounds):
        low, high = share_interval(sum(random_.random() < share for _ in range(count)), count)
        covered += low <= share <= high
    assert covered / rounds >= 0.92


@pytest.mark.parametrize(
    ("part", "whole", "confidence", "complaint"),
    [
        (0, 0, 0.95, "0 of 0 is not a share"),
        (2, 1, 0.95, "2 of 1 is not a share"),
        (-1, 5, 0.95, "-1 of 5 is not a share"),
        (1, 2, 1.0, "1.0 is not a confidence"),
    ],
)
def test_what_is_no_share_is_refused(part: int, whole: int, confidence: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        share_interval(part, whole, confidence)


@given(st.integers(10, 5000), st.sampled_from([0.05, 0.5, 0.95, 0.99]), st.floats(0.01, 1.0))
def test_samples_that_are_worth_less_have_a_wider_interval_within_the_data(count: int, q: float, worth: float) -> None:
    effective = max(1, int(count * worth))
    (low, high), (plain_low, plain_high) = quantile_ranks(count, q, 0.95, effective), quantile_ranks(count, q)
    assert low is None or 1 <= low <= min(nearest_rank(count, q), (plain_low or 1) + count // effective)
    assert high is None or max(nearest_rank(count, q), (plain_high or count) - count // effective) <= high <= count
    assert quantile_ranks(count, q, 0.95, count) == (plain_low, plain_high)


def test_a_tenth_of_the_samples_has_the_same_shares() -> None:
    assert quantile_ranks(100, 0.5) == (40, 61)
    assert quantile_ranks(1000, 0.5, effective=100) == (400, 610)
    assert quantile_ranks(1000, 0.95, effective=60) == (883, None)


def test_of_a_share_they_are_as_many_as_they_are_worth() -> None:
    assert share_interval(100, 1000, effective=100) == pytest.approx(share_interval(10, 100))
    assert share_interval(100, 1000, effective=5000) == share_interval(100, 1000)
    assert share_interval(0, 1000, effective=100) == share_interval(0, 100)
    assert share_interval(100, 100, effective=10) == pytest.approx(share_interval(10, 10))
