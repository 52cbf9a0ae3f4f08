from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.stats.confidence import minimum_samples, nearest_rank, quantile_ranks


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


@pytest.mark.parametrize("confidence", ["0.5", "0.9", "0.95", "0.99"])
@pytest.mark.parametrize("q", ["0.05", "0.5", "0.75", "0.9", "0.95", "0.99"])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 20, 59, 100])
def test_the_ranks_are_those_of_the_exact_binomial(count: int, q: str, confidence: str) -> None:
    exact = brute_force_ranks(count, Fraction(q), Fraction(confidence))
    assert quantile_ranks(count, float(q), float(confidence)) == exact


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
