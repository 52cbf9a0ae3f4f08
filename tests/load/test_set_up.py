"""How many set-ups run at once, and how long each may take."""

from __future__ import annotations

import pytest

from pytest_ipload.load.awaited_work import OwnThread, awaited_work
from pytest_ipload.load.set_up import SET_UPS_AT_ONCE, STALLED_S, SetUpLimit, SetUpPace, SetUps
from pytest_ipload.load.user import VirtualUser

SECOND = 1_000_000_000


class TestPace:
    def test_so_many_run_at_once(self) -> None:
        pace = SetUpPace()
        assert pace.room(0, 0, 0) == SET_UPS_AT_ONCE
        assert pace.room(SET_UPS_AT_ONCE, 0, 1) == 0
        assert pace.room(SET_UPS_AT_ONCE - 2, 2, 2) == 2

    def test_users_that_do_not_count_make_room(self) -> None:
        assert SetUpPace().room(-3, 0, 0) == SET_UPS_AT_ONCE + 3

    def test_where_none_gets_on_more_may_begin_until_one_does(self) -> None:
        pace = SetUpPace()
        stalled_ns = round(STALLED_S * SECOND)
        pace.room(0, 0, 0)
        assert pace.room(SET_UPS_AT_ONCE, 0, stalled_ns - 1) == 0
        assert pace.room(SET_UPS_AT_ONCE, 0, stalled_ns) == SET_UPS_AT_ONCE
        assert pace.room(2 * SET_UPS_AT_ONCE, 0, 2 * stalled_ns - 1) == 0
        assert pace.room(2 * SET_UPS_AT_ONCE, 0, 2 * stalled_ns) == SET_UPS_AT_ONCE
        assert pace.room(2 * SET_UPS_AT_ONCE, 1, 2 * stalled_ns + 1) == 0


@pytest.mark.parametrize(
    ("stirred_s", "deadline_s"),
    [
        (None, 160),
        (90, 160),  # a request of what came before
        (130, 190),
        (5000, 700),  # it does not go on for ever, whatever happens in it
    ],
)
def test_a_set_up_ends_when_nothing_happens_in_it_or_it_takes_ten_times_as_long(
    stirred_s: int | None, deadline_s: int
) -> None:
    stirred_ns = None if stirred_s is None else stirred_s * SECOND
    assert SetUpLimit(60.0).deadline_ns(100 * SECOND, stirred_ns) == deadline_s * SECOND


def test_set_ups_add_up() -> None:
    assert SetUps(5, 4, 1) + SetUps(3, 3, 0) == SetUps(8, 7, 1)


@pytest.mark.parametrize("numbers", [(1, 2, 0), (3, 1, 2), (3, 1, -1)])
def test_set_ups_that_contradict_each_other_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="set-ups"):
        SetUps(*numbers)


def test_a_set_up_that_waits_for_work_of_ours_is_not_idle() -> None:
    limit = SetUpLimit(60.0)
    assert limit.deadline_ns(100 * SECOND, 110 * SECOND, awaits_work=True) == 700 * SECOND
    user = VirtualUser(0, seed=0, source_addresses=(), record=lambda sample: None)
    seen: list[bool] = []

    def work() -> None:
        with awaited_work():
            seen.append(user.awaits_work)

    thread = OwnThread(target=work)
    thread.user = user
    thread.start()
    thread.join()
    assert seen == [True]
    assert user.stirred_ns is not None  # from now on, it has its usual time
    assert not user.awaits_work
