"""What lateness is left where nobody wakes up late."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.generator.lateness import PunctualUsers


def test_who_is_free_starts_in_time() -> None:
    users = PunctualUsers(2)
    assert [users.start(0), users.start(5)] == [0, 5]
    users.end(20)
    assert users.start(30) == 30


def test_where_all_are_busy_the_first_who_is_free_starts() -> None:
    users = PunctualUsers(2)
    users.start(0), users.start(5)
    users.end(25)
    assert users.start(10) == 25
    users.end(27)
    assert users.start(27) == 27
    users.end(50)
    assert users.start(60) == 60


def test_a_user_who_really_started_late_is_busy_no_longer_for_that() -> None:
    """Planned for 0 and 10, started at 40 and 60 by one user, 20 each: the second one was late by 10 only."""
    users = PunctualUsers(1)
    assert users.start(0) == 0
    users.end(20)
    assert users.start(10) == 20


def test_an_end_that_was_never_told_is_a_user_who_does_not_come_back() -> None:
    users = PunctualUsers(1)
    users.start(0)
    assert users.start(7) == 7  # there was somebody, or it would not have started


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 10), st.integers(1, 50)), max_size=60),
)
def test_of_a_generator_that_is_never_late_it_says_when_iterations_started(
    count: int, gaps_and_lengths: list[tuple[int, int]]
) -> None:
    """Against a queue with as many servers, in which each arrival takes the one who is free first."""
    users, free, running, planned = PunctualUsers(count), [0] * count, list[int](), 0
    for gap, length in gaps_and_lengths:
        planned += gap
        started = max(planned, heapq.heappop(free))
        while running and running[0] <= started:
            users.end(heapq.heappop(running))
        assert users.start(planned) == started
        heapq.heappush(free, started + length)
        heapq.heappush(running, started + length)
