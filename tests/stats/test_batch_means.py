from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.batch_means import effective_samples, joined
from pytest_ipload.stats.student_t import student_t_quantile


def test_even_spans_are_worth_as_much_as_independent_samples() -> None:
    assert effective_samples([(5, 100)] * 10, 0.95) == 1000
    assert effective_samples([(5, 100)] * 30, 0.95) == 3000


def test_what_spans_differ_by_is_taken_off() -> None:
    # p = 0.1, and each span is off by 10 of 100: its variance is 10 / 9 * 10 * 100 / 1000 ** 2, that of independent
    # samples 0.1 * 0.9 / 1000, a twelfth of it; pairs are even. Ten spans have 9 degrees of freedom.
    spans = [(0, 100), (20, 100)] * 5
    inflation = 10 / 9 * 10 * 100 / 1000**2 / (0.1 * 0.9 / 1000) * (student_t_quantile(0.975, 9) / 1.959964) ** 2
    assert effective_samples(spans, 0.95) == int(1000 / inflation)


def test_noise_that_lasts_for_longer_than_a_span_shows_in_pairs() -> None:
    short, long = [(0, 100), (20, 100)] * 5, [(0, 100), (0, 100), (20, 100), (20, 100)] * 2 + [(10, 100)] * 2
    alone, lasting = effective_samples(short, 0.95), effective_samples(long, 0.95)
    assert alone is not None
    assert lasting is not None
    assert lasting < alone / 1.5


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [(5, 100)] * 9,  # too few spans
        [(0, 100)] * 10,  # no events
        [(100, 100)] * 10,
        [*[(1, 100)] * 9, (0, 100)],  # nine events
        [(500, 10_000), *[(0, 1)] * 9],  # all in one span
        [*[(50, 1000)] * 4, *[(0, 0)] * 6],  # most spans are empty
    ],
)
def test_where_spans_do_not_tell_there_is_no_number(cells: list[tuple[int, int]]) -> None:
    assert effective_samples(cells, 0.95) is None


def test_the_start_of_a_load_may_be_slow() -> None:
    assert effective_samples([(5 * number, 100 * number) for number in range(1, 11)], 0.95) is not None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=60), st.floats(0.5, 0.999))
def test_it_is_never_more_than_there_are(cells: list[tuple[int, int]], confidence: float) -> None:
    spans = [(part, part + rest) for part, rest in cells]
    effective = effective_samples(spans, confidence)
    assert effective is None or 1 <= effective <= sum(whole for _, whole in spans)


@given(st.integers(1, 100), st.integers(1, 20))
def test_joining_keeps_all_and_makes_them_as_equal_as_can_be(cells: int, number: int) -> None:
    spans = joined([(1, 2)] * cells, number)
    assert len(spans) == min(cells, number)
    assert (sum(part for part, _ in spans), sum(whole for _, whole in spans)) == (cells, 2 * cells)
    assert max(part for part, _ in spans) - min(part for part, _ in spans) <= 1


def test_for_errors_in_bursts_it_says_how_many_bursts_there_are() -> None:
    rng = random.Random(1)
    cells = [(sum(50 for _ in range(10) if rng.random() < 0.2), 2000) for _ in range(30)]
    effective = effective_samples(cells, 0.95)
    assert effective is not None
    assert 60_000 / 50 / 8 < effective < 60_000 / 50 * 1.5
