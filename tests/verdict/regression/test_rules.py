from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.verdict.regression.comparison import Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.rules import describe, judge_creep, judge_history, judge_rounds, without_samples
from pytest_ipload.verdict.threshold.expression import Metric

STEADY = [100.0] * 8
NOISY = [80, 90, 95, 100, 100, 105, 110, 120]
"""Median 100, worst 120, range 40: of nine values, the newest is by more than 0.616 of it the worst in 1 % only."""
TEN_PERCENT = CompareLimit.parse("p95:10%")

runs = st.lists(st.floats(1, 1000), min_size=1, max_size=12)
rounds = st.lists(st.floats(1, 1000), min_size=1, max_size=5)
factors = st.sampled_from([1e-3, 0.5, 7.0, 1e4])


class TestHistory:
    @pytest.mark.parametrize(
        ("limit", "current", "saved", "regressed", "tolerance"),
        [
            ("p95:10%", 110, STEADY, False, 10),
            ("p95:10%", 110.1, STEADY, True, 10),
            ("p95:10%", 10, STEADY, False, 10),
            ("p95:10%,50ms", 150, STEADY, False, 50),
            ("p95:10%,50ms", 151, STEADY, True, 50),
            ("p95:10%", 109, NOISY, False, 44.655),
            ("p95:10%", 145, NOISY, True, 44.655),
            ("p95:50%", 145, NOISY, False, 50),
            ("rps:10%", 90, STEADY, False, 10),
            ("rps:10%", 89, STEADY, True, 10),
            ("rps:10%", 500, STEADY, False, 10),
            ("rps:10%", 55, NOISY, True, 44.655),
            ("error_rate:10%", 0, [0.0] * 8, False, 0),
            ("error_rate:10%", 0.001, [0.0] * 8, True, 0),
            ("error_rate:0%,1%", 0.01, [0.0] * 8, False, 0.01),
        ],
    )
    def test_worse_than_the_median_by_more_than_limit_and_noise_is_a_regression(
        self, limit: str, current: float, saved: Sequence[float], regressed: bool, tolerance: float
    ) -> None:
        comparison = judge_history(CompareLimit.parse(limit), current, saved)
        assert comparison.regressed == regressed
        assert comparison.tolerance == pytest.approx(tolerance, rel=1e-3)
        assert (comparison.undecided, comparison.warning, comparison.p_value) == (False, None, None)
        assert (comparison.runs, comparison.limit) == (len(saved), limit)

    @pytest.mark.parametrize("strict", [False, True])
    @pytest.mark.parametrize(
        ("saved", "why"),
        [
            ([100.0], "it takes 8 saved runs to tell a change from noise"),
            ([50.0, 150], "it takes 8 saved runs to tell a change from noise"),
            ([100.0] * 7, "it takes 8 saved runs to tell a change from noise"),
            (NOISY, "the saved runs vary too much"),
        ],
    )
    def test_beyond_the_limit_without_enough_to_say_so_is_undecided(
        self, saved: list[float], why: str, strict: bool
    ) -> None:
        comparison = judge_history(TEN_PERCENT, 120, saved, strict=strict)
        assert (comparison.regressed, comparison.undecided, comparison.passed) == (False, True, not strict)
        told = f"undecided, a failure in a strict session: {why}" if strict else f"undecided: {why}"
        assert comparison.warning == told
        assert comparison.message.endswith(f"; {told})")

    @pytest.mark.parametrize("saved", [[100.0], [100.0] * 7])
    def test_within_the_limit_few_runs_are_no_doubt(self, saved: list[float]) -> None:
        comparison = judge_history(TEN_PERCENT, 109, saved, strict=True)
        assert (comparison.regressed, comparison.undecided, comparison.passed) == (False, False, True)
        assert comparison.warning == "fewer than 8 saved runs: nothing is a regression yet"

    def test_the_more_comparisons_the_farther_beyond_the_saved_runs(self) -> None:
        tolerances = [judge_history(TEN_PERCENT, 100, NOISY, comparisons=number).tolerance for number in (1, 20, 400)]
        assert tolerances == pytest.approx([44.7, 80.5, 131], rel=0.01)
        assert judge_history(TEN_PERCENT, 111, STEADY, comparisons=400).regressed

    @pytest.mark.parametrize(
        ("limit", "current", "saved", "message"),
        [
            (
                "p95:10%",
                243,
                [180, 183, 183, 186, 186, 186, 189, 189, 192],
                "p95 243 ms, 30.6 % above the baseline's 186 ms (limit +10 %; median of 9 runs, MAD 3.00 ms)",
            ),
            (
                "p95:10%",
                110,
                NOISY,
                "p95 110 ms, 10 % above the baseline's 100 ms (limit +10 %; median of 8 runs, MAD 7.50 ms, noise alone "
                "explains up to 44.7 %)",
            ),
            (
                "rps:10%,5/s",
                50,
                [100],
                "rps 50/s, 50 % below the baseline's 100/s (limit -10 %, at least 5/s; 1 run; undecided: it takes 8 "
                "saved runs to tell a change from noise)",
            ),
            (
                "error_rate:10%",
                0.02,
                [0.0] * 8,
                "error_rate 2 %, above the baseline's 0 % (limit +10 %; median of 8 runs, MAD 0 %)",
            ),
            (
                "max:1s",
                100,
                STEADY,
                "max 100 ms, the same as the baseline's 100 ms (limit +1.00 s; median of 8 runs, MAD 0 ms)",
            ),
        ],
    )
    def test_the_message_has_the_measured_value_first(
        self, limit: str, current: float, saved: Sequence[float], message: str
    ) -> None:
        assert judge_history(CompareLimit.parse(limit), current, saved).message == message

    @given(runs, st.floats(1, 1000), factors)
    def test_the_scale_does_not_matter(self, saved: list[float], current: float, factor: float) -> None:
        one = judge_history(TEN_PERCENT, current, saved)
        other = judge_history(TEN_PERCENT, current * factor, [value * factor for value in saved])
        assert one.change is not None
        assert one.tolerance is not None
        distance = abs(current - one.baseline - one.tolerance)
        assert one.regressed == other.regressed or distance < 1e-6 * current
        assert other.change == pytest.approx(one.change, abs=1e-9)

    @given(runs, st.floats(1, 1000))
    def test_what_is_no_worse_than_the_median_never_regresses(self, saved: list[float], share: float) -> None:
        middle = judge_history(TEN_PERCENT, 1, saved).baseline
        assert not judge_history(TEN_PERCENT, middle * share / 1000, saved).regressed
        assert not judge_history(CompareLimit.parse("rps:10%"), middle * (1 + share), saved).regressed

    @given(st.lists(st.floats(1, 1000), min_size=8, max_size=20), st.floats(1, 1000))
    def test_what_a_saved_run_has_shown_never_regresses(self, saved: list[float], current: float) -> None:
        for text, worst in (("p95:0%", max(saved)), ("rps:0%", min(saved))):
            comparison = judge_history(CompareLimit.parse(text), current, saved)
            is_worse = current > worst if text == "p95:0%" else current < worst
            assert is_worse or not comparison.regressed


