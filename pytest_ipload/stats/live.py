"""What can be seen of a load while it runs: a few numbers, made once a second, small enough to be sent as often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.histogram import Histogram, plain_dict, plain_int, plain_list, shown
from pytest_ipload.stats.recorder import CHUNK_AGE_NS
from pytest_ipload.stats.sample import FAILED, ITERATION, OK, REQUEST
from pytest_ipload.stats.series_table import MAX_NAMES, merged, plain_pair

if TYPE_CHECKING:
    from pytest_ipload.stats.measurements import Measurements

RECENT_S = 5
"""How many full seconds *the last seconds* are, besides the current one."""
_SERIES_PER_SECOND = 50
"""To bring the series of one name together takes time that the load lacks: with more series it is done less often."""
_OLDEST_NAMES_S = 15
_LONGEST_PAUSE_S = 1.0
"""Before a longer one, users hand over what they have."""
_COUNTS = ("users", "requests", "failed_requests", "iterations", "failed_iterations", "warmup_iterations")


class LiveListener(Protocol):
    """Listens to the loads of a session. Called in one thread at a time, which must not be blocked."""

    wants_names: bool
    """Whether the numbers of each request name are needed, which cost more."""

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """What was measured so far in a load of this test; called once a second."""

    def load_ended(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """The load has ended or was aborted; all that was measured, if it is available."""


@dataclass
class NameNumbers:
    """The judged requests of one name so far."""

    failed_requests: int = 0
    latency: Histogram = field(default_factory=Histogram)
    """Of the successful ones; its bins may be coarse."""


@dataclass(frozen=True)
class LiveNumbers:
    """What was measured so far: by one process, or by all together."""

    elapsed_s: float
    """Since the start of the load."""
    planned_s: float | None
    """When no iteration starts any more, in seconds after the start; None where only iterations end the load."""
    planned_iterations: int | None
    """Their number; None if unknown."""
    users: int
    """Users currently running iterations."""
    requests: int
    """Those of the warm-up are among them."""
    failed_requests: int
    iterations: int
    """The judged ones: without the warm-up."""
    failed_iterations: int
    warmup_iterations: int
    requests_per_s: float | None
    """In the last seconds; None until it is known."""
    recent: Histogram
    """Of the successful requests of the last seconds: response times where there is a plan, else latencies."""
    by_name: Mapping[str, NameNumbers] = field(default_factory=dict)
    """By request name, some seconds old if there are many names; empty if no listener wants it."""
    round: tuple[int, int] | None = None
    """Which round it is (from 1), and of how many; None where there are no rounds."""
    set_up: tuple[int, int] | None = None
    """Before the load: how many users are set up, and of how many; the time is that since their set-up began."""

    @property
    def error_rate(self) -> float | None:
        """The share of failed iterations, as a threshold sees it; None before the first judged one."""
        return self.failed_iterations / self.iterations if self.iterations else None

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values that JSON and execnet carry without loss."""
        return {
            **{name: getattr(self, name) for name in (*_COUNTS, *_OPTIONAL, "elapsed_s")},
            "round": None if self.round is None else list(self.round),
            "set_up": None if self.set_up is None else list(self.set_up),
            "recent": self.recent.to_plain(),
            "by_name": [[name, row.failed_requests, row.latency.to_plain()] for name, row in self.by_name.items()],
        }

    @classmethod
    def from_plain(cls, plain: object) -> LiveNumbers:
        """Read what ``to_plain`` wrote; ``ValueError`` if a part is missing, of another type or contradicts another."""
        fields = plain_dict(plain, "live numbers", (*_COUNTS, *_OPTIONAL, "elapsed_s", *_PAIRS, "recent", "by_name"))
        counts = {name: plain_int(fields[name], f"live numbers {name}") for name in _COUNTS}
        if counts["failed_requests"] > counts["requests"] or counts["failed_iterations"] > counts["iterations"]:
            raise ValueError("live numbers: more requests or iterations failed than completed")
        planned = fields["planned_iterations"]
        return cls(
            **counts,
            elapsed_s=_plain_float(fields["elapsed_s"], "live numbers elapsed_s"),
            planned_s=_plain_optional(fields["planned_s"], "live numbers planned_s"),
            planned_iterations=None if planned is None else plain_int(planned, "live numbers planned_iterations"),
            requests_per_s=_plain_optional(fields["requests_per_s"], "live numbers requests_per_s"),
            recent=Histogram.from_plain(fields["recent"]),
            by_name=dict(_plain_rows(fields["by_name"])),
            round=_plain_round(fields["round"]),
            set_up=_plain_set_up(fields["set_up"]),
        )


_PAIRS = ("round", "set_up")
_OPTIONAL = ("planned_s", "planned_iterations", "requests_per_s")


def together(parts: Sequence[LiveNumbers], elapsed_s: float) -> LiveNumbers:
    """The numbers of a whole load from those of its parts, of which there is at least one."""
    by_name: dict[str, NameNumbers] = {}
    for part in parts:
        for name, row in part.by_name.items():
            whole = by_name.setdefault(name, NameNumbers())
            whole.failed_requests += row.failed_requests
            whole.latency.merge(row.latency)
    rates = [part.requests_per_s for part in parts if part.requests_per_s is not None]
    set_ups = [part.set_up for part in parts if part.set_up is not None]
    return LiveNumbers(
        elapsed_s=elapsed_s,
        planned_s=parts[0].planned_s,
        planned_iterations=parts[0].planned_iterations,
        **{name: sum(getattr(part, name) for part in parts) for name in _COUNTS},
        requests_per_s=sum(rates) if len(rates) == len(parts) else None,
        recent=merged(part.recent for part in parts),
        by_name=by_name,
        round=parts[0].round,
        set_up=(sum(done for done, _ in set_ups), sum(users for _, users in set_ups)) if set_ups else None,
    )


