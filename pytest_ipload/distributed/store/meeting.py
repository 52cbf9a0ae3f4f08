"""A common start, and a common end, of the segments of a load, by small objects in a place that all of them see.

``ready-I.W.json`` says that worker W of segment I is ready. When all are, the leader (worker 0 of segment 0) writes
``go.json``, and then ``start.json``: the start by its own clock, and when it wrote ``go.json``. Each of the others
knows when, by its own clock, ``go.json`` was not there yet and when it was, and so how its clock differs from the
leader's: no clock has to be right. ``stop.json`` is written by whoever cannot go on. Waiting is bounded everywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_ipload.base.text import printable
from pytest_ipload.base.units import format_duration
from pytest_ipload.distributed.store.place import Answer, Place, StoreError
from pytest_ipload.verdict.origin import LEADER, ClockOffset

POLL_VARIABLE = "PYTEST_IPLOAD_STORE_POLL"
"""Seconds between two looks, if not the usual ones."""
_POLL_S, _SLOW_POLL_S, _SLOW_AFTER_S = 0.1, 0.5, 30.0
_LONGEST_POLL_S = 60.0
_LEAD_POLLS = 10
"""How many looks before the start it is announced."""
_MOST_LISTED = 20
_LONGEST_REASON = 1000
_GO, _START, _STOP = "go.json", "start.json", "stop.json"


ALL_LOADS = "session/"
"""Where what is about all loads of the sessions is; the files of results are alone in the place itself."""


class NoMeeting(Exception):
    """The load cannot begin in all segments; the text says why."""


class Start(NamedTuple):
    """The common start."""

    at: float
    """Unix seconds, by this machine's clock."""
    clock: ClockOffset
    """How far this machine's clock is ahead of the leader's."""


class Stop(NamedTuple):
    """Why a load has to end."""

    segment: int
    reason: str
    is_planned: bool
    """A threshold aborted it: what was measured counts."""


@dataclass(frozen=True)
class Participant:
    """A process that takes part in a load."""

    segment: int
    segments: int
    worker: int = 0
    """Of those of the segment."""
    workers: int = 1

    @property
    def leads(self) -> bool:
        """Whether it announces the start."""
        return self.segment == self.worker == 0


