"""The table of an explanation in the HTML report: which lines took more time. Pure."""

from __future__ import annotations

from pytest_ipload.report.html.cells import ABSENT, count, share
from pytest_ipload.report.html.html_tables import Table
from pytest_ipload.stats.summary import PlainResult

_SIDES = {"seconds": ("slow seconds", "other seconds"), "versions": ("this version", "other version")}
"""What an explanation compares."""
_KEYS = {"code": "source", "called by": "called_by", "in library": "library"}


def explanation_table(result: PlainResult) -> Table:
    """The lines of the target's code that explain a failure: where, what stands there, and its share of the time."""
    explain = result.get("explain", {})
    lines = explain.get("lines", ())
    sides = _SIDES.get(explain.get("kind", ""))
    texts = ["code", "called by", *(["in library"] if any(line.get("library") for line in lines) else [])]
    rows = []
    for line in lines:
        place = f"{line['file']}:{line['line']}" if "line" in line else line["file"]
        numbers = [share(line["share"]), count(line["samples"])]
        if sides:
            numbers = [
                numbers[0],
                share(line.get("share_before")),
                f"{100 * line.get('growth_low', 0):+.0f} to {100 * line.get('growth_high', 0):+.0f} points",
                f"{numbers[1]} and {count(line.get('samples_before'))}",
            ]
        named = [str(line.get(_KEYS[text]) or ABSENT) for text in texts]
        rows.append([f"{place} {line['function']}".rstrip(), *named, *numbers])
    headers = ["line", *texts, *([*sides, "growth"] if sides else ["share"]), "samples"]
    return Table("Where the target's time went", headers, rows, frozenset(texts))
