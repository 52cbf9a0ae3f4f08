from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs
from support.pages import HOSTILE, Element, full_result, page_report, read_page, with_optional
from support.results import load_result
from support.samples import request

from pytest_ipload.base.text import printable
from pytest_ipload.report.html import html_file

Page = Callable[..., Element]

TESTS = """
    import pytest

    @pytest.mark.ipload(users=2, iterations=3)
    def test_passes(ipload_user):
        with ipload_user.step("checkout"), ipload_user.measure("GET /cart"):
            pass

    @pytest.mark.ipload(users=2, iterations=1)
    def test_fails(ipload_user):
        raise ValueError("no stock")
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """Write the report of these results, and read it back: with a library of charts that is shorter."""
    monkeypatch.setattr(html_file, "get_plotlyjs", lambda: "window.Plotly = {};\r\n// a < b && c\r")

    def write(*results: dict[str, Any]) -> Element:
        html_file.write(tmp_path / "new" / "out.html", page_report(*results))
        return read_page(tmp_path / "new" / "out.html")

    return write


def captions(part: Element) -> list[str]:
    return [caption.text for caption in part.all("caption")]


def skeleton(part: Element) -> list[tuple[str, list[str]]]:
    """Its elements without their texts. An empty reason is none."""
    reasons = {id(element) for reason in part.all("p", class_="reason") for element in reason}
    return [(each.tag, sorted(set(each.attributes) - {"title"})) for each in part if id(each) not in reasons]


class TestContent:
    def test_each_test_has_a_section(self, page: Page) -> None:
        found = page(full_result(nodeid="test_a.py::test_a"), full_result(nodeid="test_b.py::test_b"))
        sections = found.all("section")
        assert [section.one("h2").one("bdi").text for section in sections] == ["test_a.py::test_a", "test_b.py::test_b"]
        assert [section.one("h2").one("span", class_="verdict").text for section in sections] == ["✕ Failed"] * 2
        assert found.one("title").text == "Load test report, 2 load tests: 2 failed"

    def test_several_tests_have_an_index_that_leads_to_them(self, page: Page) -> None:
        found = page(full_result(nodeid="test_a.py::test_a"), load_result([], nodeid="test_b.py::test_b").as_dict())
        links = found.one("nav").all("a")
        assert [link.text for link in links] == ["test_a.py::test_a", "test_b.py::test_b"]
        assert [link.attributes["href"].removeprefix("#") for link in links] == [
            section.attributes["id"] for section in found.all("section")
        ]
        assert [cells[0] for cells in found.one("nav").table()] == ["verdict", "✕ Failed", "✓ Passed"]

    def test_one_test_needs_no_index(self, page: Page) -> None:
        assert page(full_result()).all("nav") == []

    def test_a_section_has_all_that_was_measured(self, page: Page) -> None:
        found = page(with_optional(full_result(), "no stock"))
        assert captions(found.one("section")) == [
            "Failed iterations by type and place",
            "Thresholds",
            "Comparison with a baseline",
            "The numbers of the charts over time",
            "Times of successful requests",
            "Requests by name",
            "Steps",
            "Source addresses",
            "Requests of the users' set-up and teardown (not judged)",
            "Shards: the processes that shared the load",
            "Settings",
        ]
        assert captions(found.one("footer")) == ["Environment"]
        assert found.one("p", class_="reason").text.startswith("p95 95.0 ms, limit < 15.0 ms")
        assert found.one("pre").text == "def test_it():\n>       no stock\nE       no stock\n"
        (check,) = found.all("p", class_="check")
        assert check.text.startswith("late-starts (unhealthy): no. Until then")

    def test_without_anything_to_compare_with_it_says_why(self, page: Page) -> None:
        note = "nothing to compare with: 3 saved runs left out: users 50, here <10>"
        found = page({**full_result(), "baseline": {"runs": 0, "files": [], "notes": [note]}})
        assert "Comparison with a baseline" in [heading.text for heading in found.all("h3")]
        assert note in [each.text for each in found.all("p", class_="note")]

    def test_what_was_not_measured_is_left_out(self, page: Page) -> None:
        found = page(load_result([request()]).as_dict())
        assert captions(found.one("section")) == [
            "The numbers of the charts over time",
            "Times of successful requests",
            "Requests by name",
            "Settings",
        ]
        assert found.all("pre") == []

    def test_thresholds_tell_their_outcome_in_a_word(self, page: Page) -> None:
        table = page(full_result()).all("table")[1]
        assert [cells[:2] for cells in table.table()[1:]] == [
            ["p95 < 15ms", "failed"],
            ["rps > 1000", "warning"],
            ["error_rate < 10%", "ok"],
        ]

    def test_the_charts_are_in_the_page_as_json(self, page: Page) -> None:
        found = page(full_result())
        plots = [json.loads(script.text) for script in found.all("script", type="application/json")]
        assert len(plots) == len(found.all("div", class_="chart")) == 5
        assert all({"data", "layout"} == set(plot) for plot in plots)
        assert [line["name"] for line in plots[0]["data"]] == ["p50", "p95", "p99", "max"]
        assert plots[0]["data"][1]["y"][5:7] == [None, None]

    def test_without_load_tests_it_says_so(self, page: Page) -> None:
        found = page()
        assert found.one("main").text.strip() == "No load test ran."
        assert len(found.all("script")) == 1  # the library is left out, as there is no chart

    def test_a_load_without_requests_has_a_section(self, page: Page) -> None:
        found = page(load_result([]).as_dict())
        assert found.all("div", class_="chart") == []
        assert captions(found.one("section")) == ["Times of successful requests", "Settings"]

    def test_a_segment_is_no_verdict(self, page: Page) -> None:
        found = page({**full_result(), "segment": "0/2", "part": {"secret": "part"}})
        assert found.one("h2").one("span", class_="verdict").text.endswith("Segment 0/2, judged when it is merged")
        assert "secret" not in found.text


class TestHostileTexts:
    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_they_are_shown_and_not_obeyed(self, page: Page, text: str) -> None:
        usual = page(with_optional(full_result("GET /cart", "test_a.py::test_a", "no")))
        found = page(with_optional(full_result(text, text, text), text))
        shown = printable(text).strip()
        name = shown or "(no name)"
        assert skeleton(found) == skeleton(usual)
        assert found.one("h2").one("bdi").text.strip() == name
        tables = {table.one("caption").text: table.table() for table in found.all("table")}
        assert tables["Requests by name"][1][0] == tables["Steps"][1][0] == name
        assert tables["Failed iterations by type and place"][1][3] == shown
        assert tables["Shards: the processes that shared the load"][1][1] == (shown or "–")
        assert tables["Comparison with a baseline"][1][0] == name
        assert [script.text for script in found.all("script")] == [script.text for script in usual.all("script")]

    def test_what_no_file_can_carry_is_written_out(self, page: Page) -> None:
        found = page(full_result("NUL \x00, lone \ud800, \u202egnp.tset"))
        names = [cells[0] for cells in found.all("table")[4].table()]
        assert r"NUL \x00, lone \ud800, \u202egnp.tset" in names

    def test_long_ones_are_whole_in_their_title(self, page: Page) -> None:
        heading = page(full_result(nodeid="x" * 10_000)).one("h2").one("bdi")
        assert heading.attributes["title"] == heading.text == "x" * 10_000

    def test_tracebacks_keep_their_lines_and_nothing_else(self, page: Page) -> None:
        found = page({**full_result(), "traceback": {"text": "a\n<b>\x1b[31m\r\n\tc"}})
        assert found.one("pre").text == "a\n<b>\\x1b[31m\\r\n\\tc\n"
        assert "Traceback of the first one" in [summary.text for summary in found.all("summary")]


class TestOffline:
    def test_nothing_is_referred_to_but_the_page_itself(self, page: Page) -> None:
        found = page(with_optional(full_result()), full_result())
        for element in found:
            for name in ("src", "href", "srcset", "action", "data", "poster", "background", "cite", "formaction"):
                value = element.attributes.get(name, "#")
                assert value.startswith("#") or value == "data:,", element
            assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        assert {element.tag for element in found} & {"iframe", "object", "embed", "base", "img", "form"} == set()
        assert not re.search(r"url\(|@import|@font-face|://", found.one("style").text)
        assert "://" not in found.all("script")[-1].text

    def test_only_the_two_scripts_of_the_page_may_run(self, page: Page) -> None:
        found = page(full_result())
        policy = found.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
        rules = {name: rest for name, *rest in (rule.split() for rule in policy.split(";"))}
        scripts = [script.text for script in found.all("script") if "type" not in script.attributes]
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
        assert rules["script-src"] == [
            f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
        ]
        assert "window.Plotly" in scripts[0]
        assert "\r" not in scripts[0]
        assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
        assert rules["img-src"] == ["data:", "blob:"]

    def test_an_hour_with_the_real_library_is_less_than_six_megabytes(self, tmp_path: Path) -> None:
        times = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "max_ms", "response_p50_ms", "response_p95_ms"), 123.456)
        second = {"users": 50, "requests": 1234, "failed_requests": 1, "response_p99_ms": 99.99, **times}
        result = {**full_result(), "timeline": [{"t_s": t_s, **second} for t_s in range(3600)]}
        html_file.write(tmp_path / "out.html", page_report(*[result] * 3))
        assert 4_000_000 < (tmp_path / "out.html").stat().st_size < 6_000_000
        assert "</script" not in get_plotlyjs().lower()
        assert "<!--" not in get_plotlyjs()


class TestForEverybody:
    def test_tables_have_captions_heads_and_regions_that_the_keyboard_reaches(self, page: Page) -> None:
        found = page(with_optional(full_result()), full_result())
        assert len(found.all("table")) == len(found.all("caption")) > 10
        for table in found.all("table"):
            head, *rows = (row for row in table if row.tag == "tr")
            assert {(cell.tag, cell.attributes["scope"]) for cell in head.children if isinstance(cell, Element)} == {
                ("th", "col")
            }
            assert all(len(row.all("th", scope="row")) == 1 for row in rows)
            assert len({len(cells) for cells in table.table()}) == 1
        for region in found.all("div", class_="scroll") + found.all("pre"):
            assert region.attributes["tabindex"] == "0"
            assert region.attributes["role"] == "region"
            assert region.attributes["aria-label"]

    def test_each_chart_is_told_in_words(self, page: Page) -> None:
        charts = page(full_result()).all(role="img")
        assert [chart.attributes["aria-label"].partition(".")[0] for chart in charts] == [
            "Latency of successful requests over time",
            "Response time of successful requests over time",
            "Requests per second, and users",
            "Failed requests over time",
            "Distribution by percentile",
        ]
        assert "p95 from" in charts[0].attributes["aria-label"]
        assert all("need JavaScript" in chart.text for chart in charts)

    def test_the_numbers_of_the_charts_are_a_table(self, page: Page) -> None:
        details = page(full_result()).all("details")[0]
        assert details.one("summary").text == "The numbers of the charts over time"
        rows = details.one("table").table()
        assert [len(rows), rows[6][0], rows[6][4]] == [13, "0:05", "–"]

    def test_the_page_has_a_language_landmarks_and_a_way_to_skip(self, page: Page) -> None:
        found = page(full_result(), full_result())
        assert found.one("html").attributes["lang"] == "en"
        assert [len(found.all(tag)) for tag in ("h1", "nav", "main", "footer")] == [1, 1, 1, 1]
        assert found.one("a", class_="skip").attributes["href"] == f"#{found.one('main').attributes['id']}"
        assert found.one("nav").attributes["aria-label"]
        ids = [element.attributes["id"] for element in found if "id" in element.attributes]
        assert len(ids) == len(set(ids))
        assert {section.attributes["aria-labelledby"] for section in found.all("section")} <= set(ids)
        levels = [int(element.tag[1]) for element in found if re.fullmatch("h[1-6]", element.tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels))


class TestOption:
    def test_it_writes_what_the_json_report_has(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_it=TESTS)
        result = pytester.runpytest("--ipload-html=new/out.html", "--ipload-json=out.json")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines([f"ipload html report: {pytester.path / 'new' / 'out.html'}"])
        found = read_page(pytester.path / "new" / "out.html")
        tests = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
        red_first = sorted(tests, key=lambda test: test["verdict"] == "passed")
        assert [each.one("h2").one("bdi").text for each in found.all("section")] == [
            each["nodeid"] for each in red_first
        ]
        assert found.one("title").text == "Load test report, 2 load tests: 1 failed, 1 passed"
        assert "ValueError" in found.all("section")[0].text

    @pytest.mark.parametrize("library", ["jinja2", "plotly"])
    def test_without_its_libraries_it_says_what_to_install(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, library: str
    ) -> None:
        monkeypatch.delitem(sys.modules, "pytest_ipload.report.html.html_file")
        monkeypatch.setitem(sys.modules, {"jinja2": "jinja2", "plotly": "plotly.offline"}[library], None)
        pytester.makepyfile(TESTS)
        result = pytester.runpytest("--ipload-html=out.html")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [f"ERROR: --ipload-html: {library} is missing; install it with: pip install 'pytest-ipload?html?'"]
        )

    def test_a_path_that_cannot_be_written_is_said_and_makes_the_exit_code_red(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TESTS)
        pytester.makepyfile(test_a="from pathlib import Path\nPath('file').touch()")  # after the check of the path
        result = pytester.runpytest("--ipload-html=file/out.html", "-k", "passes")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["--ipload-html: not written: *file*"])
