"""The requests of a load by second; in a load of hours, the older ones by steps of several seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_ipload.stats.histogram import plain_dict, plain_int, plain_list
from pytest_ipload.stats.series import Second
from pytest_ipload.stats.series_table import plain_pair

MOST_STEPS = 4000
"""When a load needs more, they are joined in pairs: a load of an hour has its seconds, and those that end late too."""
_OPEN_SECONDS = 10
"""Samples may still arrive for a second this long ago; for older ones that is unlikely."""
_LONGEST_STEP_S = 1 << 40


class Timeline:
    """Second number n holds the requests that ended from n to n + 1 seconds after the start of the load.

    The newest seconds are kept separately, to be read while the load runs. Those that are over are packed, and where
    there are too many, neighbours are joined: counts, extremes and bins add up, so nothing but the time when a request
    ended gets coarser. The memory that it takes does not depend on the length of the load. Not for two threads at a
    time.
    """

    def __init__(self, *, planned: bool) -> None:
        self.planned = planned
        self.step_s = 1
        """How many seconds a step is long: 1, 2, 4 ..."""
        self._steps: dict[int, Second] = {}
        """Past ones, by number: N begins N steps after the start."""
        self._open: dict[int, Second] = {}
        self._open_from: int | None = None
        """The first second that is not over; None before the first request."""
        self._reopened: set[int] = set()
        """Steps to be packed again, as something came in for them."""
        self._newest = -1
        """The last second with a request, or the first one of the last step; -1 without any since the start."""

    def at(self, number: int) -> Second:
        """This second, or the step that it belongs to, to add requests to."""
        second = self._open.get(number)
        if second is not None:
            return second
        if self._open_from is not None and number < self._open_from:
            return self._step(number // self.step_s)
        second = self._open[number] = Second(planned=self.planned)
        self._newest = max(self._newest, number)
        self._close(number - _OPEN_SECONDS + 1)
        return second

    def merge(self, other: Timeline) -> None:
        """Add the requests of the same seconds in another part of the load."""
        while self.step_s < other.step_s:
            self._join_pairs()
        for number, second in other._steps.items():
            if other.step_s == 1:
                self.at(number).merge(second)
            else:
                self._step(number * other.step_s // self.step_s).merge(second)
        for number, second in other._open.items():
            self.at(number).merge(second)
        self._newest = max(self._newest, other._newest)
        self._limit()

    def steps(self) -> dict[int, Second]:
        """All steps by their number, in ascending order, to be looked at; those without a request are absent."""
        found = dict(self._steps)
        for number, second in self._open.items():
            step = number // self.step_s
            if self.step_s == 1:
                found[step] = second
            else:
                both = Second(planned=self.planned)
                for each in (found.get(step), second):
                    if each is not None:
                        both.merge(each)
                found[step] = both
        return {number: found[number] for number in sorted(found)}

    def since(self, first: int) -> Iterator[Second]:
        """The seconds from number ``first`` on, of those that are not over for long."""
        return (second for number, second in self._open.items() if number >= first)

    def requests_between(self, first: int, end: int) -> float:
        """How many requests ended from second ``first`` up to ``end``; of a longer step, its share of the time."""
        found = float(sum(second.requests for number, second in self._open.items() if first <= number < end))
        for number in range(first // self.step_s, -(-end // self.step_s)):
            if (step := self._steps.get(number)) is not None:
                begin = number * self.step_s
                shared_s = min(end, begin + self.step_s) - max(first, begin)
                found += step.requests * shared_s / self.step_s
        return found

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(second.requests for second in self._each())

    @property
    def failed_requests(self) -> int:
        """Those of them that failed."""
        return sum(second.failed_requests for second in self._each())

    @property
    def end(self) -> int:
        """The number of seconds up to the end of the last step with a request; 0 without any, or before the start."""
        return (self._newest // self.step_s + 1) * self.step_s

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        return {
            "step_s": self.step_s,
            "steps": [[number, second.to_plain()] for number, second in self.steps().items()],
        }

    @classmethod
    def from_plain(cls, plain: object, *, planned: bool) -> Timeline:
        """Read what ``to_plain`` wrote; ``ValueError`` if it is anything else."""
        fields = plain_dict(plain, "timeline", ("step_s", "steps"))
        result = cls(planned=planned)
        result.step_s = plain_int(fields["step_s"], "timeline step_s", low=1, high=_LONGEST_STEP_S)
        if result.step_s & (result.step_s - 1):
            raise ValueError(f"timeline step_s: expected a power of two, got {result.step_s}")
        for number, second in (plain_pair(pair, "timeline") for pair in plain_list(fields["steps"], "timeline steps")):
            if plain_int(number, "timeline step", low=None) in result._steps:
                raise ValueError(f"timeline steps: {number} comes twice")
            result._steps[number] = Second.from_plain(second, planned=planned)
        if result._steps:
            last = max(result._steps)
            result._open_from, result._newest = (last + 1) * result.step_s, max(-1, last * result.step_s)
        result._limit()
        return result

    def _each(self) -> Iterator[Second]:
        yield from self._steps.values()
        yield from self._open.values()

    def _step(self, number: int) -> Second:
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = Second(planned=self.planned)
        self._reopened.add(number)
        return step

    def _close(self, end: int) -> None:
        """The seconds before this one are over."""
        if self._open_from is not None and end <= self._open_from:
            return
        self._open_from = end
        for number in [number for number in self._open if number < end]:
            second, step = self._open.pop(number), number // self.step_s
            if step in self._steps:
                second.pack()  # before they are joined: bins of one second and of a step are equally coarse
                self._step(step).merge(second)
            else:
                self._steps[step] = second
                self._reopened.add(step)
        self._pack_reopened()
        self._limit()

    def _pack_reopened(self) -> None:
        for number in self._reopened:
            self._steps[number].pack()
        self._reopened.clear()

    def _limit(self) -> None:
        while self._newest >= MOST_STEPS * self.step_s:
            self._join_pairs()

    def _join_pairs(self) -> None:
        self.step_s *= 2
        steps, self._steps = self._steps, {}
        for number in sorted(steps):
            if (first := self._steps.setdefault(number // 2, steps[number])) is not steps[number]:
                first.merge(steps[number])
                first.pack()
        self._reopened = set()
