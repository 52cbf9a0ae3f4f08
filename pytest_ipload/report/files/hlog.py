"""The HdrHistogram interval log: latencies over time, for HdrHistogram's own tools (log format 1.3).

See HistogramLogWriter and HistogramLogReader of http://hdrhistogram.org. A line is an interval: its tag, its start in
seconds since 1970, its length in seconds, its maximum in milliseconds, its histogram in microseconds.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pytest_ipload.base.units import NS_PER_US, US_PER_MS
from pytest_ipload.stats.histogram import Histogram
from pytest_ipload.verdict.result import is_measured

_BETWEEN = "|"
"""Separates the node id from the request name in a tag, and occurs nowhere else in it."""
_SAFE = "".join(sorted(set(string.punctuation) - set(',%"#|')))
"""Characters that a tag contains unescaped, besides ASCII letters and digits."""
_SHORTEST_S = 0.001


class Interval(NamedTuple):
    """The successful requests of a time span."""

    start_s: float
    """Unix seconds."""
    length_s: float
    tag: str
    histogram: str
    """HdrHistogram, V2 compressed, base64; in microseconds."""

    def line(self) -> str:
        """The interval's line of the log."""
        most_us = (Histogram.decode(self.histogram).max_ns or 0) / NS_PER_US
        return f"Tag={self.tag},{self.start_s:.3f},{self.length_s:.3f},{most_us / US_PER_MS:.3f},{self.histogram}"


def tag_of(nodeid: str, name: str | None = None, time: str | None = None) -> str:
    """The tag of a test, or of one of its request names; ``time`` is ``ttfe`` or ``gap`` where it is not the latency.

    Percent-encoded UTF-8, as in URLs: readers split lines at commas, spaces and any line terminator. Each of the parts
    between ``|`` is read back by ``urllib.parse.unquote(part, errors="surrogatepass")``.
    """
    parts = (part for part in (nodeid, name, time) if part is not None)
    return _BETWEEN.join(quote(part, safe=_SAFE, errors="surrogatepass") for part in parts)


def intervals_of(test: Mapping[str, Any]) -> Iterator[Interval]:
    """One for each step of the timeline with a success, and one for each request name over the judged time."""
    if not is_measured(test):
        return
    nodeid, duration_s = test["nodeid"], test["duration_s"]
    started_s = datetime.fromisoformat(test["started_at"]).timestamp()
    step_s = float(test.get("timeline_step_s", 1))
    for point in test["timeline"]:
        if "histogram" in point:
            length_s = min(step_s, max(_SHORTEST_S, duration_s - point["t_s"]))
            yield Interval(started_s + point["t_s"], length_s, tag_of(nodeid), point["histogram"])
    warmup_s = test["profile"].get("warmup_s", 0.0)
    for row in test["by_name"]:
        judged_s = max(_SHORTEST_S, duration_s - warmup_s)
        for field, time in (("latency", None), ("ttfe", "ttfe"), ("gap", "gap")):
            if row.get(field, {}).get("count"):
                tag = tag_of(nodeid, row["name"], time)
                yield Interval(started_s + warmup_s, judged_s, tag, row[field]["histogram"])


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the log. Raises OSError if the file cannot be written."""
    # Readers that look for a time range stop at the first interval after it.
    intervals = sorted(each for test in report["tests"] for each in intervals_of(test))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("#[pytest-ipload: values are microseconds, Interval_Max is milliseconds]\n")
        file.write("#[Histogram log format version 1.3]\n")
        if intervals:
            starts = [datetime.fromisoformat(test["started_at"]) for test in report["tests"] if is_measured(test)]
            first = min(starts)
            file.write(f"#[StartTime: {first.timestamp():.3f} (seconds since epoch), {first.ctime()} UTC]\n")
        file.write('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')
        file.writelines(f"{interval.line()}\n" for interval in intervals)
