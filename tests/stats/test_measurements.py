from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, OK, REQUEST, SETUP, STEP, Sample
from pytest_ipload.stats.series import SeriesKey
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES

MS = 1_000_000
SECOND = 1_000_000_000
ORIGIN = 50 * SECOND


def sample(name: str = "GET /", started_ms: int = 0, latency_ms: int = 10, kind: str = REQUEST, **more: Any) -> Sample:
    return Sample(kind, name, ORIGIN + started_ms * MS, latency_ms * MS, **more)


def measured(
    samples: Sequence[Sample], *, judged_from_ms: int = 0, planned: bool = False, windows: Sequence[int] = ()
) -> Measurements:
    result = Measurements(
        origin_ns=ORIGIN,
        judged_from_ns=ORIGIN + judged_from_ms * MS,
        planned=planned,
        window_lengths_ns=[length * MS for length in windows],
    )
    result.add(samples)
    return result


def latencies(*ms: int) -> Histogram:
    histogram = Histogram()
    for each in ms:
        histogram.record(each * MS)
    return histogram


def test_samples_are_kept_apart_by_kind_name_source_status_and_outcome() -> None:
    variants = [
        sample(),
        sample("GET /a"),
        sample(kind=STEP),
        sample(source_address="127.0.0.2"),
        sample(status=404),
        sample(outcome=FAILED),
    ]
    series = dict(measured([*variants, *variants]).series())
    assert list(series) == [SeriesKey(s.kind, s.name, s.source_address, s.status, s.outcome) for s in variants]
    assert {each.latency.count for each in series.values()} == {2}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"kind": REQUEST}, [1, 2, 3, 4]),
        ({"kind": STEP}, [5]),
        ({"name": "GET /cart"}, [1, 2]),
        ({"name": "GET *"}, [1, 2, 4]),
        ({"name": "*"}, [1, 2, 3, 4, 5, 6]),
        ({"name": "GET /[c]art"}, []),
        ({"name": "GET /*"}, [1, 2, 4]),
        ({"exact_name": "GET /*"}, [4]),
        ({"source_address": "127.0.0.3"}, [2]),
        ({"status": 500}, [3]),
        ({"outcome": FAILED}, [3, 6]),
        ({"kind": REQUEST, "outcome": FAILED}, [3]),
    ],
)
def test_accessors_pick_what_fits_all_that_is_given(where: dict[str, Any], expected: list[int]) -> None:
    measurements = measured(
        [
            sample("GET /cart", latency_ms=1, source_address="127.0.0.2", lateness_ns=7 * MS),
            sample("GET /cart", latency_ms=2, source_address="127.0.0.3", lateness_ns=7 * MS),
            sample("POST /orders", latency_ms=3, status=500, outcome=FAILED, lateness_ns=7 * MS),
            sample("GET /*", latency_ms=4, lateness_ns=7 * MS),
            sample("checkout", latency_ms=5, kind=STEP, lateness_ns=7 * MS),
            sample("", latency_ms=6, kind=ITERATION, outcome=FAILED, lateness_ns=7 * MS),
        ],
        planned=True,
    )
    assert measurements.latency(**where) == latencies(*expected)
    assert measurements.response(**where) == latencies(*(each + 7 for each in expected))
    assert measurements.count(**where) == len(expected)


def test_without_a_plan_there_is_no_response_time() -> None:
    measurements = measured([sample(lateness_ns=5 * MS)])
    assert [series.response for _, series in measurements.series()] == [None]
    assert measurements.response() == Histogram()


def test_redirects_connections_retries_and_their_times_are_added_up() -> None:
    measurements = measured(
        [
            sample(redirects=2, connections=3, connect_ns=4 * MS, tls_ns=5 * MS, first_byte_ns=6 * MS),
            sample(connections=1, connect_ns=1 * MS, first_byte_ns=2 * MS),
            sample(redirects=1),
            sample(retries=2),
            sample(),
        ]
    )
    ((_, series),) = measurements.series()
    assert (series.redirects, series.connections, series.retries) == (3, 4, 2)
    assert measurements.phase("connect", REQUEST) == latencies(4, 1)
    assert measurements.phase("tls", REQUEST) == latencies(5)
    assert measurements.phase("ttfb", REQUEST) == latencies(6, 2)
    assert measurements.phase("ttfb", name="other") == Histogram()


