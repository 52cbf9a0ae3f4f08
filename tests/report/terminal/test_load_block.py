from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import explained, failure, judged, load_result
from support.samples import MS, iteration, request, step

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.base.text import width_of
from pytest_ipload.report.terminal.load_block import block, print_results
from pytest_ipload.stats.sample import FAILED, SETUP
from pytest_ipload.stats.summary import LatencyStats
from pytest_ipload.verdict.regression.comparison import ComparedWith
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import describe, judge_history, judge_rounds
from pytest_ipload.verdict.result import GeneratorHealth, LoadResult, RoundStats, ShardStats, UnusedAddresses
from pytest_ipload.verdict.threshold.config import WARN
from pytest_ipload.verdict.threshold.expression import Metric

SAMPLES = [
    *(request("GET /cart", latency, source_address="127.0.0.2") for latency in [10] * 900 + [20] * 90 + [30] * 10),
    *[request("POST /orders", 40, source_address="127.0.0.3", connections=1)] * 40,
    request("POST /orders", 900, source_address="127.0.0.3", outcome=FAILED),
    step("checkout", 50),
    *[iteration()] * 19,
    iteration(outcome=FAILED),
]


def lines(result: LoadResult, verbosity: int = 0, width: int = 80) -> list[str]:
    return block(result.as_dict(), verbosity, width)


def test_a_block_at_eighty_columns() -> None:
    result = load_result(
        SAMPLES,
        verdict="failed",
        thresholds=[
            judged("p95 < 15ms", SAMPLES),
            judged("rps > 1000", SAMPLES, WARN),
            judged("error_rate < 10%", SAMPLES),
        ],
        failures=[failure(count=1)],
        users_by_source={"127.0.0.2": 1, "127.0.0.3": 1},
    )
    assert lines(result) == [
        "1 user, 10.0 s, 20 iterations (1 failed)",
        "request       requests  rps  errors      p50      p95      p99      max",
        "-----------------------------------------------------------------------",
        "GET /cart        1 000  100       0  10.0 ms  20.0 ms  20.0 ms  30.0 ms",
        "POST /orders        41  4.1       1  40.0 ms  40.0 ms  40.0 ms  40.0 ms",
        "all requests     1 041  104       1  10.0 ms  20.0 ms  40.0 ms  40.0 ms",
        "",
        "step      count  errors      p50      p95      p99      max",
        "-----------------------------------------------------------",
        "checkout      1       0  50.0 ms  50.0 ms  50.0 ms  50.0 ms",
        "FAIL  p95 20.0 ms, limit < 15.0 ms (1 040 requests, 95 % CI 20.0-40.0 ms assuming independent requests)",
        "warn  rps 104/s, limit > 1 000/s (1 041 requests)",
        "ok    error_rate 5 %, limit < 10 % (1 of 20 iterations failed)",
        "failed: 1 x HTTP 503 at test_a.py:3: no",
        "sources: 2 addresses (127.0.0.2, 127.0.0.3), 41 to 1 000 requests each, 40 connections",
        "generator: healthy, 50 % of a processor core, timer lag p99 250 us",
    ]


def test_one_name_needs_no_total() -> None:
    assert not any(line.startswith("all requests") for line in lines(load_result([request()])))


def test_a_load_without_requests_has_no_table() -> None:
    assert lines(load_result([iteration()])) == [
        "1 user, 10.0 s, 1 iteration",
        "generator: healthy, 50 % of a processor core, timer lag p99 250 us",
    ]


def test_only_failed_requests_have_no_times() -> None:
    table = lines(load_result([request(outcome=FAILED)]))
    assert table[3].split() == ["GET", "/", "1", "0.1", "1", "-", "-", "-", "-"]


def test_with_a_plan_the_response_time_is_shown_below_the_latency() -> None:
    table = lines(load_result([request(latency_ms=10, lateness_ns=20 * MS)], planned=True))
    assert table[3].split()[-2:] == ["10.0", "ms"]
    assert table[4].split() == ["response", "time", *("30.0", "ms") * 4]


def test_with_a_plan_the_generators_lateness_is_shown_too() -> None:
    health = GeneratorHealth(lateness=LatencyStats(9, p99_ms=4.2))
    assert lines(load_result([request()], planned=True, generator=health))[-1].endswith(", iterations late p99 4.20 ms")


def test_a_warm_up_is_mentioned() -> None:
    result = load_result([iteration(), iteration(at_ms=3000)], warmup_s=1)
    assert lines(result)[0] == "1 user, 10.0 s, 1 iteration, warm-up of 1 iteration not judged"


