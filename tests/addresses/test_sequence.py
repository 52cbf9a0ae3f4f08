from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.addresses.sequence import AddressSequence, Run, first_common, parse_address
from pytest_ipload.addresses.spec import AddressBlock


def sequence(*ranges: range, version: int = 4) -> AddressSequence:
    return AddressSequence(Run(AddressBlock(numbers[0], 1, version, "made"), numbers) for numbers in ranges if numbers)


strided = st.builds(
    lambda start, count, step: range(start, start + count * step, step),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, 7),
)


@settings(deadline=None, max_examples=400)
@given(one=strided, other=strided)
def test_two_runs_share_the_address_that_comparing_all_finds(one: range, other: range) -> None:
    shared = sorted(set(one) & set(other))
    expected = str(parse_address(f"0.0.0.{shared[0]}")) if shared else None
    assert first_common(sequence(one), sequence(other)) == expected


@st.composite
def apart(draw: st.DrawFn) -> list[range]:
    """Runs that do not reach into each other, in any order."""
    cuts = sorted(draw(st.sets(st.integers(1, 120), min_size=2, max_size=9)))
    runs = [range(low, high, draw(st.integers(1, 9))) for low, high in pairwise(cuts)]
    return draw(st.permutations([run for run in runs if draw(st.booleans())]))


@settings(deadline=None, max_examples=400)
@given(one=apart(), other=apart())
def test_sequences_share_an_address_if_any_two_runs_do(one: list[range], other: list[range]) -> None:
    shared = {number for run in one for number in run} & {number for run in other for number in run}
    found = first_common(sequence(*one), sequence(*other))
    assert (found is None) == (not shared)
    assert found is None or int(found.rpartition(".")[2]) in shared


def test_addresses_of_two_families_are_never_the_same() -> None:
    assert first_common(sequence(range(5, 9)), sequence(range(5, 9), version=6)) is None


def test_huge_runs_are_compared_without_being_expanded() -> None:
    one = sequence(range(2**70, 2**100, 6), version=6)
    assert first_common(one, sequence(range(2**70 + 3, 2**100, 6), version=6)) is None
    assert first_common(one, sequence(range(2**70 + 3, 2**100, 9), version=6)) == "::40:0:0:0:c"


@settings(deadline=None)
@given(run=strided, data=st.data())
def test_what_is_left_of_a_run_is_every_other_number(run: range, data: st.DataObject) -> None:
    removed = data.draw(st.sets(st.integers(1, 160)))
    rest = sequence(run).without({4: removed, 6: set(run)})
    expected = [number for number in run if number not in removed]
    assert [number for part in rest.runs for number in part.numbers] == expected
    assert rest.count == len(expected)


@pytest.mark.parametrize("text", ["", "eth0", "10.1", "10.0.0.300"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None
