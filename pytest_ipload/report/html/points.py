"""The seconds of a load as points of a chart, and thinned out where there are more than a page should carry. Pure."""

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
"""Which one of two seconds stands for both, by field of the timeline."""


class Points(NamedTuple):
    """Values along the time. Each point stands for ``width_s`` seconds, and has the worst one of them."""

    width_s: int
    size: int
    values: Mapping[str, Sequence[float | None]]
    """By field of the timeline; None where none of a point's seconds has it. A field that no second has is absent."""

    @property
    def note(self) -> str:
        """What a point stands for, where it is more than a second."""
        if self.width_s == 1:
            return ""
        return (
            f"Each point stands for {self.width_s} seconds and has the worst of each: the highest latency, the most "
            "failed requests and users, the fewest requests of one second"
        )

    def start_s(self, point: int) -> int:
        """When a point begins, in seconds since the start of the load."""
        return point * self.width_s


def points_of(timeline: Sequence[Mapping[str, Any]], most: int) -> Points:
    """At most so many points of the seconds of a load."""
    length = 1 + max((second["t_s"] for second in timeline), default=-1)
    width = max(1, -(-length // most))
    size = -(-length // width)
    values: dict[str, list[float | None]] = {name: [None] * size for name in WORST}
    for second in timeline:
        point = second["t_s"] // width
        for name, worst in WORST.items():
            value = second.get(name)
            if value is not None:
                known = values[name][point]
                values[name][point] = value if known is None else worst(known, value)
    return Points(width, size, {name: column for name, column in values.items() if any(v is not None for v in column)})
