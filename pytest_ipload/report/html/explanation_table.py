"""The table of an explanation in the HTML report: which lines took more time. Pure."""

from __future__ import annotations

from pytest_ipload.report.html.cells import ABSENT, count, share
from pytest_ipload.report.html.html_tables import Table
from pytest_ipload.stats.summary import PlainResult

_SIDES = {"seconds": ("slow seconds", "other seconds"), "versions": ("this version", "other version")}
"""What an explanation compares."""


def explanation_table(result: PlainResult) -> Table:
    """The lines of the target's code that explain a failure."""
    explain = result.get("explain", {})
    after, before = _SIDES.get(explain.get("kind", ""), ("share", ABSENT))
    is_compared = explain.get("kind") in _SIDES
    columns = [before, "growth", f"samples, {before}"] if is_compared else []
    rows = []
    for line in explain.get("lines", ()):
        place = f"{line['file']}:{line['line']}" if "line" in line else line["file"]
        growth = [
            share(line.get("share_before")),
            f"{100 * line.get('growth_low', 0):+.0f} to {100 * line.get('growth_high', 0):+.0f} points",
            count(line.get("samples_before")),
        ]
        rows.append(
            [
                f"{place} {line['function']}".rstrip(),
                share(line["share"]),
                *(growth if is_compared else []),
                count(line["samples"]),
                *(str(line.get(key) or ABSENT) for key in ("source", "called_by", "library")),
            ]
        )
    samples = f"samples, {after}" if is_compared else "samples"
    headers = ["line", after, *columns, samples, "source", "called by", "in library"]
    return Table("Where the target's time went", headers, rows, frozenset({"source", "called by", "in library"}))
