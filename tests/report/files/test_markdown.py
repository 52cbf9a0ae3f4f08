from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.readers import Summary, read_summary
from support.results import explained, failure, judged, load_result
from support.samples import MS, iteration, measurements, request

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.base.text import printable
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.files.markdown import LIMIT, append, code, in_cell, markdown_of, write
from pytest_ipload.report.html.html_tables import threshold_table
from pytest_ipload.report.terminal.load_block import block
from pytest_ipload.stats.sample import FAILED
from pytest_ipload.verdict.regression.comparison import ComparedWith, Comparison
from pytest_ipload.verdict.result import GeneratorHealth
from pytest_ipload.verdict.threshold.config import WARN, with_implied
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.measure import Scope

SAMPLES = [*(request(latency_ms=latency) for latency in [10] * 900 + [20] * 90 + [30] * 10), *[iteration()] * 10]
FAILED_ONES = [*SAMPLES, iteration(outcome=FAILED)]
TOLD: dict[str, Any] = {"method": "median", "message": "by far | or so", "runs": 8}
ODD = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("`|\\<&@# "), max_size=40)


def report(*results: dict[str, Any]) -> dict[str, Any]:
    return report_of(results)


def failed_result(nodeid: str = "a.py::bad", **more: Any) -> dict[str, Any]:
    thresholds = [judged("p95 < 15ms", SAMPLES), judged("rps > 1000", SAMPLES, WARN), judged("p50 < 1s", SAMPLES)]
    return {**load_result(FAILED_ONES, nodeid=nodeid, verdict="failed", thresholds=thresholds).as_dict(), **more}


def summary_of(tmp_path: Path, *results: dict[str, Any]) -> Summary:
    write(tmp_path / "new" / "out.md", report(*results))
    return read_summary(tmp_path / "new" / "out.md")


def test_what_the_stacks_of_the_target_say_is_one_line() -> None:
    result = load_result(FAILED_ONES, verdict="failed").with_explanation(explained("share"))
    [line] = [line for line in markdown_of(report(result.as_dict())).splitlines() if line.startswith("Target: ")]
    assert line.startswith("Target: `share of the time in 3 slow seconds: shop/cart.py:30 price_of 75 % (90 samples)")