def test_requests_of_the_set_up_are_mentioned() -> None:
    login = [request(outcome=outcome)._replace(kind=SETUP) for outcome in ("ok", FAILED)]
    assert lines(load_result(login))[1] == "set-up and teardown of users: 2 requests, 1 failed (not judged)"


@pytest.mark.parametrize(
    ("addresses", "requests", "shown"),
    [
        (1, 1, "sources: 1 address (127.0.0.1), 1 request, 0 connections"),
        (4, 2, "sources: 4 addresses (127.0.0.1, 127.0.0.2, 127.0.0.3, 127.0.0.4), 2 requests each, 0 connections"),
        (9, 1, "sources: 9 addresses (127.0.0.1, 127.0.0.2, ..., 127.0.0.9), 1 request each, 0 connections"),
    ],
)
def test_sources_are_listed_or_summed_up(addresses: int, requests: int, shown: str) -> None:
    samples = [request(source_address=f"127.0.0.{1 + number}") for number in range(addresses)] * requests
    assert shown in lines(load_result(samples))


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (1, "not used: 1 address of the pool (127.0.0.9)"),
        (3, "not used: 3 addresses of the pool (127.0.0.9, 127.0.0.9, 127.0.0.9)"),
        (900, "not used: 900 addresses of the pool (127.0.0.9, 127.0.0.9, 127.0.0.9, 127.0.0.9, ...)"),
    ],
)
def test_unused_addresses_are_mentioned(count: int, shown: str) -> None:
    unused = UnusedAddresses(count, ["127.0.0.9"] * min(count, 100))
    assert shown in lines(load_result([], unused=unused))


def test_with_v_each_source_has_a_row() -> None:
    result = load_result(SAMPLES, users_by_source={"127.0.0.2": 7})
    assert not any(line.startswith("127.0.0.2") for line in lines(result))
    (row,) = [line.split() for line in lines(result, verbosity=1) if line.startswith("127.0.0.2")]
    assert row[:6] == ["127.0.0.2", "7", "0", "1", "000", "0"]


def test_what_plugins_said_stands_below_the_thresholds() -> None:
    result = load_result([request()]).with_objections(["too dear", "two\nlines"])
    assert [line for line in lines(result) if line.startswith("FAIL")] == ["FAIL  too dear", r"FAIL  two\nlines"]


class TestGenerator:
    CHECKS = (fired("late-starts", "3 of 50 users were late"), fired("not-pinned", "CPU 1 was not to be had"))

    def test_each_check_that_fired_has_its_paragraph_in_the_width_of_the_terminal(self) -> None:
        result = load_result([], generator=GeneratorHealth.of(self.CHECKS, cpu_share=0.5))
        assert lines(result)[1:] == [
            "generator: not healthy (late-starts), 50 % of a processor core",
            "  late-starts: 3 of 50 users were late. Until then the target got less load than",
            "    planned. Use a longer ramp-up, or do less in the set-up of users and in the",
            "    body",
            "  not-pinned: CPU 1 was not to be had. Switching processors takes time:",
            "    latencies may be higher and rates lower. Allow the process to choose its",
            "    processors, or set pin to 'off'",
        ]
        assert lines(result, width=1000)[2:] == [f"  {check.note}" for check in self.CHECKS]
        assert max(map(len, lines(result, width=1))) < 70

    def test_remarks_leave_it_healthy(self) -> None:
        result = load_result([], generator=GeneratorHealth.of(self.CHECKS[1:]))
        assert lines(result)[1:3] == [
            "generator: healthy",
            "  not-pinned: CPU 1 was not to be had. Switching processors takes time:",
        ]

    def test_what_made_the_load_invalid_is_said_once(self) -> None:
        check = fired("few-ports", "ports ran out")
        result = load_result([], verdict="invalid", reason=f"{check.note}; x", generator=GeneratorHealth.of([check]))
        assert lines(result)[1:] == [f"invalid: {check.note}; x", "generator: not healthy (few-ports)"]

    def test_what_is_suppressed_is_not_shown(self) -> None:
        result = load_result([], generator=GeneratorHealth.of([], ["few-ports"]))
        assert lines(result)[1:] == ["generator: healthy"]