class Meeting:
    """One load, as one of its processes takes part in it."""

    def __init__(
        self,
        place: Place,
        number: int,
        who: Participant,
        *,
        test: str,
        clock: Callable[[], float],
        nap: Callable[[float], object],
        wait_s: float,
    ) -> None:
        """``number`` is that of the load in each session, of this ``test``; ``nap`` waits between two looks."""
        self._place, self._who = place, who
        self._folder, self._test = f"load-{number}", test
        self._clock, self._nap, self._wait_s = clock, nap, wait_s
        self._there: dict[str, int] = {}
        """How many workers their segments have, of those that are ready."""

    def agree(self) -> Start:
        """Wait until all are ready, and return the common start. Raises NoMeeting."""
        try:
            return self._lead() if self._who.leads else self._follow()
        except StoreError as error:
            raise NoMeeting(f"--ipload-store: {error}") from None

    def stop(self, reason: str, *, is_planned: bool = False) -> None:
        """Have all segments stop this load. Raises StoreError."""
        if self.stopped() is None:
            put_stop(self._place, f"{self._folder}/", self._who.segment, reason, is_planned=is_planned)

    def stopped(self) -> Stop | None:
        """Why the load has to end; None if it need not. Raises StoreError."""
        return _read_stop(self._place, f"{self._folder}/")

    # -- the start ------------------------------------------------------------------------------------------------

    def _lead(self) -> Start:
        self._announce()
        looks = self._looks()
        while missing := self._missing():
            if next(looks, None) is None:
                raise NoMeeting(self._too_late(missing))
        go = self._put(_GO, {})
        at = self._clock() + _LEAD_POLLS * self._poll_s(self._clock() - self._began)
        self._put(_START, {"test": self._test, "at": at, "go": [go.asked, go.answered]})
        return Start(at, ClockOffset(0.0, 0.0, LEADER))

    def _follow(self) -> Start:
        before = self._announce().asked  # it is known to be before 'go', whatever the place caches
        looks = self._looks()
        while (go := self._get(_GO)).content is None:
            if self._place.is_consistent:
                before = go.asked
            if next(looks, None) is None:
                missing = self._missing()
                raise NoMeeting(self._too_late(missing or ["segment 0 (which announces the start)"]))
        while (start := self._get(_START)).content is None:
            if next(looks, None) is None:
                raise NoMeeting(self._too_late(["segment 0 (which announces the start)"]))
        try:
            plain = json.loads(start.content or b"")
            at, (asked, answered) = float(plain["at"]), map(float, plain["go"])
            self._check_test(0, plain["test"])
            clock = ClockOffset(before - answered, go.answered - asked, LEADER)
        except (ValueError, TypeError, KeyError) as error:
            raise NoMeeting(f"--ipload-store: {self._name(_START)} is damaged: {error}") from None
        return Start(at + clock.nearest_s, clock)

    def _announce(self) -> Answer:
        """Say that this process is ready. Raises NoMeeting if that has been said already."""
        self._began = self._clock()
        name = _ready(self._who.segment, self._who.worker)
        if self._get(name).content is not None:
            raise NoMeeting(
                f"--ipload-store: {self._place.shown} has {self._name(name)} already, from another run or an earlier "
                "attempt of this segment; give each run a place of its own, and do not restart segments"
            )
        return self._put(name, {"test": self._test, "workers": self._who.workers})

    def _check_test(self, segment: int, test: object) -> None:
        if test != self._test:
            raise NoMeeting(
                f"segment {segment} is at {printable(str(test))[:200]}, and this one at {self._test}: all segments "
                "have to select the same load tests and run them in the same order"
            )

    def _looks(self) -> Iterator[bool]:
        """Naps, until the time is over. Raises NoMeeting if another segment has stopped the load."""
        while (waited_s := self._clock() - self._began) < self._wait_s:
            if (stop := self.stopped() or _read_stop(self._place, ALL_LOADS)) is not None:
                raise NoMeeting(f"segment {stop.segment} stopped the load before its start: {stop.reason}")
            self._nap(min(self._poll_s(waited_s), max(0.0, self._wait_s - waited_s)))
            yield True

    def _poll_s(self, waited_s: float) -> float:
        """How long until the next look."""
        given = os.environ.get(POLL_VARIABLE)
        if given is None:
            return _POLL_S if waited_s < _SLOW_AFTER_S else _SLOW_POLL_S
        try:
            if 0 < (seconds := float(given)) <= _LONGEST_POLL_S:
                return seconds
        except ValueError:
            pass
        raise NoMeeting(f"{POLL_VARIABLE}={given!r:.40}: give a number of seconds, at most {_LONGEST_POLL_S:g}")

    def _missing(self) -> list[str]:
        """The segments that are not ready, or workers of them."""
        found = []
        for segment in range(self._who.segments):
            first = self._ready(segment, 0)
            if first is None:
                found.append(f"segment {segment}/{self._who.segments}")
                continue
            late = [worker for worker in range(1, first) if self._ready(segment, worker) is None]
            found += [f"worker {worker} of segment {segment}/{self._who.segments}" for worker in late]
        return found

    def _ready(self, segment: int, worker: int) -> int | None:
        """How many workers a segment has; None if this one is not ready."""
        name = _ready(segment, worker)
        if name not in self._there and (content := self._get(name).content) is not None:
            try:
                plain = json.loads(content)
                self._there[name] = int(plain["workers"])
                self._check_test(segment, plain["test"])
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(f"{self._name(name)} is damaged: {error}") from None
        return self._there.get(name)

    def _too_late(self, missing: list[str]) -> str:
        more = len(missing) - _MOST_LISTED
        listed = ", ".join(missing[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
        return (
            f"after {format_duration(self._wait_s)} not ready to start: {listed}; see why in their output, or give "
            "them more time (--ipload-store-wait)"
        )

    # -- the objects ------------------------------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _get(self, name: str) -> Answer:
        return self._place.get(self._name(name))

    def _put(self, name: str, plain: Any) -> Answer:
        return self._place.put(self._name(name), json.dumps(plain).encode())


def put_stop(place: Place, prefix: str, segment: int, reason: str, *, is_planned: bool = False) -> None:
    """Have all segments stop a load, or under ``ALL_LOADS`` begin none any more. Raises StoreError."""
    plain = {"segment": segment, "reason": printable(reason)[:_LONGEST_REASON], "is_planned": is_planned}
    place.put(f"{prefix}{_STOP}", json.dumps(plain).encode())


def _read_stop(place: Place, prefix: str) -> Stop | None:
    content = place.get(f"{prefix}{_STOP}").content
    if content is None:
        return None
    try:
        plain = json.loads(content)
        return Stop(int(plain["segment"]), printable(str(plain["reason"])), plain["is_planned"] is True)
    except (ValueError, TypeError, KeyError):
        raise StoreError(f"{prefix}{_STOP} is damaged") from None


def _ready(segment: int, worker: int) -> str:
    return f"ready-{segment}.{worker}.json"
