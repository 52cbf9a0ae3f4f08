"""The seconds of a load as points of a chart, thinned out where there are more than a page should carry. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

LATENCIES = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
RESPONSE_TIMES = ("response_p50_ms", "response_p95_ms", "response_p99_ms")

WORST: Mapping[str, Callable[[Any, Any], Any]] = {
    "users": max,
    "requests": min,  # a second in which the target stalled must not vanish
    "failed_requests": max,
    **dict.fromkeys((*LATENCIES, *RESPONSE_TIMES), max),
}
"""Which of two seconds stands for both, by field of the timeline."""
_COUNTS = ("requests", "failed_requests")


class Points(NamedTuple):
    """Values over time. Each point stands for ``width_s`` seconds, and has the worst of their steps."""

    width_s: int
    size: int
    values: Mapping[str, Sequence[float | None]]
    """By field of the timeline; None where none of a point's seconds has it. A field that no second has is absent."""
    step_s: int = 1
    """The length of a step of the timeline; counts are per second, on average over a step."""

    @property
    def note(self) -> str:
        """What a point stands for, if it is more than a second."""
        if self.width_s == 1:
            return ""
        if self.step_s > 1:
            return (
                f"The load was so long that it is kept in steps of {self.step_s} seconds: requests and failed "
                f"requests are per second, on average over a step. {self._thinned}"
            ).rstrip(" .")
        return (
            f"Each point stands for {self.width_s} seconds and shows the worst of each value: the highest latency, the "
            "most "
            "failed requests and users, the fewest requests of one second"
        )

    @property
    def _thinned(self) -> str:
        if self.width_s == self.step_s:
            return ""
        return f"Each point stands for {self.width_s} seconds and shows the worst of their steps"

    def start_s(self, point: int) -> int:
        """When a point begins, in seconds since the start of the load."""
        return point * self.width_s


def points_of(timeline: Sequence[Mapping[str, Any]], most: int, step_s: int = 1) -> Points:
    """At most ``most`` points for the steps of a load, which are its seconds unless it went on for hours."""
    length = 1 + max((step["t_s"] // step_s for step in timeline), default=-1)
    width = max(1, -(-length // most))
    size = -(-length // width)
    values: dict[str, list[float | None]] = {name: [None] * size for name in WORST}
    for step in timeline:
        point = step["t_s"] // step_s // width
        for name, worst in WORST.items():
            value = step.get(name)
            if value is not None:
                if step_s > 1 and name in _COUNTS:
                    value /= step_s
                other = values[name][point]
                values[name][point] = value if other is None else worst(other, value)
    known = {name: column for name, column in values.items() if any(value is not None for value in column)}
    return Points(width * step_s, size, known, step_s)