def test_the_warm_up_is_only_counted_and_seen_in_the_timeline() -> None:
    measurements = measured(
        [
            sample(started_ms=999, latency_ms=5),
            sample(started_ms=1000, latency_ms=7),
            sample(kind=ITERATION, started_ms=0),
            sample(kind=STEP, started_ms=0),
        ],
        judged_from_ms=1000,
    )
    assert (measurements.warmup_requests, measurements.warmup_iterations) == (1, 1)
    assert measurements.latency() == latencies(7)
    assert measurements.names(STEP) == []
    assert measurements.timeline.steps()[1].latency == latencies(5, 7)
    assert (measurements.first_started_ns, measurements.last_ended_ns) == (ORIGIN + 1000 * MS, ORIGIN + 1007 * MS)


def test_set_up_is_kept_although_it_comes_before_the_load_and_is_no_request() -> None:
    measurements = measured([sample("POST /login", started_ms=-500, kind=SETUP, source_address="127.0.0.9")])
    assert measurements.count(SETUP) == 1
    assert measurements.count(REQUEST) == measurements.warmup_requests == 0
    assert measurements.timeline.steps() == {}
    assert measurements.source_addresses() == ["127.0.0.9"]


def test_faults_of_the_generator_are_counted_apart_from_everything_else() -> None:
    fault = sample(outcome=FAULT, fault="ports-exhausted")
    measurements = measured([fault, fault, sample(outcome=FAULT), sample(kind=ITERATION, outcome=FAILED)])
    assert measurements.faults == {"ports-exhausted": 2, "unknown": 1}
    assert measurements.count(REQUEST) == 0
    assert measurements.count(ITERATION, outcome=FAILED) == 1
    assert measurements.timeline.steps() == {}
    assert measurements.first_started_ns is None


def test_the_timeline_is_by_the_second_in_which_a_request_ended() -> None:
    measurements = measured(
        [
            sample(started_ms=0, latency_ms=999),
            sample(started_ms=0, latency_ms=1000),
            sample(started_ms=1500, latency_ms=3, outcome=FAILED),
            sample(started_ms=1500, latency_ms=3, kind=STEP),
        ]
    )
    assert set(measurements.timeline.steps()) == {0, 1}
    assert (measurements.timeline.steps()[1].requests, measurements.timeline.steps()[1].failed_requests) == (2, 1)
    assert measurements.timeline.steps()[1].latency == latencies(1000)


def test_names_and_addresses_come_in_order_of_first_sight() -> None:
    measurements = measured(
        [
            sample("b", source_address="127.0.0.3"),
            sample("a"),
            sample("b", source_address="127.0.0.2", outcome=FAILED),
            sample("s", kind=STEP, source_address="127.0.0.3"),
        ]
    )
    assert measurements.names(REQUEST) == ["b", "a"]
    assert measurements.names(STEP) == ["s"]
    assert measurements.names(ITERATION) == []
    assert measurements.source_addresses() == ["127.0.0.3", "127.0.0.2"]


def test_too_many_names_fold_into_one() -> None:
    many = [sample(f"GET /{number}") for number in range(MAX_NAMES + 3)]
    measurements = measured([*many, many[0], many[-1]])
    assert measurements.names(REQUEST) == [*(f"GET /{number}" for number in range(MAX_NAMES)), OTHER_NAMES]
    assert measurements.names_dropped == measurements.count(REQUEST, exact_name=OTHER_NAMES) == 4
    assert measurements.count(REQUEST, name="GET /0") == 2


def test_many_samples_of_a_name_too_many_are_each_dropped() -> None:
    measurements = measured([sample(f"GET /{number}") for number in range(MAX_NAMES)])
    measurements.add([sample("late") for _ in range(50)])
    assert measurements.names_dropped == measurements.count(REQUEST, exact_name=OTHER_NAMES) == 50


def test_merging_folds_too_many_names_too() -> None:
    one = measured([sample(f"GET /{number}") for number in range(MAX_NAMES)])
    two = measured([sample("late"), sample("late"), sample("GET /5")])
    one.merge(two)
    one.merge(measured([sample(f"POST /{number}") for number in range(MAX_NAMES + 2)]))
    assert one.names(REQUEST)[-1] == OTHER_NAMES
    assert len(one.names(REQUEST)) == MAX_NAMES + 1
    assert one.names_dropped == one.count(exact_name=OTHER_NAMES) == 2 + MAX_NAMES + 2
    assert one.count() == 2 * MAX_NAMES + 5


def test_the_other_names_of_two_parts_are_not_dropped_twice() -> None:
    names = [sample(f"GET /{number}") for number in range(MAX_NAMES)]
    whole = measured(names)
    whole.merge(measured([*names, sample("late")]))
    assert whole.names_dropped == whole.count(exact_name=OTHER_NAMES) == 1


