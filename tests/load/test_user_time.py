"""How much of the planned time users were at work."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user_time import Presence, UserTime, user_time

SECOND = 1_000_000_000


def slot(start: float = 0.0, stop: float | None = 10.0) -> UserSlot:
    return UserSlot(0, start, start, stop)


@pytest.mark.parametrize(
    ("user", "until", "planned", "missing"),
    [
        (Presence(slot(), -3.0, 0.0, 10.0), None, 10.0, 0.0),
        (Presence(slot(2.0), -3.0, 2.0, 10.0), None, 8.0, 0.0),
        (Presence(slot(2.0), 5.0, 5.0, 10.0), None, 8.0, 3.0),  # its set-up took three seconds
        (Presence(slot(2.0), 2.04, 2.04, 10.0), None, 8.0, 0.0),  # hardly worth mentioning
        (Presence(slot(2.0), -3.0, 2.9, 10.0), None, 8.0, 0.0),  # its turn on a busy generator
        (Presence(slot(2.0), -3.0, 5.0, 10.0), None, 8.0, 3.0),  # the generator kept it waiting
        (Presence(slot(2.0), -3.0), None, 8.0, 8.0),  # ... until its time was over
        (Presence(slot(2.0), 5.0, 9.0, 10.0), None, 8.0, 7.0),  # it was set up late, and then kept waiting
        (Presence(slot(), -3.0), 0.9, 0.9, 0.0),  # all was done before its turn came
        (Presence(slot(2.0), None), None, 8.0, 8.0),
        (Presence(slot(2.0), 20.0), None, 8.0, 8.0),  # set up when its time was over
        (Presence(slot(2.0), None), 5.0, 3.0, 3.0),  # the load was stopped
        (Presence(slot(6.0), None), 5.0, 0.0, 0.0),  # ... before it was to come
        (Presence(slot(), -1.0, 0.0, 4.0), None, 10.0, 0.0),  # it left by itself
        (Presence(slot(), -1.0, 0.0, 4.0, is_lost=True), None, 10.0, 6.0),
        (Presence(slot(), 3.0, 3.0, 4.0, is_done=True), None, 1.0, 0.0),  # it made all its iterations
        (Presence(slot(stop=None), 3.0, 3.0, 9.0), 8.0, 8.0, 3.0),
        (Presence(slot(stop=None), None), None, 0.0, 0.0),  # without an end there is no plan
    ],
)
def test_of_one_user(user: Presence, until: float | None, planned: float, missing: float) -> None:
    time = user_time([user], 0.0, until)
    assert (time.planned_ns, time.missing_ns) == (round(planned * SECOND), round(missing * SECOND))


def test_the_warm_up_does_not_count() -> None:
    time = user_time([Presence(slot(), 5.0, 5.0, 10.0), Presence(slot(), 1.0, 1.0, 10.0)], 2.0, None)
    assert (time.planned_ns, time.missing_ns) == (16 * SECOND, 3 * SECOND)
    assert time.missing_share == pytest.approx(3 / 16)


def test_late_and_absent_users_are_counted_apart() -> None:
    users = [
        Presence(slot(), 5.0, 5.0, 10.0),
        Presence(slot(), None),
        Presence(slot(), 11.0),
        Presence(slot(), -1.0, 0.0, 10.0),
    ]
    time = user_time(users, 0.0, None)
    assert (time.late_users, time.absent_users) == (1, 2)


_SECONDS = st.floats(0, 100)
_PRESENCES = st.builds(
    Presence,
    st.builds(slot, _SECONDS, st.none() | _SECONDS),
    st.none() | st.floats(-10, 200),
    st.none() | _SECONDS,
    st.none() | _SECONDS,
    st.booleans(),
    st.booleans(),
)


@given(st.lists(_PRESENCES, max_size=5), _SECONDS, st.none() | _SECONDS)
def test_no_more_is_missing_than_was_planned_and_parts_add_up(
    users: Sequence[Presence], judged_from: float, until: float | None
) -> None:
    whole = user_time(users, judged_from, until)
    parts = [user_time([user], judged_from, until) for user in users]
    assert sum(parts, UserTime()) == whole
    assert 0 <= whole.missing_ns <= whole.planned_ns


@pytest.mark.parametrize("numbers", [(1, 2), (-1, -1), (3, -1), (3, 1, -1), (3, 1, 0, -1)])
def test_times_that_contradict_each_other_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="user time"):
        UserTime(*numbers)
