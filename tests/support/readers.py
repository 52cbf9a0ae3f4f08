"""Report files, read back by readers that others wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from markdown_it.token import Token
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.pages import read_page

from pytest_ipload.report.files.json_file import schema_path

HIGHEST_US = 3_600_000_000


class LoggedInterval(NamedTuple):
    """A line of an interval log. Times are seconds since 1970."""

    tag: tuple[str, ...]
    """The node id, and the request name if it is about one."""
    start_s: float
    end_s: float
    histogram: Any


class MetricSample(NamedTuple):
    """A sample and the type of its family."""

    type: str
    labels: Mapping[str, str]
    value: float


class Summary(NamedTuple):
    """What a summary in Markdown says."""

    tables: list[list[list[str]]]
    """Their rows, the one with the headers first; what stands in a code span is between the marks ``⟨`` and ``⟩``."""
    texts: list[str]
    """All other paragraphs, in the same manner."""
    html: list[str]


def validator() -> Draft202012Validator:
    """Of the schema that the package has."""
    schema = json.loads(schema_path().read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def read_json(path: Path) -> dict[str, Any]:
    """The report, which the schema describes."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    validator().validate(report)
    return report


def read_hlog(path: Path) -> list[LoggedInterval]:
    """The intervals of a log."""
    reader = HistogramLogReader(str(path), HdrHistogram(1, HIGHEST_US, 3))
    found = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        tag = tuple(unquote(part, errors="surrogatepass") for part in histogram.get_tag().split("|"))
        start_s, end_s = histogram.get_start_time_stamp() / 1000, histogram.get_end_time_stamp() / 1000
        found.append(LoggedInterval(tag, start_s, end_s, histogram))
    reader.close()
    return found


def families_of(text: str) -> list[Any]:
    """The families of OpenMetrics text."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def read_openmetrics(path: Path) -> dict[str, list[MetricSample]]:
    """Samples by their names."""
    found: dict[str, list[MetricSample]] = {}
    for family in families_of(path.read_text(encoding="utf-8")):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, []).append(MetricSample(family.type, sample.labels, sample.value))
    return found


def read_summary(path: Path) -> Summary:
    """What is left of a summary when a reader of GitHub's Markdown took it apart."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    summary = Summary([], [], [])
    in_table = False
    for token in tokens:
        if token.type in ("table_open", "table_close"):
            in_table = token.type == "table_open"
            if in_table:
                summary.tables.append([])
        elif token.type == "tr_open":
            summary.tables[-1].append([])
        elif token.type == "inline":
            (summary.tables[-1][-1] if in_table else summary.texts).append(_text_of(token))
        elif token.type == "html_block":
            summary.html.append(token.content)
    return summary


def _text_of(token: Token) -> str:
    return "".join(_texts(token.children or []))


def _texts(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "code_inline":
            yield f"⟨{token.content}⟩"
        elif token.type == "text":
            yield token.content
        else:  # nothing that others wrote may be markup
            assert token.type in ("strong_open", "strong_close", "softbreak"), token


READERS: Mapping[str, Callable[[Path], Any]] = {
    "json": read_json,
    "hlog": read_hlog,
    "openmetrics": read_openmetrics,
    "summary": read_summary,
    "html": read_page,
}
"""By the name of the kind of file."""
