"""Series that nothing tells apart: whatever is selected stays the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.samples import ORIGIN, measurements, request

from pytest_ipload.stats.folding import Folding
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST, SETUP, STEP, Sample
from pytest_ipload.stats.series import SeriesKey
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES, SeriesTable
from pytest_ipload.stats.spans import Selection

NAMES = st.sampled_from(["", "a", "ab", "b", "*", "a*", OTHER_NAMES])
SOURCES = st.sampled_from([None, "127.0.0.1", "127.0.0.2"])
STATES = st.sampled_from([0, 200, 500])
KINDS = st.sampled_from([REQUEST, STEP, ITERATION])
OUTCOMES = st.sampled_from([OK, FAILED])
SAMPLES = st.lists(
    st.builds(
        lambda kind, name, source, status, outcome, latency_ns: Sample(
            kind, name, ORIGIN, latency_ns, outcome, status, source
        ),
        KINDS, NAMES, SOURCES, STATES, OUTCOMES, st.integers(0, 10**9),
    ),
    max_size=30,
)  # fmt: skip
PATTERNS = st.none() | st.sampled_from(["*", "a*", "a", "*b", "ab"])
SELECTIONS = st.lists(
    st.builds(
        lambda kind, name, source, status, outcome: Selection(kind, "latency", name, source, status, outcome),
        KINDS, PATTERNS, SOURCES, st.none() | STATES, st.none() | OUTCOMES,
    ),
    max_size=5,
)  # fmt: skip


@given(SAMPLES, SELECTIONS)
def test_each_selection_chooses_the_same_samples_as_before(samples: list[Sample], selections: list[Selection]) -> None:
    table, folded = SeriesTable(planned=False), SeriesTable(planned=False)
    for sample in samples:
        table.record(sample)
    folded.merge_folded(table, Folding(selections))
    for each in selections:
        where = {
            "name": each.name,
            "source_address": each.source_address,
            "status": each.status,
            "outcome": each.outcome,
        }
        assert folded.latency(each.kind, **where) == table.latency(each.kind, **where)


def keys(folding: Folding, *given: SeriesKey) -> set[SeriesKey | None]:
    return {folding.key(key) for key in given}


def test_names_and_addresses_without_end_become_one_series() -> None:
    folding = Folding([Selection(REQUEST, "latency")])
    many = [SeriesKey(REQUEST, f"GET /{n}", f"10.0.{n >> 8}.{n & 255}", 200, OK) for n in range(10_000)]
    assert keys(folding, *many) == {SeriesKey(REQUEST, "", None, 0, OK)}


def test_names_that_only_a_pattern_chooses_become_one() -> None:
    folding = Folding([Selection(REQUEST, "latency", name="GET *"), Selection(REQUEST, "latency", name="GET /7")])
    found = keys(folding, *(SeriesKey(REQUEST, f"GET /{n}", None, 200, OK) for n in range(9)))
    assert {key.name for key in found if key is not None} == {"GET /0", "GET /7"}


def test_what_no_selection_is_about_is_left_out() -> None:
    folding = Folding([Selection(REQUEST, "latency", name="GET /1")])
    assert keys(
        folding,
        SeriesKey(REQUEST, "GET /2", None, 200, OK),
        SeriesKey(STEP, "GET /1", None, 0, OK),
        SeriesKey(SETUP, "GET /1", None, 0, OK),
    ) == {None}


def test_names_that_were_not_kept_apart_stay_known_as_such() -> None:
    folding = Folding([Selection(REQUEST, "latency")])
    assert folding.key((REQUEST, OTHER_NAMES, None, 200, OK)) == SeriesKey(REQUEST, OTHER_NAMES, None, 0, OK)
    measured = measurements([request(f"GET /{n}") for n in range(MAX_NAMES + 5)])
    folded = measured.folded(Folding([Selection(REQUEST, "latency", name="GET /7*")]), [], {})
    assert folded.hides(REQUEST, "GET /7*") == measured.hides(REQUEST, "GET /7*")