class TestText:
    def test_a_summary(self) -> None:
        good = load_result(SAMPLES, nodeid="a.py::good").as_dict()
        bad = failed_result(failures=[{**load_result([], failures=[failure(count=7)]).as_dict()["failures"][0]}])
        assert markdown_of(report(good, bad)).splitlines() == [
            "### Load tests: 1 passed, 1 failed",
            "",
            "| test         | verdict    |   requests |   rps |     p50 |     p95 |     p99 |   error rate |",
            "|:-------------|:-----------|-----------:|------:|--------:|--------:|--------:|-------------:|",
            "| `a.py::good` | passed     |      1 000 | 100.0 | 10.0 ms | 20.0 ms | 20.0 ms |          0 % |",
            "| `a.py::bad`  | **failed** |      1 000 | 100.0 | 10.0 ms | 20.0 ms | 20.0 ms |       9.09 % |",
            "",
            "<details open><summary><code>a.py::bad</code> failed</summary>",
            "",
            "Thresholds:",
            "",
            "- **failed**: `p95 20.0 ms, limit < 15.0 ms "
            "(1 000 requests, 95 % CI 20.0-20.0 ms assuming independent requests)`",
            "- warning: `rps 100/s, limit > 1 000/s (1 000 requests)`",
            "",
            "Failed iterations:",
            "",
            "- 7 × `HTTP 503` at `test_a.py:3`: `no` (first: user 0, iteration 0)",
            "",
            "</details>",
        ]

    def test_without_load_tests_it_says_so(self) -> None:
        assert markdown_of(report()) == "### Load tests: none\n"

    def test_what_was_not_measured_is_absent(self, tmp_path: Path) -> None:
        [[_, row]] = summary_of(tmp_path, load_result([]).as_dict()).tables
        assert row == ["⟨test_a.py::test_a⟩", "passed", "0", "0.0", "-", "-", "-", "-"]

    def test_response_times_have_a_row_of_their_own(self, tmp_path: Path) -> None:
        result = load_result([request(latency_ms=10, lateness_ns=20 * MS)], planned=True).as_dict()
        [[_, row, below]] = summary_of(tmp_path, result).tables
        assert row[4:7] == ["10.0 ms"] * 3
        assert below == ["⟨test_a.py::test_a⟩, response time", "", "", "", *["30.0 ms"] * 3, ""]

    def test_a_segment_is_none_that_was_judged(self, tmp_path: Path) -> None:
        [[_, row]] = summary_of(tmp_path, {**load_result([]).as_dict(), "segment": "0/4"}).tables
        assert row[1] == "segment 0/4"

    def test_nor_is_it_counted_as_one(self) -> None:
        segment = {**load_result([]).as_dict(), "segment": "0/4", "test_errors": [{"phase": "call", "reason": "no"}]}
        text = markdown_of(report(load_result([]).as_dict(), segment))
        assert text.startswith("### Load tests: 1 passed, 1 segment not judged yet\n")

    def test_a_threshold_that_nobody_gave_says_so(self) -> None:
        [implied] = with_implied([])
        thresholds = [evaluate(implied, measurements([iteration(outcome=FAILED)]), Scope(1.0, 0, 0))]
        result = load_result([], verdict="failed", thresholds=thresholds)
        assert "(1 of 1 iterations failed)` (implied)\n" in markdown_of(report(result.as_dict()))
        assert result.as_dict()["thresholds"][0]["implied"] is True
        assert block(result.as_dict())[1].endswith("(1 of 1 iterations failed) (implied)")
        assert threshold_table(result.as_dict()).rows[0][-1] == "implied"

    def test_an_invalid_measurement_says_why_and_how_the_generator_fared(self, tmp_path: Path) -> None:
        health = GeneratorHealth.of([fired("late-starts", "3 of 50 users were late")])
        result = load_result([], verdict="invalid", reason="few-ports: ports ran out", generator=health).as_dict()
        summary = summary_of(tmp_path, result)
        assert summary.texts[:3] == [
            "Load tests: 1 invalid",
            "Invalid: ⟨few-ports: ports ran out⟩",
            "The generator:",
        ]
        assert summary.texts[3].startswith("⟨late-starts: 3 of 50 users were late. ")

    def test_what_plugins_said_is_listed(self, tmp_path: Path) -> None:
        result = load_result([request()]).with_objections(["too | dear", "two\nlines"])
        summary = summary_of(tmp_path, result.as_dict())
        assert summary.texts[1:4] == ["Plugins:", "⟨too | dear⟩", r"⟨two\nlines⟩"]

    def test_failures_of_a_passed_test_are_folded_up(self, tmp_path: Path) -> None:
        summary = summary_of(tmp_path, load_result([], nodeid="<b>&`|", failures=[failure()]).as_dict())
        assert summary.html[0].startswith("<details><summary><code>&lt;b&gt;&amp;`|</code> passed<")

    def test_a_comparison_with_a_baseline_has_a_table(self, tmp_path: Path) -> None:
        slower, maybe, same, unknown = (
            Comparison(metric=metric, unit=unit, current=current, baseline=baseline, change=change, **more)
            for metric, unit, current, baseline, change, more in [
                ("p95", "ms", 243.0, 200.0, 0.215, {"regressed": True, **TOLD}),
                ("error_rate", "fraction", 0.01, 0.02, -0.5, {"undecided": True, **TOLD}),
                ("rps", "1/s", 100.0, 100.0, 0.0, TOLD),
                ("p99{a|b}", "ms", None, 100.0, None, TOLD),
            ]
        )
        result = replace(load_result([]), comparisons=[slower, maybe, same, unknown])
        _, table = summary_of(tmp_path, result.as_dict()).tables
        assert table[1:] == [
            ["⟨p95⟩", "regressed: ⟨by far | or so⟩", "200 ms", "243 ms", "+21.5%"],
            ["⟨error_rate⟩", "undecided: ⟨by far | or so⟩", "2 %", "1 %", "-50.0%"],
            ["⟨rps⟩", "⟨by far | or so⟩", "100/s", "100/s", "+0.0%"],
            ["⟨p99{a|b}⟩", "⟨by far | or so⟩", "100 ms", "-", "-"],
        ]

    def test_what_could_not_be_compared_is_said(self, tmp_path: Path) -> None:
        result = replace(load_result([]), comparisons=[], baseline=ComparedWith(0, [], ["nothing | to compare with"]))
        assert summary_of(tmp_path, result.as_dict()).texts[-2:] == ["The baseline:", "⟨nothing | to compare with⟩"]

    def test_of_many_failures_twenty_are_shown(self, tmp_path: Path) -> None:
        failures = [failure(f"Kind{number}") for number in range(25)]
        texts = summary_of(tmp_path, load_result([], failures=failures).as_dict()).texts
        assert sum("Kind" in text for text in texts) == 20
        assert texts[-1] == "and 5 more"


