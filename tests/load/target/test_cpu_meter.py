"""Processor time of processes that come and go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.target.cpu_meter import CpuMeter
from pytest_ipload.load.target.proc_text import ProcessReading


def process(pid: int, own_s: float, waited_s: float = 0.0, started: float = 1.0) -> ProcessReading:
    return ProcessReading(pid, 1, started, False, own_s, waited_s, 1, 0)


def used(*readings: list[ProcessReading]) -> list[float]:
    meter = CpuMeter()
    return [round(meter.used_s(each), 9) for each in readings]


def test_what_was_used_before_the_first_reading_does_not_count() -> None:
    assert used([process(1, 50)], [process(1, 50.5)], [process(1, 52)]) == [0, 0.5, 1.5]


def test_a_child_that_starts_counts_from_its_start() -> None:
    assert used([process(1, 5)], [process(1, 5), process(2, 0.3)]) == [0, 0.3]


def test_a_child_that_ended_is_not_counted_twice() -> None:
    before = [process(1, 5, 1), process(2, 3, 0.5)]
    assert used(before, [process(1, 5.1, 1 + 3.5 + 0.2)]) == [0, 0.3]


def test_a_child_that_came_and_went_between_two_readings_counts() -> None:
    assert used([process(1, 5, 1)], [process(1, 5, 1.4)]) == [0, 0.4]


def test_a_child_whose_parent_does_not_wait_for_it_takes_nothing_away() -> None:
    assert used([process(1, 5), process(2, 3)], [process(1, 5.2)]) == [0, 0.2]


def test_another_process_with_the_same_number_starts_from_zero() -> None:
    assert used([process(1, 5), process(2, 3)], [process(1, 5), process(2, 0.1, started=9)]) == [0, 0.1]


@given(st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=2, max_size=20))
def test_while_none_ends_it_adds_up_to_what_they_used(steps: list[list[float]]) -> None:
    meter, totals, found = CpuMeter(), [0.0, 0.0, 0.0], 0.0
    for step in steps:
        totals = [total + more for total, more in zip(totals, step, strict=True)]
        found += meter.used_s([process(pid, total) for pid, total in enumerate(totals)])
    assert found == pytest.approx(sum(map(sum, steps[1:])), abs=1e-6)