class TestCreep:
    @pytest.mark.parametrize(
        ("limit", "recent", "oldest", "regressed"),
        [
            ("p95:10%", [112.0] * 8, [100.0, 101] * 5, True),
            ("p95:10%", [105.0, *[112.0] * 7], [100.0, 101] * 5, False),  # the newest is not
            ("p95:10%", [130.0, *[100.0] * 7], [100.0, 101] * 5, False),  # it is the only one
            ("p95:10%", [112.0] * 8, [90.0, 112, 120] * 3, False),  # the oldest differ as much
            ("p95:10%,20ms", [112.0] * 8, [100.0, 101] * 5, False),
            ("rps:10%", [88.0] * 8, [100.0, 101] * 5, True),
            ("rps:10%", [112.0] * 8, [100.0, 101] * 5, False),
        ],
    )
    def test_the_newest_runs_are_judged_by_the_oldest(
        self, limit: str, recent: list[float], oldest: list[float], regressed: bool
    ) -> None:
        comparison = judge_creep(CompareLimit.parse(limit), recent, oldest)
        assert (comparison is not None) == regressed
        if comparison is not None:
            assert (comparison.regressed, comparison.passed, comparison.runs) == (True, False, len(oldest))

    def test_the_message_says_which_runs(self) -> None:
        comparison = judge_creep(TEN_PERCENT, [112.0] * 8, [100.0] * 10)
        assert comparison is not None
        assert comparison.message == (
            "p95 112 ms, 12 % above the baseline's 100 ms (limit +10 %; the newest 8 runs against the oldest 10; "
            "p = 2.3e-05)"
        )

    def test_the_more_comparisons_the_surer_it_has_to_be(self) -> None:
        values = [112.0] * 8, [100.0] * 10
        assert judge_creep(TEN_PERCENT, *values, comparisons=400) is not None
        assert judge_creep(TEN_PERCENT, *values, comparisons=500) is None


