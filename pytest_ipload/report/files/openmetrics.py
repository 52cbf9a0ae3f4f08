"""The results as OpenMetrics text (version 1.0): https://prometheus.io/docs/specs/om/open_metrics_spec/"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.base.text import printable_lines
from pytest_ipload.report.files.metrics import Metric, Sample, metrics_of

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "#": r"\\x23"})
"""The characters that OpenMetrics escapes, and the number sign: to GitLab it starts a comment even between quotes."""


def text_of(metrics: Iterable[Metric]) -> str:
    """The metrics as text, with the end marker."""
    lines = []
    for family, samples in metrics:
        lines.append(f"# TYPE {family.name} {family.type}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines.append(f"# HELP {family.name} {label_text(family.help)}")
        lines += [_line(sample) for sample in samples]
    return "\n".join([*lines, "# EOF", ""])


def label_text(value: str) -> str:
    """A label's value as it stands between quotes.

    Unprintable characters are escaped (``\\x1b``), and so is ``#``. Line breaks are not: OpenMetrics has an
    escape for them. Many readers treat other control characters as line ends, and surrogates cannot be
    written at all.
    """
    return printable_lines(value).translate(_ESCAPES)


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the metrics. Raises OSError if the file cannot be written."""
    text = text_of(metrics_of(report))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{label_text(value)}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}} {sample.value!r}" if labels else f"{sample.name} {sample.value!r}"
