from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.partition import WHOLE, Partition, parse_weights


@given(total=st.integers(0, 200), count=st.integers(1, 20))
def test_the_shares_are_the_whole_and_differ_by_one_at_most(total: int, count: int) -> None:
    whole = list(range(total))
    shares = [Partition(index, count) for index in range(count)]
    parts = [list(share.of(whole)) for share in shares]
    assert sorted(number for part in parts for number in part) == whole
    assert [len(part) for part in parts] == [share.size_of(total) for share in shares]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for share, part in zip(shares, parts, strict=True):
        assert [share.number(place) for place in range(len(part))] == part


@given(total=st.integers(0, 100), outer=st.integers(1, 5), inner=st.integers(1, 5))
def test_a_share_of_a_share(total: int, outer: int, inner: int) -> None:
    whole = list(range(total))
    for share in (Partition(index, outer) for index in range(outer)):
        for part in (Partition(index, inner) for index in range(inner)):
            assert list(share.divided(part).of(whole)) == list(part.of(share.of(whole)))


def test_the_whole_load_is_a_share_of_one() -> None:
    assert list(WHOLE.of([1, 2, 3])) == [1, 2, 3]


@pytest.mark.parametrize(("index", "count"), [(1, 1), (-1, 2), (0, 0), (5, 3)])
def test_a_share_that_does_not_exist_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"partition {index} of {count} does not exist"):
        Partition(index, count)


@given(weights=st.lists(st.integers(1, 6), min_size=1, max_size=5), total=st.integers(0, 100))
def test_weighted_shares_are_the_whole_in_their_proportions(weights: list[int], total: int) -> None:
    whole = list(range(total))
    shares = [Partition(index, len(weights), tuple(weights)) for index in range(len(weights))]
    parts = [list(share.of(whole)) for share in shares]
    assert sorted(number for part in parts for number in part) == whole
    assert [len(part) for part in parts] == [share.size_of(total) for share in shares]
    for share, part, weight in zip(shares, parts, weights, strict=True):
        assert [share.number(place) for place in range(len(part))] == part
        assert share.fraction == pytest.approx(weight / sum(weights))
        assert abs(len(part) - total * weight / sum(weights)) <= 2  # at any time, so a ramp is even, too
        inner = [share.divided(Partition(index, 2)) for index in range(2)]
        assert [list(each.of(whole)) for each in inner] == [part[::2], part[1::2]]
        assert [each.size_of(total) for each in inner] == [len(part[::2]), len(part[1::2])]
        assert [inner[1].number(place) for place in range(len(part[1::2]))] == part[1::2]


def test_equal_weights_are_no_weights() -> None:
    assert list(Partition(1, 3, (5, 5, 5)).of(range(9))) == list(Partition(1, 3).of(range(9))) == [1, 4, 7]
    assert (Partition(0, 3).least_total, Partition(0, 2, (4, 1)).least_total) == (3, 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a list of weights; give a whole number for each segment, as in 4,2,1"),
        ("1,,2", "is not a list of weights"),
        ("1,-2", "is not a list of weights"),
        ("1,0", "weights '1,0': expected whole numbers from 1 to 1000"),
        ("1001", "expected whole numbers from 1 to 1000"),
    ],
)
def test_weights_that_are_none_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_weights(text)
    assert parse_weights(" 4, 2,1") == (4, 2, 1)