class TestRounds:
    @pytest.mark.parametrize(
        ("limit", "current", "base", "regressed", "p"),
        [
            ("p95:10%", [121, 122, 123, 124, 125], [100, 101, 102, 103, 104], True, 1 / 252),
            ("p95:10%", [121, 122, 123, 124], [100, 101, 102, 103], True, 1 / 70),
            ("p95:10%", [106, 107, 108, 109, 110], [100, 101, 102, 103, 104], False, 1 / 252),  # surely, but by 6 %
            ("p95:10%,50ms", [121, 122, 123, 124, 125], [100, 101, 102, 103, 104], False, 1 / 252),
            ("p95:10%", [100, 101, 102, 103, 104], [121, 122, 123, 124, 125], False, 1.0),
            ("rps:10%", [80, 81, 82, 83, 84], [100, 101, 102, 103, 104], True, 1 / 252),
            ("rps:10%", [120, 121, 122, 123, 124], [100, 101, 102, 103, 104], False, 1.0),
            ("error_rate:0%,1%", [0.02] * 5, [0.0] * 5, True, 1 / 252),
            ("error_rate:0%", [0.0] * 5, [0.0] * 5, False, 1.0),
            ("p95:10%", [121, 122, 123, 124], [100, 101, 102, 103, 104, 105], True, 1 / 210),
        ],
    )
    def test_a_regression_is_beyond_the_limit_and_significant(
        self, limit: str, current: Sequence[float], base: Sequence[float], regressed: bool, p: float
    ) -> None:
        comparison = judge_rounds(CompareLimit.parse(limit), current, base)
        assert (comparison.regressed, comparison.undecided, comparison.warning) == (regressed, False, None)
        assert comparison.p_value == pytest.approx(p)
        assert comparison.runs == len(base)

    def test_beyond_the_limit_but_not_significant_is_undecided(self) -> None:
        comparison = judge_rounds(TEN_PERCENT, [90, 95, 150, 160, 170], [100, 101, 102, 103, 104])
        assert (comparison.regressed, comparison.undecided, comparison.passed) == (False, True, True)
        strictly = judge_rounds(TEN_PERCENT, [90, 95, 150, 160, 170], [100, 101, 102, 103, 104], strict=True)
        assert (strictly.regressed, strictly.undecided, strictly.passed) == (False, True, False)
        assert comparison.warning == "undecided: the difference may be noise; run more rounds"

    @pytest.mark.parametrize(
        ("current", "base"), [([900], [100]), ([900, 901, 902], [100, 101, 102]), ([900, 901, 902], [100] * 9)]
    )
    def test_fewer_than_four_rounds_are_undecided_whatever_they_say(
        self, current: list[float], base: list[float]
    ) -> None:
        for limit in (TEN_PERCENT, CompareLimit.parse("p95:1h")):
            comparison = judge_rounds(limit, current, base)
            assert (comparison.regressed, comparison.undecided, comparison.p_value) == (False, True, None)
            assert comparison.warning == "undecided: it takes 4 rounds a side to tell a change from noise"

    @pytest.mark.parametrize(
        ("current", "base", "message"),
        [
            (
                [121, 122, 123, 124, 125],
                [100, 101, 102, 103, 104],
                "p95 123 ms, 20.6 % above the baseline's 102 ms (limit +10 %; 5 rounds a side; p = 0.004)",
            ),
            (
                [121, 122, 123, 124, 125],
                [100, 101, 102, 103],
                "p95 123 ms, 21.2 % above the baseline's 102 ms (limit +10 %; 5 rounds against 4; p = 0.0079)",
            ),
            (
                [100],
                [100],
                "p95 100 ms, the same as the baseline's 100 ms (limit +10 %; 1 round a side; undecided: it takes 4 "
                "rounds a side to tell a change from noise)",
            ),
        ],
    )
    def test_the_message_has_the_measured_value_first(
        self, current: Sequence[float], base: Sequence[float], message: str
    ) -> None:
        assert judge_rounds(TEN_PERCENT, current, base).message == message

    @given(rounds, rounds, factors)
    def test_the_scale_does_not_matter(self, current: list[float], base: list[float], factor: float) -> None:
        one = judge_rounds(TEN_PERCENT, current, base)
        other = judge_rounds(TEN_PERCENT, *([value * factor for value in side] for side in (current, base)))
        assert one.change is not None
        assert other.change == pytest.approx(one.change, abs=1e-9)
        assert one.regressed == other.regressed or abs(one.change - 0.1) < 1e-6

    @given(rounds)
    def test_the_same_rounds_on_both_sides_never_regress(self, values: list[float]) -> None:
        assert not judge_rounds(CompareLimit.parse("p95:0%"), values, values).regressed


def test_describing_judges_nothing() -> None:
    comparison = describe(Metric.parse("p95"), 150, [100, 90, 110])
    assert (comparison.current, comparison.baseline, comparison.change) == (150, 100, 0.5)
    assert (comparison.limit, comparison.regressed) == (None, False)
    assert comparison.message == "p95 150 ms, 50 % above the baseline's 100 ms (median of 3 runs)"
    assert describe(Metric.parse("p95"), 50, [100]).message == "p95 50.0 ms, 50 % below the baseline's 100 ms (1 run)"


def test_over_no_samples_it_is_a_regression() -> None:
    comparison = without_samples(TEN_PERCENT, STEADY)
    assert comparison.regressed
    assert comparison.message == "p95: no samples, the baseline's is 100 ms (limit +10 %)"
    assert (comparison.current, comparison.change) == (None, None)


@pytest.mark.parametrize("comparison", [judge_history(TEN_PERCENT, 1, [0.0]), judge_rounds(TEN_PERCENT, [1], [0])])
def test_of_nothing_there_is_no_share(comparison: Comparison) -> None:
    assert comparison.change is None
    assert comparison.message.startswith("p95 1.00 ms, above the baseline's 0 ms (")
