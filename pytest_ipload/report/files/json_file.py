"""The JSON report; its fields are described in docs/json-report.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_ipload.base.environment import environment

SCHEMA = 1


def schema_path() -> Path:
    """The JSON Schema (draft 2020-12) of a report."""
    return Path(__file__).parents[1] / "schema" / f"ipload-report-{SCHEMA}.schema.json"


def report_of(results: Sequence[dict[str, Any]], segment: dict[str, Any] | None = None) -> dict[str, Any]:
    """The whole report, as plain values. ``segment`` is the index and the count of the segment that the session ran."""
    report: dict[str, Any] = {"schema": SCHEMA, "environment": environment()}
    if segment is not None:
        report["segment"] = segment
    report["tests"] = list(results)
    return report


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report, with the folders above it. Raises OSError if the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
