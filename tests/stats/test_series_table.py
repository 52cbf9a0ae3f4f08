from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import measurements, request, step

from pytest_ipload.stats.sample import FAILED, OK, REQUEST, STEP
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES, SeriesTable, matches

samples = st.builds(
    request,
    st.sampled_from(["a", "b"]),
    st.floats(0, 5000),
    outcome=st.sampled_from([OK, FAILED]),
    connections=st.integers(0, 2),
    connect_ns=st.one_of(st.none(), st.integers(0, 10**9)),
    lateness_ns=st.integers(0, 10**9),
)


@given(st.lists(samples, max_size=20), st.booleans())
def test_packing_loses_nothing(some: list[object], planned: bool) -> None:
    table: SeriesTable = measurements(some, planned=planned)  # type: ignore[arg-type]
    again = SeriesTable.unpack(table.pack(), planned=planned)
    assert again.series_to_plain() == table.series_to_plain()
    assert (again.names(REQUEST), again.planned) == (table.names(REQUEST), planned)


def test_what_was_unpacked_takes_more_samples() -> None:
    table = SeriesTable.unpack(measurements([request("a", 10)]).pack(), planned=False)
    table.record(request("a", 20))
    table.record(step("s"))
    assert (table.count(REQUEST), table.count(STEP), table.latency(REQUEST).max_ns) == (2, 1, 20_000_000)


def test_packing_keeps_the_number_of_dropped_names() -> None:
    table = measurements([request(f"GET /{number}") for number in range(MAX_NAMES + 2)])
    again = SeriesTable.unpack(table.pack(), planned=False)
    assert (again.names_dropped, again.names(REQUEST)[-1]) == (2, OTHER_NAMES)


def test_samples_taken_together_are_the_same_as_one_by_one() -> None:
    alike, single = SeriesTable(planned=True), SeriesTable(planned=True)
    alike.record_alike((REQUEST, "a", None, 200, OK), [5, 7_000_000], [6, 8_000_000])
    for latency_ns in (5, 7_000_000):
        single.record(request("a", latency_ns / 1e6, status=200, lateness_ns=1 if latency_ns == 5 else 1_000_000))
    assert alike.series_to_plain() == single.series_to_plain()


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("GET /", "GET /", True),
        ("GET /", "GET /a", False),
        ("GET /*", "GET /", True),
        ("*", "", True),
        ("**", "x", True),
        ("*/cart", "GET /cart", True),
        ("*/cart", "GET /cart/", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*b*c", "abc", False),
        ("ab*ba", "aba", False),
        ("a*b*b", "ab", False),
        ("G?T", "GET", False),
        ("[ab]", "a", False),
        ("a.c", "abc", False),
        ("get /", "GET /", False),
        ("a*", "a\nb", True),
    ],
)
def test_only_the_asterisk_is_a_wildcard(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits
