from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from pytest_ipload.load.arrivals import ArrivalQueue


def queue(*due: float, end: float | None = None) -> tuple[ArrivalQueue, list[str]]:
    dry: list[str] = []
    return ArrivalQueue(iter(due), end, lambda: dry.append("dry")), dry


def test_each_start_is_taken_once_in_order_whether_it_is_late_or_not() -> None:
    arrivals, _ = queue(0.0, 0.5, 1.0)
    assert [arrivals.take(now=0.7) for _ in range(4)] == [0.0, 0.5, 1.0, None]


def test_nothing_is_taken_after_the_end() -> None:
    arrivals, _ = queue(0.0, 0.5, end=2.0)
    assert arrivals.take(now=1.999) == 0.0
    assert arrivals.take(now=2.0) is None


@pytest.mark.parametrize(
    ("now", "limit", "expected"), [(0.0, 9, 1), (0.9, 9, 2), (5.0, 9, 4), (5.0, 2, 2), (5.0, 0, 0)]
)
def test_what_is_overdue_is_counted_up_to_a_limit_and_not_lost(now: float, limit: int, expected: int) -> None:
    arrivals, _ = queue(0.0, 0.5, 1.0, 1.5)
    assert arrivals.overdue(now, limit) == expected
    assert [arrivals.take(now=now) for _ in range(5)] == [0.0, 0.5, 1.0, 1.5, None]


def test_no_more_is_looked_at_than_is_asked_for() -> None:
    seen: list[float] = []

    def due() -> Iterator[float]:
        for number in count():
            seen.append(float(number))
            yield float(number)

    arrivals = ArrivalQueue(due(), None, lambda: None)
    assert arrivals.overdue(1e9, limit=3) == 3
    assert len(seen) <= 5


def test_the_last_one_who_was_free_says_so() -> None:
    arrivals, dry = queue(0.0)
    assert arrivals.is_dry
    with arrivals.waiting():
        with arrivals.waiting():
            assert not arrivals.is_dry
        assert dry == []
        assert not arrivals.is_dry
    assert dry == ["dry"]
    assert arrivals.is_dry


def test_many_threads_take_each_start_once() -> None:
    arrivals = ArrivalQueue(iter(map(float, range(4000))), None, lambda: None)
    taken: list[list[float]] = [[] for _ in range(8)]

    def take(mine: list[float]) -> None:
        while (due := arrivals.take(0.0)) is not None:
            mine.append(due)
            arrivals.start()
            arrivals.overdue(2000.0, 5)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(due for mine in taken for due in mine) == list(map(float, range(4000)))
    assert all(mine == sorted(mine) for mine in taken)
    assert arrivals.started == 4000


@pytest.mark.parametrize(
    ("now", "room", "coming", "expected"),
    [
        (5.0, 9, 0, 4),  # one for each that waits
        (5.0, 2, 0, 2),
        (5.0, 0, 0, 0),
        (5.0, 9, 3, 1),  # three are being set up already
        (5.0, 9, 9, 0),
        (-1.0, 9, 0, 1),  # nothing is due, but nobody is free: one to spare
        (-1.0, 9, 1, 0),
        (9.0, 9, 0, 0),  # the load is over
    ],
)
def test_as_many_users_as_are_of_use(now: float, room: int, coming: int, expected: int) -> None:
    arrivals, _ = queue(0.0, 0.5, 1.0, 1.5, end=9.0)
    assert arrivals.users_wanted(now, room, coming) == expected


def test_nobody_to_spare_is_needed_while_somebody_is_free() -> None:
    arrivals, _ = queue(0.0)
    with arrivals.waiting():
        assert arrivals.users_wanted(-1.0, room=9, coming=0) == 0


def test_nobody_to_spare_is_needed_when_there_are_no_arrivals_left() -> None:
    arrivals, _ = queue(0.0)
    assert arrivals.take(0.0) == 0.0
    assert arrivals.users_wanted(1.0, room=9, coming=0) == 0
