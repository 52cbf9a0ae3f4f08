from __future__ import annotations

from array import array

import pytest

from pytest_ipload.stats.own_values import OwnValues
from pytest_ipload.stats.recorder import ValueKey
from pytest_ipload.stats.sample import COUNT, GAUGE
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES

ORIGIN, SECOND = 50_000_000_000, 1_000_000_000


def values(
    given: dict[ValueKey, list[tuple[float, float]]], *, origin_ns: int = ORIGIN, until_s: float | None = None
) -> OwnValues:
    """Own values: for each key, pairs of seconds since the origin and numbers. The first second is the warm-up."""
    found = OwnValues()
    columns = {
        key: (
            array("q", (origin_ns + round(s * SECOND) for s, _ in pairs)),
            array("d", (number for _, number in pairs)),
        )
        for key, pairs in given.items()
    }
    found.add(columns, origin_ns, origin_ns + SECOND, None if until_s is None else origin_ns + round(until_s * SECOND))
    return found


def test_the_judged_numbers_are_folded() -> None:
    found = values({(COUNT, "sold"): [(0.5, 100), (1, 2), (2, 3), (4, 5)]}, until_s=4).whole(COUNT, "s*")
    assert (found.calls, found.total, found.in_time) == (3, 10, 5)
    found = values({(GAUGE, "queue"): [(0.5, 100), (1, 2), (2, -3), (3, 1)]}).whole(GAUGE)
    assert (found.last, found.low, found.high) == (1, -3, 2)
    assert not values({(COUNT, "sold"): [(0.5, 1)]})


def test_parts_with_other_origins_are_merged_by_the_time_of_the_load_in_any_order() -> None:
    key = (GAUGE, "queue")
    early, late = values({key: [(2, 7)]}, origin_ns=ORIGIN * 9), values({key: [(3, 8)]})
    for one, other in ((early, late), (late, early)):
        whole = values({(COUNT, "sold"): [(2, 1)]})
        whole.merge(one)
        whole.merge(other)
        found = whole.whole(GAUGE)
        assert (found.last, found.low, found.high, found.calls) == (8, 7, 8, 2)
        assert OwnValues.from_plain(whole.to_plain()).to_plain() == whole.to_plain()


def test_names_are_bounded_and_hidden_ones_are_known() -> None:
    found = values({(COUNT, str(number)): [(2, 1)] for number in range(MAX_NAMES + 5)})
    assert len(list(found.each(COUNT))) == MAX_NAMES + 1
    assert found.whole(COUNT, OTHER_NAMES).total == 5
    assert found.whole(COUNT).total == MAX_NAMES + 5
    assert [found.hides(COUNT, pattern) for pattern in ("7", "7*", "*", str(MAX_NAMES))] == [False, True, False, True]
    assert not found.hides(GAUGE, "7")
    whole = values({})
    whole.merge(found)
    assert whole.hides(COUNT, "7")  # the other part may have counted it among the others
    assert OwnValues.from_plain(whole.to_plain()).hides(COUNT, "7")


@pytest.mark.parametrize(
    "damage",
    [
        {"values": [["count", "x", 0, 1.0, 1.0, 1.0, 1.0, 1.0, 5]]},
        {"values": [["step", "x", 1, 1.0, 1.0, 1.0, 1.0, 1.0, 5]]},
        {"values": [["count", 7, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 5]]},
        {"values": [["gauge", "x", 1, 1.0, 1.0, 2.0, 3.0, 4.0, 5]]},
        {"values": [["gauge", "x", 1, float("inf"), 1.0, 2.0, 3.0, 2.0, 5]]},
        {"values": [["count", "x", 1, 1.0, 1.0, 1.0, 1.0, 1.0, 5]] * 2},
        {"names_dropped": {"count": -1}},
        {"is_partial": 1},
    ],
)
def test_what_is_read_is_checked(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="own values"):
        OwnValues.from_plain({**OwnValues().to_plain(), **damage})