class TestFailures:
    def test_three_kinds_are_shown_and_the_others_counted(self) -> None:
        result = load_result([], failures=[failure(count=9 - number, location="") for number in range(5)])
        assert lines(result)[1:-1] == [
            *(f"failed: {count} x HTTP 503: no" for count in (9, 8, 7)),
            "(2 more kinds of failures; -v shows all)",
        ]

    def test_with_v_all_are_shown(self) -> None:
        result = load_result([], failures=[failure()] * 5)
        assert len([line for line in lines(result, verbosity=1) if line.startswith("failed: ")]) == 5


class TestNames:
    @pytest.mark.parametrize("name", ["a|b", "1e5", "  12 ", "| --- |", "a  b", "0x1f", "$x$", "nan"])
    def test_odd_names_are_shown_as_they_are(self, name: str) -> None:
        row = lines(load_result([request(name), request("GET /")]))[3]
        assert row.startswith(name.strip())
        assert row.endswith("  1  0.1       0  10.0 ms  10.0 ms  10.0 ms  10.0 ms")

    def test_long_names_are_shortened_to_fit_the_terminal(self) -> None:
        long = [f"GET /api/v2/customers/{number}/orders/latest" for number in (1, 2)]
        result = load_result([request(name) for name in long])
        for width in (80, 120, 160):
            table = lines(result, width=width)[1:6]
            assert max(map(len, table)) <= width
        assert lines(result, width=80)[3].startswith("GET /api/...rs/latest  ")
        assert lines(result, width=160)[3].startswith(long[0])
        assert lines(result, verbosity=1, width=80)[3].startswith(long[0])

    def test_in_a_narrow_terminal_names_keep_thirteen_characters(self) -> None:
        assert lines(load_result([request("GET /api/v2/orders")]), width=20)[3].startswith("GET /...rders  ")

    def test_control_characters_cannot_break_the_terminal(self) -> None:
        evil = "a\x1b[31m\nb\rc"
        samples = [request(evil), step(evil), request(evil)._replace(kind=SETUP)]
        result = load_result(
            samples,
            verdict="invalid",
            reason=evil,
            thresholds=[judged(f"p95{{{evil}}} < 1s", samples)],
            failures=[failure(evil, evil, evil)],
            generator=GeneratorHealth.of([fired(evil, "x"), fired("few-ports", evil)]),
        )
        shown = lines(result, verbosity=1)
        assert all(line.isprintable() for line in shown)
        assert sum(r"a\x1b[31m\nb\rc" in line for line in shown) == 8

    @given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=25), st.integers(75, 200))
    def test_whatever_the_names_the_table_is_aligned_and_fits(self, names: list[str], width: int) -> None:
        _, head, rule, *rest = lines(load_result([request(name) for name in names]), width=width)
        different = len(set(names))
        rows = rest[: min(different, 20) + (different > 1)]
        assert rule == "-" * len(head)
        assert {width_of(row) for row in rows} == {len(head)}
        assert len(head) <= width

    def test_twenty_names_are_shown_the_most_requested_ones(self) -> None:
        samples = [request(f"GET /{number}") for number in range(25) for _ in range(number + 1)]
        shown = lines(load_result(samples))
        names = [line.split()[1] for line in shown if line.startswith("GET ")]
        assert names == [f"/{number}" for number in range(24, 4, -1)]
        assert shown[23].startswith("all requests")
        assert shown[24] == "(5 more request names; -v shows all)"

    def test_with_v_all_names_are_shown_in_order_of_first_sight(self) -> None:
        samples = [request(f"GET /{number}") for number in range(25) for _ in range(number + 1)]
        shown = lines(load_result(samples), verbosity=1)
        assert [line.split()[1] for line in shown if line.startswith("GET ")] == [f"/{number}" for number in range(25)]
        assert not any("more request name" in line for line in shown)


class TestPrinting:
    @staticmethod
    def printed(config: pytest.Config, *results: tuple[LoadResult, bool], colour: bool = False) -> str:
        from _pytest.terminal import TerminalReporter  # pytest exports this type from 9.2 on only

        output = io.StringIO()
        reporter = TerminalReporter(config, output)
        reporter._tw.hasmarkup = colour  # there is no public way to a terminal with colours
        reporter.write_ensure_prefix("test_a.py ", ".")  # a line that is not finished
        shown: Sequence[tuple[dict[str, Any], bool]] = [(result.as_dict(), expected) for result, expected in results]
        print_results(reporter, shown, 0, 80)
        return output.getvalue()

    def test_name_and_verdict_stand_in_one_line(self, pytestconfig: pytest.Config) -> None:
        two = (load_result([]), False), (load_result([], nodeid="b.py::b", verdict="failed"), True)
        unfinished, title, *text = self.printed(pytestconfig, *two).strip().splitlines()
        assert (unfinished, title.strip("=")) == ("test_a.py .", " load tests ")
        assert text[0] == "test_a.py::test_a  PASSED"
        assert text[3:5] == ["", "b.py::b  FAILED (xfail)"]

    @pytest.mark.parametrize(("verdict", "code"), [("passed", "32"), ("failed", "31"), ("invalid", "33")])
    def test_the_verdict_has_its_colour(self, pytestconfig: pytest.Config, verdict: str, code: str) -> None:
        text = self.printed(pytestconfig, (load_result([], verdict=verdict), False), colour=True)
        assert f"\x1b[{code}m\x1b[1m{verdict.upper()}\x1b[0m\n" in text


