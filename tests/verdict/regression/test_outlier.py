"""Dixon's criterion for the newest of several values."""

from __future__ import annotations

import pytest

from pytest_ipload.verdict.regression.outlier import chance_beyond, gap_share

# W. J. Dixon, Ratios involving extreme values, Annals of Mathematical Statistics 22 (1951), table I: the values of
# r10 = gap / (gap + range) that the largest of n is above with this probability, whichever of them it is.
CRITICAL = {5: (0.557, 0.642, 0.780), 8: (0.399, 0.468, 0.590), 10: (0.349, 0.412, 0.527), 20: (0.252, 0.300, 0.391)}
PROBABILITIES = (0.10, 0.05, 0.01)


@pytest.mark.parametrize("number", CRITICAL)
def test_it_is_dixons_criterion_for_one_of_them(number: int) -> None:
    for critical, probability in zip(CRITICAL[number], PROBABILITIES, strict=True):
        share = critical / (1 - critical)
        assert chance_beyond(number - 1, share) * number == pytest.approx(probability, rel=0.03)
        assert gap_share(number - 1, probability / number) == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("seen", [3, 8, 20])
def test_to_be_the_largest_is_as_probable_for_each(seen: int) -> None:
    assert chance_beyond(seen, 0) == pytest.approx(1 / (seen + 1), rel=5e-3)
    assert gap_share(seen, 1 / seen) == 0


def test_a_smaller_probability_asks_for_a_larger_gap() -> None:
    shares = [gap_share(10, 0.01 / comparisons) for comparisons in (1, 2, 20, 200)]
    assert shares == sorted(set(shares))
