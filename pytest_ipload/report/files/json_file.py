"""The JSON report; its fields are described in docs/json-report.md."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SCHEMA = 1
_PACKAGES = ("pytest", "pytest-ipload", "pytest-xdist", "requests", "urllib3")


def environment() -> dict[str, Any]:
    """What was measured with: the machine and the versions."""
    processors = os.cpu_count()
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        **({} if processors is None else {"processors": processors}),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def schema_path() -> Path:
    """The JSON Schema (draft 2020-12) of a report."""
    return Path(__file__).parents[1] / "schema" / f"ipload-report-{SCHEMA}.schema.json"


def host_name() -> str:
    """The name of this machine."""
    return platform.node()


def report_of(results: Sequence[dict[str, Any]], segment: dict[str, int] | None = None) -> dict[str, Any]:
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
