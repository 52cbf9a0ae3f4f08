"""Pages of HTML, read back; and results with all that a report may have to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from support.results import failure, judged, load_result
from support.samples import iteration, request, step

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.stats.sample import FAILED, SETUP
from pytest_ipload.verdict.result import GeneratorHealth, UnusedAddresses
from pytest_ipload.verdict.threshold.config import WARN

HOSTILE = [
    "<script>window.executed = true</script>",
    "</script><img src=x onerror='window.executed = true'>",
    "<!-- <script>",
    "\"'><b onclick=window.executed=true>",
    "a|b\nnext line\r\n\ttab",
    "\u202egnp.tset \u2066 right to left \u05d0\u05d1",
    "NUL \x00, escape \x1b[31m, lone \ud800 surrogates \udfff, \u2028",
    "long " * 2000,
    "{{ 7 * 7 }}{% raw %} %{y} <b>bold</b> &lt;",
    "",
]
_VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})


@dataclass
class Element:
    """One element, with what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        """This and all below it, in order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Those of a tag with these attributes; of a class, one of them."""
        return [each for each in self if tag in ("", each.tag) and each._has(attributes)]

    def one(self, tag: str = "", **attributes: str) -> Element:
        """The only one."""
        (found,) = self.all(tag, **attributes)
        return found

    def _has(self, attributes: dict[str, str]) -> bool:
        names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return all(
            value in self.attributes.get(name, "").split() if name == "class" else self.attributes.get(name) == value
            for name, value in names.items()
        )

    @property
    def text(self) -> str:
        """All its text."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def table(self) -> list[list[str]]:
        """The texts of a table's cells, row by row."""
        return [[cell.text.strip() for cell in row if cell.tag in ("th", "td")] for row in self if row.tag == "tr"]


class _Reader(HTMLParser):
    """Reads pages that close what they open."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        element = self.open.pop()
        assert element.tag == tag, f"<{element.tag}> ends as </{tag}> in line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Element:
    """The page in a file. Fails if an element is not closed."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert [element.tag for element in reader.open] == [""]
    return reader.open[0]


def full_result(name: str = "GET /cart", nodeid: str = "test_a.py::test_a", message: str = "no") -> dict[str, Any]:
    """A failed load of twelve seconds that has a bit of everything, with a gap of two seconds, in all its texts."""
    samples = [
        *(
            request(name, 10 + number % 90, at_ms=number * 10, source_address="127.0.0.2", lateness_ns=5_000_000)
            for number in range(1190)
            if not 480 <= number < 700
        ),
        request("POST /orders", 900, at_ms=2000, source_address="127.0.0.3", outcome=FAILED),
        request("POST /login", 30)._replace(kind=SETUP),
        step(name, 50, at_ms=2000),
        *[iteration(at_ms=2000)] * 19,
        iteration(at_ms=2000, outcome=FAILED),
    ]
    thresholds = [
        judged("p95 < 15ms", samples),
        judged("rps > 1000", samples, WARN),
        judged("error_rate < 10%", samples),
    ]
    result = load_result(
        samples,
        nodeid=nodeid,
        verdict="failed",
        reason=f"{thresholds[0].message}; {message}",
        planned=True,
        warmup_s=1.0,
        seconds=12.0,
        thresholds=thresholds,
        failures=[failure(name, message, count=3)],
        users_by_source={"127.0.0.2": 1},
        unused=UnusedAddresses(3, ["127.0.0.4", "127.0.0.5"]),
        generator=GeneratorHealth.of([fired("late-starts", message)], cpu_share=0.5, timer_lag_p99_ms=0.25),
    )
    return result.as_dict()


def with_optional(result: dict[str, Any], message: str = "no") -> dict[str, Any]:
    """The result with what only some have."""
    shard = {"index": 0, "name": "gw0", "host": message, "users": 1, "iterations": 20, "requests": 1000}
    return {
        **result,
        "aborted_s": 11.0,
        "traceback": {"type": message, "text": f"def test_it():\n>       {message}\nE       {message}"},
        "comparisons": [
            {
                "metric": message,
                "unit": "ms",
                "current": 99.0,
                "baseline": 90.0,
                "change": 0.1,
                "limit": "p95:5%",
                "regressed": True,
                "method": "median of 8 runs",
                "message": message,
                "runs": 8,
            },
            {"metric": "rps", "unit": "1/s"},
        ],
        "shards": [{**shard, "failed_requests": 1, "start_skew_ms": 0.5, "cpu_share": 0.5}],
    }


def page_report(*results: dict[str, Any]) -> dict[str, Any]:
    """A report of these results."""
    return report_of(results)
