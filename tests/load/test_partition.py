from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.partition import WHOLE, Partition


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
    assert WHOLE.of([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(("index", "count"), [(1, 1), (-1, 2), (0, 0), (5, 3)])
def test_a_share_that_does_not_exist_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"partition {index} of {count} does not exist"):
        Partition(index, count)
