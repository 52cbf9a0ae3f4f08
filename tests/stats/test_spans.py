from __future__ import annotations

import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import MS, ORIGIN, iteration, measurements, request, step

from pytest_ipload.stats.hdr_bins import bin_index
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Key
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, OK, REQUEST, SETUP, STEP, Sample
from pytest_ipload.stats.spans import MOST_CELLS, Cells, Selection, Spans

LATENCY = Selection(REQUEST, "latency", outcome=OK)
ERRORS = Selection(REQUEST, "outcome")
INDEX = bin_index(1000)


def cells_of(seconds: list[tuple[int, int]]) -> Cells:
    """A time of so many milliseconds in each of these seconds."""
    cells = Cells()
    for second, ms in seconds:
        cells.at(second).record(ms * MS)
    return cells


class TestCells:
    def test_they_count_what_is_above(self) -> None:
        cells = cells_of([(0, 1), (0, 2), (2, 1), (2, 3), (2, 4)])
        assert cells.above(INDEX) == [(1, 2), (0, 0), (2, 3)]
        assert cells.above(INDEX, seconds=4.5) == [(1, 2), (0, 0), (2, 3), (0, 0), (0, 0)]
        assert cells.last_second == 2

    def test_a_longer_load_joins_them_in_pairs(self) -> None:
        cells = cells_of([(second, 2 if second % 4 == 0 else 1) for second in range(100)])
        assert cells.cell_s == 4
        assert cells.above(INDEX) == [(1, 4)] * 25

    @given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3)), min_size=1, max_size=80))
    def test_there_are_never_many_and_none_is_lost(self, seconds: list[tuple[int, int]]) -> None:
        cells = cells_of(seconds)
        found = cells.above(INDEX)
        assert len(found) <= MOST_CELLS
        assert sum(whole for _, whole in found) == len(seconds)
        assert sum(part for part, _ in found) == sum(ms > 1 for _, ms in seconds)
        assert len(found) > MOST_CELLS // 2 or cells.cell_s == 1

    @given(*[st.lists(st.tuples(st.integers(0, 300), st.integers(1, 3)), max_size=40)] * 2)
    def test_parts_make_the_whole(self, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
        merged = cells_of(one)
        merged.merge(cells_of(other))
        whole = cells_of([*one, *other])
        assert merged.above(INDEX) == whole.above(INDEX)
        assert (merged.cell_s, merged.last_second) == (whole.cell_s, whole.last_second)
        assert Cells.from_plain(json.loads(json.dumps(merged.to_plain()))).to_plain() == whole.to_plain()

    def test_what_was_read_can_be_added_to(self) -> None:
        cells = Cells.from_plain(cells_of([(0, 1), (5, 2)]).to_plain())
        cells.at(0).record(2 * MS)
        assert cells.above(INDEX)[0] == (1, 2)

    @pytest.mark.parametrize(
        "plain",
        [
            *(None, [], [1, 2], [0, 0, []], [3, 0, []], [1, -2, []], [1, 0, [[0]]], [1, 0, [[MOST_CELLS, []]]]),
            *([1, 0, [[0, [1]]]], [1, 0, [[0, [2, 1, 1, 1]]]], [1, 0, [[0, [1, 0]]]], [1, 0, [[1, []], [0, []]]]),
            *([1, 0, [[0, [1, True]]]], [1, 0, [[0, [10**9, 1]]]], [1, 0, [[0, [1, 2**60]]]], [1 << 50, 0, []]),
        ],
    )
    def test_nonsense_is_refused(self, plain: Any) -> None:
        with pytest.raises(ValueError, match="spans"):
            Cells.from_plain(plain)


SAMPLES = [
    request("GET /cart", 1, at_ms=100),
    request("GET /cart", 2, at_ms=1500, outcome=FAILED, status=503),
    request("POST /order", 3, at_ms=2500, connections=1, connect_ns=4 * MS, source_address="127.0.0.2"),
    request("GET /cart", 9, at_ms=100, outcome=FAULT, fault="ports-exhausted"),
    request("GET /cart", 9, at_ms=100)._replace(kind=SETUP),
    step("GET /cart", 2, at_ms=100),
    iteration(2, at_ms=3000, lateness_ns=5 * MS),
]


class TestSpans:
    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            (LATENCY, [(0, 1), (0, 0), (1, 1)]),
            (ERRORS, [(0, 1), (1, 1), (0, 1)]),
            (Selection(REQUEST, "latency", outcome=FAILED), [(0, 0), (1, 1)]),
            (Selection(REQUEST, "latency", name="GET *", outcome=OK), [(0, 1)]),
            (Selection(REQUEST, "outcome", source_address="127.0.0.2"), [(0, 0), (0, 0), (0, 1)]),
            (Selection(REQUEST, "outcome", status=503), [(0, 0), (1, 1)]),
            (Selection(REQUEST, "connect", outcome=OK), [(0, 0), (0, 0), (1, 1)]),
            (Selection(REQUEST, "tls", outcome=OK), []),
            (Selection(STEP, "latency", outcome=OK), [(1, 1)]),
            (Selection(ITERATION, "response", outcome=OK), [(0, 0)] * 3 + [(1, 1)]),
        ],
    )
    @pytest.mark.parametrize("many", [1, 30])  # that many alike are folded together
    def test_they_have_the_selected_samples(
        self, selection: Selection, expected: list[tuple[int, int]], many: int
    ) -> None:
        samples = [sample for sample in SAMPLES for _ in range(many)]
        measured = measurements(samples, planned=True, selections=[selection])
        cells = measured.cells(selection)
        assert cells is not None
        index = 0 if selection.time == "outcome" else INDEX
        assert cells.above(index) == [(part * many, whole * many) for part, whole in expected]

    def test_plain_times_of_a_recorder_are_the_same(self) -> None:
        selections = [LATENCY, ERRORS, Selection(ITERATION, "latency", outcome=OK)]
        pairs = [(ORIGIN + number * 7 * MS, number % 5 * MS) for number in range(1000)]
        kinds = {REQUEST: "GET /", ITERATION: ""}
        times: dict[Key, array[int]] = {
            (kind, name, None, 0, OK): array("q", sum(pairs, ())) for kind, name in kinds.items()
        }
        together = measurements([], selections=selections)
        together.add_chunk(Chunk([], times))
        alone = measurements([], selections=selections)
        for kind, name in kinds.items():
            for started_ns, latency_ns in pairs:
                alone.add([Sample(kind, name, started_ns, latency_ns)])
        assert together.spans.to_plain() == alone.spans.to_plain()
        assert together.to_plain() == alone.to_plain()

    def test_the_warm_up_is_left_out_and_time_counts_from_its_end(self) -> None:
        samples = [request(at_ms=100), request(latency_ms=5000, at_ms=1900), request(at_ms=2100), request(at_ms=4100)]
        cells = measurements(samples, warmup_ms=2000, selections=[LATENCY]).cells(LATENCY)
        assert cells is not None
        assert cells.above(0) == [(1, 1), (0, 0), (1, 1)]

    def test_names_without_end_do_not_eat_the_memory(self) -> None:
        spans = Spans([LATENCY])
        for number in range(10_000):
            spans.record(request(f"GET /{number}"), 0, (REQUEST, f"GET /{number}", None, 0, OK))
        assert len(spans._known) < 5000
        assert spans.cells[LATENCY].above(0) == [(10_000, 10_000)]

    def test_parts_of_a_load_are_merged_by_the_time_since_their_start(self) -> None:
        one = measurements([request(at_ms=100)], selections=[LATENCY])
        other = Measurements(origin_ns=7, judged_from_ns=7, planned=False, selections=[LATENCY])
        other.add([Sample(REQUEST, "GET /", 1007 * MS, MS), Sample(REQUEST, "GET /", 500 * MS, MS)])
        one.merge(Measurements.from_plain(json.loads(json.dumps(other.to_plain()))))
        cells = one.cells(LATENCY)
        assert cells is not None
        assert [whole for _, whole in cells.above(0)] == [2, 1]

    def test_parts_with_other_selections_are_refused(self) -> None:
        with pytest.raises(ValueError, match="spans"):
            measurements([], selections=[LATENCY]).merge(measurements([]))

    @pytest.mark.parametrize(
        "change",
        [{"kind": 1}, {"status": "x"}, {"status": True}, {"name": 3}, {"cells": []}, {"more": 1}],
    )
    def test_nonsense_is_refused(self, change: dict[str, Any]) -> None:
        plain = Spans([LATENCY]).to_plain()
        with pytest.raises(ValueError, match="spans"):
            Spans.from_plain([{**plain[0], **change}])

    def test_a_selection_that_comes_twice_is_refused(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            Spans.from_plain(Spans([LATENCY]).to_plain() * 2)