class TestOddTexts:
    @pytest.mark.parametrize(
        ("text", "markdown"),
        [
            ("GET /cart", "`GET /cart`"),
            ("a`b", "``a`b``"),
            ("`a``", "``` `a`` ```"),
            (" a ", "`  a  `"),
            ("a\nb\x1b[31m\u202e\ud800", r"`a\nb\x1b[31m\u202e\ud800`"),
            ("<b> & @octocat #1 *x* [y](z)", "`<b> & @octocat #1 *x* [y](z)`"),
            ("", "`  `"),
        ],
    )
    def test_others_texts_stand_in_code_spans(self, text: str, markdown: str) -> None:
        assert code(text) == markdown

    def test_long_texts_are_shortened(self) -> None:
        assert code("x" * 10_000, 11) == "`xxxx...xxxx`"

    @given(ODD)
    def test_a_reader_of_markdown_reads_the_text(self, text: str) -> None:
        [_, inline, _] = MarkdownIt("commonmark").parse(f"x{code(text)}")
        assert inline.children is not None
        [_, span] = inline.children
        assert (span.type, span.content.strip(" ")) == ("code_inline", printable(text).strip(" "))

    @given(ODD)
    def test_a_reader_of_tables_reads_the_text(self, text: str) -> None:
        table = f"| a | b |\n|---|---|\n| {in_cell(code(text))} | c |\n"
        inlines = [token for token in MarkdownIt("commonmark").enable("table").parse(table) if token.type == "inline"]
        assert len(inlines) == 4
        assert inlines[2].children is not None
        [span] = inlines[2].children
        assert (span.type, span.content.strip(" ")) == ("code_inline", printable(text).strip(" "))

    @given(ODD)
    def test_names_stand_in_the_table_and_the_details(self, name: str) -> None:
        text = markdown_of(report(failed_result(name)))
        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        assert [token.type for token in tokens].count("tr_open") == 2
        assert "<b" not in "".join(token.content for token in tokens if token.type == "html_block")


class TestSize:
    def test_a_short_one_is_whole(self) -> None:
        assert "did not fit" not in markdown_of(report(*[failed_result()] * 20))

    @pytest.fixture(scope="class")
    @staticmethod
    def results() -> list[dict[str, Any]]:
        good = [load_result(SAMPLES, nodeid=f"a.py::good[{number}]").as_dict() for number in range(150)]
        return good + [failed_result(f"b.py::bad[{number}]") for number in range(150)]

    @pytest.mark.parametrize("limit", [1000, 2000, 5000, 20_000, 60_000])
    def test_a_long_one_is_shortened_and_says_so(
        self, results: list[dict[str, Any]], limit: int, tmp_path: Path
    ) -> None:
        text = markdown_of(report(*results), limit)
        assert len(text.encode()) <= limit
        (tmp_path / "out.md").write_text(text, encoding="utf-8")
        summary = read_summary(tmp_path / "out.md")
        assert summary.texts[0] == "Load tests: 150 passed, 150 failed"
        shown = [row[0].strip("⟨⟩") for table in summary.tables for row in table[1:]]
        assert shown[:150] == [f"b.py::bad[{number}]" for number in range(min(150, len(shown)))]
        hidden = 150 - sum("<details" in each for each in summary.html)
        tests = [f"{300 - len(shown)} tests"] if len(shown) < 300 else []
        missing = " and ".join([*tests, *([f"the details of {hidden} tests"] if hidden else [])])
        assert summary.texts[-1] == f"Shortened: {missing} did not fit. The JSON report is complete."
        assert len(text.encode()) > limit / 2 - 1000

    def test_a_file_is_below_githubs_limit_whatever_the_texts(self, tmp_path: Path) -> None:
        failures = [failure("K" * 10_000, "\U0001f642" * 10_000, "p" * 10_000)] * 20
        result = load_result([], nodeid="e\u0301" * 10_000, failures=failures).as_dict()
        write(tmp_path / "out.md", report(*[result] * 100))
        assert LIMIT / 2 < (tmp_path / "out.md").stat().st_size <= LIMIT == 1_048_576


class TestAppending:
    def test_a_file_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        append(tmp_path / "new" / "out.md", report())
        assert (tmp_path / "new" / "out.md").read_text() == "### Load tests: none\n"

    def test_what_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "out.md").write_text("| a table |\n|---|\n| of others |")
        append(tmp_path / "out.md", report(load_result([]).as_dict()))
        summary = read_summary(tmp_path / "out.md")
        assert summary.tables[0] == [["a table"], ["of others"]]
        assert summary.tables[1][1][0] == "⟨test_a.py::test_a⟩"

    def test_together_they_keep_to_the_limit(self, tmp_path: Path) -> None:
        (tmp_path / "out.md").write_text("x" * (LIMIT - 20_000))
        append(tmp_path / "out.md", report(*[failed_result()] * 500))
        assert LIMIT - 10_000 < (tmp_path / "out.md").stat().st_size <= LIMIT
        assert (tmp_path / "out.md").read_text().endswith("The JSON report is complete.\n")

    def test_a_full_file_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "out.md").write_text("x" * LIMIT)
        with pytest.raises(OSError, match=r"out\.md has 1 048 576 bytes already, and GitHub accepts at most 1 MiB"):
            append(tmp_path / "out.md", report())