samples_ = st.builds(
    sample,
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 5000),
    st.integers(0, 3000),
    st.sampled_from([REQUEST, STEP, SETUP, ITERATION]),
    outcome=st.sampled_from([OK, FAILED, FAULT]),
    status=st.sampled_from([0, 200, 503]),
    source_address=st.sampled_from([None, "127.0.0.2", "127.0.0.3"]),
    connections=st.integers(0, 2),
    redirects=st.integers(0, 2),
    retries=st.integers(0, 2),
    connect_ns=st.one_of(st.none(), st.integers(0, MS)),
    tls_ns=st.one_of(st.none(), st.integers(0, MS)),
    first_byte_ns=st.one_of(st.none(), st.integers(0, MS)),
    fault=st.sampled_from([None, "ports-exhausted", "too-many-files"]),
    lateness_ns=st.integers(0, MS),
)
batches = st.lists(samples_, max_size=15)


def in_any_order(measurements: Measurements) -> dict[str, Any]:
    plain = measurements.to_plain()
    for windows in plain["windows"]:
        for _, content in windows["windows"]:
            content[1].sort(key=str)
    return {**plain, "series": sorted(plain["series"], key=str)}


@given(batches, batches, batches, st.booleans())
def test_merging_parts_in_any_order_is_the_same_as_measuring_the_whole(
    one: list[Sample], two: list[Sample], three: list[Sample], planned: bool
) -> None:
    def part(*batch: Sample) -> Measurements:
        return measured(batch, judged_from_ms=1000, planned=planned, windows=[500, 2000])

    left = part(*one)
    left.merge(part(*two))
    left.merge(part(*three))
    tail = part(*three)
    tail.merge(part(*two))
    right = part()
    right.merge(tail)
    right.merge(part(*one))
    assert in_any_order(left) == in_any_order(right) == in_any_order(part(*one, *two, *three))


def test_merging_leaves_the_other_part_alone() -> None:
    part = measured([sample(connections=1, connect_ns=MS)], planned=True)
    before = part.to_plain()
    whole = measured([], planned=True)
    whole.merge(part)
    whole.merge(part)
    assert part.to_plain() == before
    assert whole.count() == 2


def test_a_copy_is_the_same_and_apart() -> None:
    many = [sample(f"GET /{number}", number, status=200 + number % 2) for number in range(MAX_NAMES + 3)]
    whole = measured([*many, *many[:5], sample(outcome=FAULT)], judged_from_ms=1, windows=[100, 250])
    whole.end_at(ORIGIN + 500 * MS)
    before = whole.to_plain()
    copy = whole.copy()
    assert copy.to_plain() == before
    copy.merge(whole)
    assert copy.count() == 2 * whole.count()
    assert whole.to_plain() == before


def test_parts_with_another_origin_are_shifted_to_it() -> None:
    whole = measured([sample(started_ms=100, latency_ms=1)])
    other = Measurements(origin_ns=ORIGIN + 7 * SECOND, judged_from_ns=0, planned=False)
    other.add([sample(started_ms=7_000 + 2_000, latency_ms=30)])
    whole.merge(other)
    assert set(whole.timeline.steps()) == {0, 2}
    assert whole.last_ended_ns == ORIGIN + 2_030 * MS


def test_a_planned_and_an_unplanned_part_do_not_merge() -> None:
    with pytest.raises(ValueError, match="one part of the load is planned"):
        measured([], planned=True).merge(measured([]))


@given(batches, st.booleans())
def test_plain_values_are_lossless_also_through_json(batch: list[Sample], planned: bool) -> None:
    plain = measured(batch, judged_from_ms=1000, planned=planned, windows=[700]).to_plain()
    again = Measurements.from_plain(json.loads(json.dumps(plain)))
    assert again.to_plain() == plain
    again.merge(measured(batch, planned=planned, windows=[700]))  # what was read is as good as what was measured


def only_builtins(value: object) -> bool:
    if type(value) is dict:
        return all(type(key) is str and only_builtins(content) for key, content in value.items())
    if type(value) is list:
        return all(map(only_builtins, value))
    return type(value) in (str, int, bool, type(None))


@given(batches)
def test_plain_values_have_only_exact_builtin_types(batch: list[Sample]) -> None:
    assert only_builtins(measured(batch, planned=True, windows=[700]).to_plain())


