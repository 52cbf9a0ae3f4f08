"""The counts and gauges of a test's own: what was added up, and what went up and down."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_ipload.stats.histogram import plain_dict, plain_int, plain_list, shown
from pytest_ipload.stats.recorder import ValueKey
from pytest_ipload.stats.sample import COUNT, GAUGE
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES, matches


@dataclass
class OwnValue:
    """The judged numbers of one name."""

    calls: int = 0
    total: float = 0.0
    in_time: float = 0.0
    """What of the total came within the time that rates are counted over."""
    low: float = math.inf
    high: float = -math.inf
    last: float = 0.0
    last_ns: int = -(2**63)
    """When the last number was given, since the origin of the load."""

    def add(self, moments_ns: array[int], numbers: array[float], until_ns: int | None) -> None:
        """Add numbers; ``until_ns`` is the end of the time that rates are counted over. Times are since the origin."""
        self.calls += len(numbers)
        self.total += math.fsum(numbers)
        self.in_time += math.fsum(
            number for moment, number in zip(moments_ns, numbers, strict=True) if until_ns is None or moment < until_ns
        )
        self.low, self.high = min(self.low, *numbers), max(self.high, *numbers)
        if moments_ns[-1] >= self.last_ns:
            self.last_ns, self.last = moments_ns[-1], numbers[-1]

    def merge(self, other: OwnValue) -> None:
        """Add the numbers of another part of the load."""
        self.calls += other.calls
        self.total += other.total
        self.in_time += other.in_time
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if (other.last_ns, other.last) > (self.last_ns, self.last):  # of the same time the larger one, in any order
            self.last_ns, self.last = other.last_ns, other.last


class OwnValues:
    """By kind and name. Of each kind at most ``MAX_NAMES`` are kept separately, the others together.

    Not for two threads at a time.
    """

    def __init__(self) -> None:
        self._values: dict[ValueKey, OwnValue] = {}
        self.names_dropped: dict[str, int] = {}
        """Calls that were counted under ``OTHER_NAMES``, by kind."""
        self.is_partial = False
        """Whether a part of the load may have counted a name under ``OTHER_NAMES`` that another part has kept."""

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(
        self,
        values: Mapping[ValueKey, tuple[array[int], array[float]]],
        origin_ns: int,
        judged_from_ns: int,
        judged_until_ns: int | None,
    ) -> None:
        """Add what a recorder handed over, without the warm-up."""
        until_ns = None if judged_until_ns is None else judged_until_ns - origin_ns
        for key, (moments, numbers) in values.items():
            first = next((place for place, moment in enumerate(moments) if moment >= judged_from_ns), None)
            if first is not None:
                since = array("q", (moment - origin_ns for moment in moments[first:]))
                self._of(key, len(since)).add(since, numbers[first:], until_ns)

    def merge(self, other: OwnValues) -> None:
        """Add the values of another part of the load."""
        self.is_partial = self.is_partial or other.is_partial or bool(self.names_dropped or other.names_dropped)
        for key, value in other._values.items():
            self._of(key, value.calls).merge(value)
        for kind, calls in other.names_dropped.items():
            self.names_dropped[kind] = self.names_dropped.get(kind, 0) + calls

    def each(self, kind: str, pattern: str | None = None) -> Iterator[tuple[str, OwnValue]]:
        """Names and values of a kind, those that fit a pattern, in order of first sight."""
        for (known, name), value in self._values.items():
            if known == kind and (pattern is None or matches(pattern, name)):
                yield name, value

    def whole(self, kind: str, pattern: str | None = None) -> OwnValue:
        """The values of several names as one."""
        whole = OwnValue()
        for _, value in self.each(kind, pattern):
            whole.merge(value)
        return whole

    def hides(self, kind: str, pattern: str) -> bool:
        """Whether numbers of names that fit the pattern may be counted under ``OTHER_NAMES``."""
        if kind not in self.names_dropped or not pattern.strip("*"):
            return False
        return self.is_partial or "*" in pattern or (kind, pattern) not in self._values

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        values = [
            [*key, v.calls, v.total, v.in_time, v.low, v.high, v.last, v.last_ns] for key, v in self._values.items()
        ]
        return {"values": values, "names_dropped": dict(self.names_dropped), "is_partial": self.is_partial}

    @classmethod
    def from_plain(cls, plain: object) -> OwnValues:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        fields = plain_dict(plain, "own values", ("values", "names_dropped", "is_partial"))
        found = cls()
        if type(fields["is_partial"]) is not bool or type(fields["names_dropped"]) is not dict:
            raise ValueError("own values: is_partial must be true or false, and names_dropped a dict")
        found.is_partial = fields["is_partial"]
        for kind, calls in fields["names_dropped"].items():
            found.names_dropped[_plain_kind(kind)] = plain_int(calls, "own values names_dropped")
        for row in plain_list(fields["values"], "own values"):
            content = plain_list(row, "own values")
            if len(content) != 9 or type(content[1]) is not str:
                raise ValueError(f"own values: expected kind, name and seven numbers, got {shown(row)}")
            kind, name, calls, *numbers, last_ns = content
            key = _plain_kind(kind), name
            total, in_time, low, high, last = map(_plain_number, numbers)
            value = OwnValue(plain_int(calls, "own values calls", low=1), total, in_time, low, high, last)
            value.last_ns = plain_int(last_ns, "own values last_ns", low=None)
            if key in found._values or len(found._names(kind)) > MAX_NAMES:
                raise ValueError(f"own values: {key} comes twice, or there are too many names")
            if not value.low <= value.last <= value.high or (kind == COUNT and value.low < 0):
                raise ValueError(f"own values: the numbers of {key} contradict each other")
            found._values[key] = value
        return found

    def _names(self, kind: str) -> list[str]:
        return [name for known, name in self._values if known == kind]

    def _of(self, key: ValueKey, calls: int) -> OwnValue:
        value = self._values.get(key)
        if value is None:
            kind, name = key
            if name != OTHER_NAMES and len(self._names(kind)) >= MAX_NAMES:
                self.names_dropped[kind] = self.names_dropped.get(kind, 0) + calls
                key = kind, OTHER_NAMES
            value = self._values.setdefault(key, OwnValue())
        return value


def _plain_kind(kind: object) -> str:
    if kind not in (COUNT, GAUGE):
        raise ValueError(f"own values: expected {COUNT} or {GAUGE}, got {shown(kind)}")
    return str(kind)


def _plain_number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]  # a number, then
        raise ValueError(f"own values: expected a finite number, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]
