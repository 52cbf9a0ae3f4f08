"""What the stacks of a target say about a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.results import load_result
from support.samples import measurements, request

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.stacks import Place, StackSamples, packed
from pytest_ipload.verdict.explanation import explain_seconds, explain_versions
from pytest_ipload.verdict.failure_text import failure_message
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult, evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope

USUAL = Place("app.py", 5, "render", "app.py:20 cart", "")
SLOW = Place("shop/cart.py", 30, "price_of", "app.py:21 cart", "pg8000: execute")
SLOW_TOO = SLOW._replace(line=31)


def load(slow: set[int], seconds: int = 10, name: str = "GET /", usual_ms: int = 20) -> Measurements:
    """A load with seven requests a second; those of slow seconds take 240 ms, the others 20."""
    samples = [
        request(name, 240 if second in slow else usual_ms, at_ms=second * 1000 + 100 * number)
        for second in range(seconds)
        for number in range(7)
    ]
    return measurements(samples, window_ms=500)


def stacks(slow: set[int], seconds: int = 10) -> StackSamples:
    """Half-seconds of it."""
    quick, held_up = Counter({USUAL: 38, SLOW: 2}), Counter({USUAL: 10, SLOW: 25, SLOW_TOO: 5})
    counts = {window: held_up if window // 2 in slow else quick for window in range(2 * seconds)}
    return packed(counts, sources={"shop/cart.py:30": "row = execute(sql)"}, pids=[7], waiting=3, cpu_share=0.02)


def judged(text: str, measured: Measurements) -> list[tuple[ThresholdConfig, ThresholdResult]]:
    config = ThresholdConfig(Threshold.parse(text))
    return [(config, evaluate(config, measured, Scope(seconds=10.0)))]


def test_the_function_that_grew_in_slow_seconds_is_named_with_its_line_and_numbers() -> None:
    slow = {2, 3, 6}
    found = explain_seconds(stacks(slow), judged("p95 < 200ms", load(slow)), load(slow))
    assert (found.kind, found.slow, found.good, found.metric) == ("seconds", 3, 7, "p95 < 200ms")
    assert found.texts == [
        "share of the time in 3 slow seconds against 7 others:",
        "shop/cart.py:30 price_of 75 %, before 5 % (+70 to +70 points, 180 and 28 samples), in pg8000: execute, "
        "called by app.py:21 cart: row = execute(sql)",
    ]


def test_a_limit_among_the_usual_times_does_not_make_slow_seconds_of_ordinary_ones() -> None:
    slow, measured = {2, 3, 6}, load({2, 3, 6})
    found = explain_seconds(stacks(slow), judged("p95 < 15ms", measured), measured)
    assert (found.kind, found.slow, found.good) == ("seconds", 3, 7)
    assert found.note == "share of the time in 3 slow seconds (p95 above 69.3 ms) against 7 others:"
    assert [line.function for line in found.lines] == ["price_of"]


def test_where_all_is_above_the_limit_and_no_part_of_it_differs_it_says_where_the_time_goes() -> None:
    measured = load({2, 3, 6})
    found = explain_seconds(stacks(set()), judged("p95 < 15ms", measured), measured)
    assert (found.kind, [line.function for line in found.lines]) == ("share", ["render"])
    assert found.lines[0].share_before is None


def test_a_window_without_requests_of_the_threshold_is_on_neither_side() -> None:
    slow, measured = {2, 3, 6}, load({2, 3, 6}, seconds=8)
    found = explain_seconds(stacks(slow, seconds=10), judged("p95 < 200ms", measured), measured)
    assert (found.slow, found.good) == (3, 5)


def test_without_good_seconds_it_says_which_lines_have_the_largest_shares_and_no_more() -> None:
    always = set(range(10))
    found = explain_seconds(stacks(always), judged("p95 < 200ms", load(always)), load(always))
    assert found.kind == "share"
    assert "largest shares" in found.note
    assert [line.function for line in found.lines] == ["price_of", "render"]
    assert found.lines[0].growth_low is None
    assert found.lines[0].message.startswith("shop/cart.py:30 price_of 75 % (600 samples)")


def test_a_target_that_others_took_the_processor_from_is_not_blamed() -> None:
    slow, measured = {2, 3, 6}, load({2, 3, 6})
    processor = [(window, 0.1, 3.0 if window // 2 in slow else 0.0) for window in range(20)]
    found = explain_seconds(replace(stacks(slow), processor=processor), judged("p95 < 200ms", measured), measured)
    assert (found.kind, list(found.lines)) == ("seconds", [])
    assert found.note.startswith("no line explains 3 slow seconds against 7 others: threads waited for a processor")


def test_noise_names_nothing_and_says_so() -> None:
    slow = {2, 3, 6}
    found = explain_seconds(stacks({0, 3, 4, 8}), judged("p95 < 200ms", load(slow)), load(slow))
    assert (found.kind, list(found.lines)) == ("seconds", [])
    assert "no function's share of the time differs by more than noise" in found.note


def test_a_load_that_passed_needs_no_explanation() -> None:
    found = explain_seconds(stacks({2}), judged("p95 < 2s", load({2})), load({2}))
    assert (found.kind, found.note, found.samples, found.pids) == ("none", "", 800, [7])


def test_a_sampler_without_the_right_says_so_whether_it_passed_or_not() -> None:
    found = explain_seconds(StackSamples(problem="not explained: no right"), judged("p95 < 2s", load({2})), load({2}))
    assert (found.kind, found.texts) == ("none", ["not explained: no right"])


def version(slow: bool, folder: str, line: int) -> StackSamples:
    """One round of a version, with its own folder and line numbers."""
    quick = USUAL._replace(file=f"{folder}/app.py", line=line)
    held_up = SLOW._replace(file=f"{folder}/cart.py", line=line + 9)
    return packed({0: Counter({quick: 40, held_up: 60 if slow else 4})}, pids=[line])


def test_versions_are_compared_by_function_as_their_lines_move() -> None:
    found = explain_versions([version(True, "new", 10)] * 5, [version(False, "old", 90)] * 5, "p95")
    assert (found.kind, found.slow, found.good, sorted(found.pids)) == ("versions", 5, 5, [10, 90])
    [line] = found.lines
    assert (line.file, line.line, line.function) == ("new/cart.py", 19, "price_of")
    assert line.share == 0.6
    assert line.share_before == pytest.approx(4 / 44, abs=1e-4)


def test_unchanged_versions_and_too_few_rounds_name_nothing() -> None:
    same = [version(True, "new", 10)] * 5
    assert "by more than noise" in explain_versions(same, same, "p95").note
    few = explain_versions(same[:2], [version(False, "old", 10)] * 2, "p95")
    assert "too few rounds" in few.note
    assert list(few.lines) == []


def test_the_failure_message_has_the_lines_after_the_measured_value() -> None:
    slow, measured = {2, 3, 6}, load({2, 3, 6})
    pairs = judged("p95 < 200ms", measured)
    result = load_result([], verdict="failed", thresholds=[pair[1] for pair in pairs])
    message = failure_message(result.with_explanation(explain_seconds(stacks(slow), pairs, measured)))
    first, second, third = message.splitlines()
    assert first.startswith("p95 240 ms")
    assert second.strip().startswith("target: share of the time in 3 slow seconds")
    assert "price_of 75 %" in third