@pytest.mark.parametrize(("one", "two"), [([500], []), ([], [500]), ([500], [1000])])
def test_parts_with_other_windows_do_not_merge(one: list[int], two: list[int]) -> None:
    with pytest.raises(ValueError, match="one part of the load has windows and the other does not"):
        measured([], windows=one).merge(measured([], windows=two))


def test_seconds_are_in_order_in_the_plain_form() -> None:
    plain = measured([sample(started_ms=3000), sample(started_ms=1000)]).to_plain()
    assert [number for number, _ in plain["timeline"]["steps"]] == [1, 3]


def test_names_survive_the_plain_form_in_their_order() -> None:
    many = [sample(f"GET /{number}") for number in range(MAX_NAMES + 1)]
    measurements = measured([sample("s", kind=STEP), *many])
    again = Measurements.from_plain(measurements.to_plain())
    assert again.names(REQUEST) == measurements.names(REQUEST)
    assert again.names(STEP) == ["s"]
    assert again.names_dropped == 1


def at(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Replace what is at this path."""

    def damage(plain: dict[str, Any]) -> None:
        target: Any = plain
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return damage


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda plain: plain.pop("faults"), "expected a dict with the keys"),
        (at("extra", to=1), "expected a dict with the keys"),
        (at("planned", to=1), "planned"),
        (at("planned", to=False), "response"),
        (at("faults", to=[]), "faults"),
        (at("faults", 5, to=1), "faults"),
        (at("faults", "x", to=0), "faults"),
        (at("origin_ns", to=None), "origin_ns"),
        (at("origin_ns", to=1.5), "origin_ns"),
        (at("warmup_requests", to=-1), "warmup_requests"),
        (at("names_dropped", to=True), "names_dropped"),
        (at("first_started_ns", to=None), "contradict"),
        (at("last_ended_ns", to=0), "contradict"),
        (at("timeline", "steps", to={}), "timeline"),
        (at("timeline", "steps", 0, to=[1]), "pairs"),
        (at("timeline", "steps", 0, 0, to="0"), "step"),
        (at("timeline", "steps", 1, 0, to=0), "comes twice"),
        (at("timeline", "steps", 0, 1, "requests", to=9), "second"),
        (at("series", to=None), "series"),
        (at("series", 0, 0, to=[REQUEST, "a"]), "series key"),
        (at("series", 1, 0, 1, to="a"), "comes twice"),
        (at("series", 0, 1, "response", to=None), "response"),
        (at("windows", to={}), "windows"),
        (at("windows", 0, "length_ns", to=0), "windows length_ns"),
        (at("windows", 0, "extra", to=0), "expected a dict with the keys"),
        (at("windows", 1, "length_ns", to=500 * MS), "comes twice"),
        (at("windows", 0, "windows", to=None), "windows"),
        (at("windows", 0, "windows", 0, to=[0]), "pairs"),
        (at("windows", 0, "windows", 0, 0, to=-1), "window number"),
        (at("windows", 0, "windows", 1, 0, to=0), "window number"),
        (at("windows", 0, "windows", 0, 1, to=[0]), "pairs"),
        (at("windows", 0, "windows", 0, 1, 0, to=None), "window names_dropped"),
        (at("windows", 0, "windows", 0, 1, 1, 0, 1, "response", to=None), "response"),
    ],
)
def test_plain_values_that_are_wrong_are_refused(damage: Callable[[Any], Any], complaint: str) -> None:
    plain = measured([sample("a"), sample("b", started_ms=2000)], planned=True, windows=[500, 700]).to_plain()
    Measurements.from_plain(plain)
    damage(plain)
    with pytest.raises(ValueError, match=complaint):
        Measurements.from_plain(plain)


def test_plain_values_with_too_many_names_are_refused() -> None:
    plain = measured([sample("a")]).to_plain()
    ((_, series),) = plain["series"]
    plain["series"] = [[[REQUEST, str(number), None, 0, OK], series] for number in range(MAX_NAMES + 2)]
    with pytest.raises(ValueError, match="too many names"):
        Measurements.from_plain(plain)


@pytest.mark.parametrize("plain", [None, [], 5, "text", {}])
def test_what_is_no_measurement_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="measurements: expected a dict"):
        Measurements.from_plain(plain)


class TestTheTimeThatRatesAreCountedOver:
    """From 1 s (the warm-up's end) to 3 s."""

    @staticmethod
    def ended(*spans_ms: tuple[int, int], kind: str = REQUEST, until_ms: int | None = 3000) -> Measurements:
        result = Measurements(
            origin_ns=ORIGIN,
            judged_from_ns=ORIGIN + SECOND,
            judged_until_ns=None if until_ms is None else ORIGIN + until_ms * MS,
            planned=False,
        )
        result.add([sample("a", start, end - start, kind=kind) for start, end in spans_ms])
        return result

    @pytest.mark.parametrize("kind", [REQUEST, ITERATION, STEP])
    @pytest.mark.parametrize("many", [1, 40])
    def test_what_ended_in_it_is_counted_apart(self, kind: str, many: int) -> None:
        measurements = self.ended(*[(1000, 1010), (2990, 2999), (2990, 3000), (2000, 5000)] * many, kind=kind)
        assert (measurements.count(kind), measurements.ended_in_time(kind)) == (4 * many, 2 * many)
        again = Measurements.from_plain(measurements.to_plain())
        again.merge(measurements)
        assert (again.count(kind), again.ended_in_time(kind)) == (8 * many, 4 * many)

    def test_what_started_in_the_warm_up_is_not(self) -> None:
        assert self.ended((900, 1500)).ended_in_time(REQUEST) == 0

    def test_without_a_plan_all_is(self) -> None:
        assert self.ended((1000, 9000), until_ms=None).ended_in_time(REQUEST) == 1

    def test_a_load_that_is_cut_short_ends_it(self) -> None:
        measurements = self.ended((1000, 1010))
        measurements.end_at(ORIGIN + 4 * SECOND)
        assert measurements.judged_until_ns == ORIGIN + 3 * SECOND
        measurements.end_at(ORIGIN + 2 * SECOND)
        measurements.add([sample("a", 1950, 100)])
        assert (measurements.judged_until_ns, measurements.ended_in_time(REQUEST)) == (ORIGIN + 2 * SECOND, 1)

    def test_of_two_parts_the_later_end_counts(self) -> None:
        one, two = self.ended((1000, 1010), until_ms=2000), self.ended((1000, 1010), until_ms=2500)
        one.merge(Measurements.from_plain(two.to_plain()))
        assert one.judged_until_ns == ORIGIN + 2500 * MS
        one.merge(self.ended(until_ms=None))
        assert one.judged_until_ns is None


def test_connections_of_the_warm_up_are_counted_by_source() -> None:
    measurements = Measurements(origin_ns=ORIGIN, judged_from_ns=ORIGIN + SECOND, planned=False)
    opened = sample("a", source_address="127.0.0.2", connections=2)
    measurements.add([opened, opened, sample("a", connections=1), sample("a", source_address="127.0.0.3")])
    assert measurements.warmup_connections == {"127.0.0.2": 4}
    again = Measurements.from_plain(measurements.to_plain())
    again.merge(measurements)
    assert again.warmup_connections == {"127.0.0.2": 8}


class TestHiddenNames:
    FULL = tuple(sample(f"GET /{number}") for number in range(MAX_NAMES))

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [("GET /*", True), ("late", True), ("lat*", True), ("GET /5", False), ("*", False), ("**", False)],
    )
    @pytest.mark.parametrize("parts", [1, 2])
    def test_a_pattern_may_mean_what_was_folded(self, pattern: str, expected: bool, parts: int) -> None:
        measurements = measured([*self.FULL, sample("late")])
        if parts == 2:
            measurements.merge(measured([sample("GET /5"), sample("later")]))
        assert measurements.hides(REQUEST, pattern) is expected
        assert Measurements.from_plain(measurements.to_plain()).hides(REQUEST, pattern) is expected
        assert not measurements.hides(STEP, pattern)
        assert not measured(self.FULL).hides(REQUEST, pattern)

    def test_a_name_that_another_part_folded_is_hidden_though_it_is_kept(self) -> None:
        cart = measured([sample("GET /cart"), sample("GET /5")])
        cart.merge(measured([*self.FULL, sample("GET /cart")]))
        assert cart.count(REQUEST, exact_name="GET /cart") == 1
        assert cart.hides(REQUEST, "GET /cart")
        assert not cart.hides(REQUEST, "GET /5")
        again = Measurements.from_plain(cart.to_plain())
        again.merge(measured([]))
        assert again.hides(REQUEST, "GET /cart")

    def test_in_a_window_too(self) -> None:
        one, two = measured([sample("GET /cart")], windows=[500]), measured(self.FULL, windows=[500])
        two.add([sample("GET /cart")])
        one.merge(Measurements.from_plain(two.to_plain()))
        [(_, table)] = Measurements.from_plain(one.to_plain()).windows[500 * MS].full(ORIGIN + 500 * MS)
        assert (table.hides(REQUEST, "GET /cart"), table.hides(REQUEST, "GET /1")) == (True, False)