class LiveWatch:
    """Looks at the measurements of a load again and again, and says what there is to see."""

    def __init__(
        self,
        planned_s: float | None,
        planned_iterations: int | None,
        round_: tuple[int, int] | None = None,
        *,
        pause_s: float = 0.0,
        names: bool = False,
    ) -> None:
        """``pause_s`` is the longest pause between two iterations of a user.

        ``names`` says whether the numbers of each request name are needed.
        """
        self._planned_s = planned_s
        self._planned_iterations = planned_iterations
        self._round = round_
        self._hand_over_s = CHUNK_AGE_NS / NS_PER_S + min(pause_s, _LONGEST_PAUSE_S)
        self._wants_names = names
        self._names: dict[str, NameNumbers] = {}
        self._names_due_s = 0.0

    def setting_up(self, done: int, users: int, elapsed_s: float) -> LiveNumbers:
        """The numbers ``elapsed_s`` after the users' set-up began: ``done`` of the users are set up."""
        return LiveNumbers(
            elapsed_s=elapsed_s,
            planned_s=self._planned_s,
            planned_iterations=self._planned_iterations,
            users=0,
            requests=0,
            failed_requests=0,
            iterations=0,
            failed_iterations=0,
            warmup_iterations=0,
            requests_per_s=None,
            recent=Histogram(),
            round=self._round,
            set_up=(done, users),
        )

    def look(self, measured: Measurements, elapsed_s: float, users: int) -> LiveNumbers:
        """The numbers ``elapsed_s`` after the load's start, with ``users`` running iterations."""
        if self._wants_names and (elapsed_s >= self._names_due_s or not users):
            series, self._names = _by_name(measured)
            self._names_due_s = elapsed_s + min(_OLDEST_NAMES_S, series / _SERIES_PER_SECOND)
        recent = _recent(measured, int(elapsed_s) - RECENT_S)
        return LiveNumbers(
            elapsed_s=elapsed_s,
            planned_s=self._planned_s,
            planned_iterations=self._planned_iterations,
            users=users,
            requests=measured.timeline.requests,
            failed_requests=measured.timeline.failed_requests,
            iterations=measured.count(ITERATION),
            failed_iterations=measured.count(ITERATION, outcome=FAILED),
            warmup_iterations=measured.warmup_iterations,
            requests_per_s=_rate(measured, elapsed_s - self._hand_over_s - _usual_gap_s(measured, recent)),
            recent=recent,
            by_name=self._names,
            round=self._round,
        )


def _usual_gap_s(measured: Measurements, recent: Histogram) -> float:
    """Maximum time until a user's next sample, which brings the ones that the user still holds back."""
    iterations = [series.latency for _, series in measured.series(ITERATION)]
    count = sum(latency.count for latency in iterations)
    twice_the_mean = 2 * sum(latency.total_ns for latency in iterations) / count if count else 0.0
    return max(twice_the_mean, recent.quantile(0.95) or 0) / NS_PER_S


def _rate(measured: Measurements, until_s: float) -> float | None:
    """Requests per second in the last whole seconds before this time, when all ended samples have arrived."""
    end = int(until_s)
    first = max(0, end - RECENT_S)
    if end <= first:
        return None
    return measured.timeline.requests_between(first, end) / (end - first)


def _recent(measured: Measurements, first: int) -> Histogram:
    """Durations of the successful requests that ended in second ``first`` of the load, or later."""
    seconds = (second.peek() for second in measured.timeline.since(first))
    return merged(latency if response is None else response for latency, response in seconds)


def _by_name(measured: Measurements) -> tuple[int, dict[str, NameNumbers]]:
    """The number of series, and what they are together."""
    rows: dict[str, NameNumbers] = {}
    found = list(measured.series(REQUEST))
    for key, series in found:
        row = rows.setdefault(key.name, NameNumbers())
        if key.outcome == OK:
            row.latency.merge(series.latency)
        else:
            row.failed_requests += series.latency.count
    return len(found), {name: NameNumbers(row.failed_requests, row.latency.coarse()) for name, row in rows.items()}


def _plain_float(value: object, what: str) -> float:
    """The value, if it is a finite number from 0 on; else ``ValueError``."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:  # type: ignore[operator]
        raise ValueError(f"{what}: expected a number of 0 or more, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _plain_optional(value: object, what: str) -> float | None:
    return None if value is None else _plain_float(value, what)


def _plain_round(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    number, count = plain_pair(value, "live numbers round")
    plain_int(count, "live numbers rounds", low=1)
    return plain_int(number, "live numbers round", low=1, high=count), count


def _plain_set_up(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    done, users = plain_pair(value, "live numbers set_up")
    plain_int(users, "live numbers set_up")
    return plain_int(done, "live numbers set_up", high=users), users


def _plain_rows(value: object) -> Iterator[tuple[str, NameNumbers]]:
    rows: Iterable[Any] = plain_list(value, "live numbers by_name")
    seen: set[str] = set()
    for row in rows:
        if type(row) is not list or len(row) != 3 or type(row[0]) is not str or row[0] in seen:
            raise ValueError("live numbers by_name: expected name, failed requests and latency, of each name once")
        name, failed, latency = row
        seen.add(name)
        if len(seen) > MAX_NAMES + 1:
            raise ValueError("live numbers by_name: there are too many names")
        yield name, NameNumbers(plain_int(failed, "live numbers by_name"), Histogram.from_plain(latency))