class TestWide:
    def test_there_is_room_for_more_statistics(self) -> None:
        table = lines(load_result(SAMPLES), width=160)
        assert table[1].split() == [
            *("request", "requests", "rps", "errors"),
            *("min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"),
        ]
        assert table[3].split()[-6:] == ["20.0", "ms", "30.0", "ms", "30.0", "ms"]
        assert max(map(len, table)) <= 160

    def test_all_tables_fit(self) -> None:
        result = replace(load_result(SAMPLES, users_by_source={"127.0.0.2": 1}), shards=SHARDS, rounds=ROUNDS)
        for width in (100, 124, 160):
            tables = [line for line in lines(result, verbosity=1, width=width) if line.endswith(("---", " ms", "max"))]
            assert max(map(len, tables)) <= width


def seconds(*milliseconds: float | None) -> LoadResult:
    """A load with one request in each second, or none."""
    samples = [
        request(latency_ms=latency, at_ms=1000 * second)
        for second, latency in enumerate(milliseconds)
        if latency is not None
    ]
    return load_result(samples, seconds=float(len(milliseconds)))


class TestTimeline:
    def test_with_v_each_second_is_a_bar(self) -> None:
        shown = lines(seconds(10, 80, None, 40), verbosity=1)
        place = shown.index("timeline of 4.00 s")
        assert shown[place + 1 : place + 3] == ["  rps    ██▁█ 0 to 1", "  p95    ▂█ ▅ 10.0 ms to 80.0 ms"]
        assert not any("timeline" in line for line in lines(seconds(10, 80, None, 40)))

    def test_a_second_in_part_is_left_out_as_its_rate_would_be_too_low(self) -> None:
        samples = [request(latency_ms=1, at_ms=at) for at in (0, 100, 1000, 1100, 2000, 2100, 3000)]
        shown = lines(load_result(samples, seconds=3.25), verbosity=1)
        place = shown.index("timeline of 3.00 s, without the last 250 ms")
        assert shown[place + 1].endswith(" 2")

    def test_longer_steps_are_told_and_their_rate_is_that_of_a_second(self) -> None:
        short = seconds(10, 80, None, 40)
        points = [replace(point, t_s=4 * point.t_s) for point in short.timeline]
        long = replace(short, timeline=points, timeline_step_s=4, duration_s=16.0)
        shown = lines(long, verbosity=1)
        place = shown.index("timeline of 16.0 s in steps of 4 s")
        assert shown[place + 1].startswith("  rps    ")

    def test_errors_are_shown_if_there_were_any(self) -> None:
        samples = [request(at_ms=1000 * second, outcome=FAILED if second else "ok") for second in range(4)]
        shown = lines(load_result(samples), verbosity=1)
        assert "  errors ▁███ 0 to 1" in shown

    def test_a_short_load_has_none(self) -> None:
        assert not any("timeline" in line for line in lines(seconds(10, 80), verbosity=1))

    def test_a_long_one_fits(self) -> None:
        shown = lines(seconds(*range(1, 400)), verbosity=1, width=80)
        bars = [line for line in shown if line.startswith(("  rps ", "  p95 "))]
        assert [len(line) <= 80 for line in bars] == [True, True]
        assert all(len(line) > 70 for line in bars)


SHARDS = [
    ShardStats(index, f"gw{index}", "host", 25, 100, 200, 3, 0.25, 0.5 if index else None, index or None)
    for index in range(2)
]
ROUNDS = [
    RoundStats(
        role=role, base_url="http://127.0.0.1:8000", verdict="passed", reason="", started_at="", duration_s=1.0,
        requests=100, rps=50.0, error_rate=0.0, p50_ms=1.0, p95_ms=2.0, p99_ms=None,
    )
    for role in ("base", "current")
]  # fmt: skip


