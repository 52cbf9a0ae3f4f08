"""Reads what a target says of itself in the text format of Prometheus and OpenMetrics. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pytest_ipload.stats.target_readings import FILES, RSS, THREADS

CPU_SECONDS, START_TIME = "process_cpu_seconds_total", "process_start_time_seconds"
GAUGES = {"process_resident_memory_bytes": RSS, "process_threads": THREADS, "process_open_fds": FILES}
"""The standard metrics of a process, by their name there, and what they are called here."""
STANDARD = (CPU_SECONDS, *GAUGES, START_TIME)
_LABELS = r'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}'
_SAMPLE = re.compile(rf"({'|'.join(STANDARD)})(?:{_LABELS})?[ \t]+([^\s#]+)[^\n]*")


def process_metrics(text: str) -> Mapping[str, float]:
    """The standard metrics of a process by their names there; of one with several labels, the sum.

    ``ValueError`` for a value that is not a number.
    """
    found: dict[str, float] = {}
    for line in text.split("\n"):
        if line.startswith("process_") and (match := _SAMPLE.fullmatch(line.rstrip())) is not None:
            value = float(match[2])
            if math.isfinite(value):
                found[match[1]] = found.get(match[1], 0.0) + value
    return found
