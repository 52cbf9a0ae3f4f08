from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.report.terminal.sparkline import sparkline, thinned

VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=300)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([0, 0], "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇██"),
        ([5, None, 10], "▅ █"),
        ([None], " "),
        ([3, 3], "██"),
    ],
)
def test_each_value_is_a_bar_and_none_a_gap(values: list[float | None], bars: str) -> None:
    assert sparkline(values, 80) == bars


@pytest.mark.parametrize(
    ("encoding", "bars"), [("utf-8", "▁█"), ("ascii", "_#"), ("latin-1", "_#"), (None, "_#"), ("?", "_#")]
)
def test_a_terminal_that_cannot_show_the_bars_gets_others(encoding: str | None, bars: str) -> None:
    assert sparkline([0, 1], 80, encoding) == bars


def test_a_long_row_keeps_its_peaks() -> None:
    values: list[float | None] = [1.0] * 600
    values[301] = 9.0
    assert thinned(values, 60).count(9.0) == 1
    assert thinned([None] * 30 + [2.0] * 30, 2) == [None, 2.0]


@given(VALUES, st.integers(1, 100))
def test_it_fits_and_the_largest_is_there(values: list[float | None], most: int) -> None:
    shown = thinned(values, most)
    assert len(shown) == len(sparkline(values, most)) == min(len(values), most)
    known = [value for value in values if value is not None]
    assert max((value for value in shown if value is not None), default=None) == max(known, default=None)