def test_with_v_the_shards_are_shown() -> None:
    result = replace(load_result([request()]), shards=SHARDS)
    shown = lines(result, verbosity=1)
    place = next(place for place, line in enumerate(shown) if line.startswith("shard "))
    assert shown[place + 2].split() == ["gw0", "on", "host", "25", "100", "200", "3", "250", "us", "-", "-"]
    assert shown[place + 3].split()[-3:] == ["50", "%", "1"]
    assert not any(line.startswith("shard ") for line in lines(result))


def test_rounds_are_shown() -> None:
    shown = lines(replace(load_result([request()]), rounds=ROUNDS), width=120)
    place = next(place for place, line in enumerate(shown) if line.startswith("round "))
    assert shown[place + 2].split() == [
        *("1", "http://127.0.0.1:8000", "(base)", "passed", "100", "50", "0", "%"),
        *("1.00", "ms", "2.00", "ms", "-"),
    ]
    assert shown[place + 3].startswith("2 http://127.0.0.1:8000 ")


def test_words_that_judge_are_coloured() -> None:
    written: list[tuple[str, dict[str, bool]]] = []

    class Terminal:
        def ensure_newline(self) -> None:
            pass

        def section(self, title: str) -> None:
            pass

        def write(self, text: str, **markup: bool) -> None:
            written.append((text, markup))

        write_line = write

    thresholds = [judged("p95 < 15ms", SAMPLES), judged("rps > 1000", SAMPLES, WARN), judged("rps > 1", SAMPLES)]
    result = load_result(SAMPLES, verdict="failed", thresholds=thresholds, failures=[failure()])
    terminal: Any = Terminal()
    print_results(terminal, [(result.as_dict(), False)], 0, 80)
    coloured = {text: [*markup] for text, markup in written if markup}
    assert coloured.pop("FAILED") == ["red", "bold"]
    assert coloured == {
        "FAIL": ["red"],
        "warn": ["yellow"],
        "ok  ": ["green"],
        "failed: 1 x HTTP 503 at test_a.py:3: no": ["red"],
    }


class TestBaseline:
    def test_what_was_judged_what_changed_and_what_could_not_be_compared(self) -> None:
        limit = CompareLimit.parse("p95:10%")
        comparisons = [
            describe(Metric.parse("p50"), 10, [20, 20, 20]),
            describe(Metric.parse("rps"), 121, [100, 100, 100]),
            describe(Metric.parse("p99"), 1, [0, 0, 0]),  # of nothing there is no share
            judge_history(limit, 10, [20] * 8),
            judge_history(limit, 30, [20] * 8),
            judge_history(limit, 30, [20]),
            judge_rounds(limit, [20], [20]),
            judge_rounds(limit, [20], [20], strict=True),
        ]
        baseline = ComparedWith(3, ["0001_main.json"], ["1 saved run left out: users 5, here \x1b[31m"])
        shown = lines(replace(load_result([]), comparisons=comparisons, baseline=baseline))
        assert shown[1:-1] == [
            f"ok    {comparisons[3].message}",
            f"REGR  {comparisons[4].message}",
            f"??    {comparisons[5].message}",
            f"??    {comparisons[6].message}",
            f"FAIL  {comparisons[7].message}",
            "baseline: p50 -50 %, rps +21 % (median of 3 saved runs)",
            r"baseline: 1 saved run left out: users 5, here \x1b[31m",
        ]

    def test_of_another_target_there_are_rounds(self) -> None:
        comparisons = [describe(Metric.parse("p50"), 10, [20])]
        assert "baseline: p50 -50 % (median of 1 round)" in lines(replace(load_result([]), comparisons=comparisons))


def test_what_the_stacks_of_the_target_say() -> None:
    found = explained()
    result = load_result(SAMPLES).with_explanation(replace(found, lines=[*found.lines] * 3))
    shown = [
        "target: share of the time in 3 slow seconds:",
        "  shop/cart.py:30 price_of 75 %, before 5 % (+60 to +70 points, 90 and 7 samples), called by app.py:3 f: "
        "time.sleep(1)",
        "  in werkzeug, outside the project's code 20 %, before 5 % (+60 to +70 points, 24 and 7 samples)",
    ]
    assert [line for line in lines(result) if "target:" in line or "samples)" in line] == [*shown, shown[1]]
    assert sum("samples)" in line for line in lines(result, verbosity=1)) == 6
    assert not any("target" in line for line in lines(load_result(SAMPLES).with_explanation(replace(found, note=""))))
