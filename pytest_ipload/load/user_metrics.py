"""What a body counts and checks itself, besides its requests: checks, counts, gauges, observed times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import IploadError, SettingError
from pytest_ipload.base.units import NS_PER_S, format_setting
from pytest_ipload.load.iteration_log import IterationLog
from pytest_ipload.settings.parsing import as_label
from pytest_ipload.stats.evidence.keeper import MakeExchange, UserEvidence
from pytest_ipload.stats.recorder import KEPT_NS, KEPT_REQUESTS, Key, Recorder
from pytest_ipload.stats.sample import CHECK, COUNT, FAILED, GAUGE, OBSERVED, OK, Problem, Sample, timed_sample
from pytest_ipload.stats.series_table import MAX_NAMES

LARGEST = 1e15
"""Of a number: up to here whole numbers add up exactly."""
LONGEST_S = 1e6
"""Of an observed time: eleven days."""
_METHODS = {COUNT: "count", GAUGE: "gauge", OBSERVED: "observe"}


class MetricNames:
    """The kind of each metric of a load in this process. For all its threads: ``dict.setdefault`` is atomic."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def claim(self, name: str, kind: str) -> None:
        """Say that a name is of this kind. Raises SettingError if it is of another one."""
        if len(self._kinds) >= MAX_NAMES and name not in self._kinds:
            return  # it is counted among the other names
        if (known := self._kinds.setdefault(name, kind)) != kind:
            raise SettingError(
                f"metric {name!r} is used with {_METHODS[known]}() and with {_METHODS[kind]}(); a metric has one kind: "
                "give the two different names"
            )


class UserMetrics:
    """The checks and metrics of one user, on their way to its recorder."""

    def __init__(self, names: MetricNames | None, recorder: Recorder | None) -> None:
        """Without a recorder nothing is kept."""
        self._names = names or MetricNames()
        self.recorder = recorder
        self._labels: dict[tuple[str, object], str] = {}
        """The names that have been looked at."""

    def label(self, kind: str, name: object) -> str:
        """The name as it is shown. Raises SettingError for one that is not a text, or is used as another kind."""
        key = kind, name
        try:
            return self._labels[key]
        except (KeyError, TypeError):
            pass
        try:
            label = as_label(name, f"the name of a {kind}")
        except ValueError as error:
            raise SettingError(str(error)) from None
        if kind != CHECK:
            self._names.claim(label, kind)
        if len(self._labels) >= MAX_NAMES:
            self._labels.clear()
        self._labels[kind, label if type(name) is not str else name] = label
        return label

    def note(self, kind: str, label: str, value: float) -> None:
        """Take a number."""
        if self.recorder is not None:
            self.recorder.note_value((kind, label), real_time.perf_counter_ns(), value)


class MeasuringUser:
    """The part of a ``VirtualUser`` that checks and counts.

    Outside of iterations (in set-up and teardown) nothing is counted, as nothing there is judged.
    """

    evidence: UserEvidence | None
    _log: IterationLog
    _metrics: UserMetrics
    _record: Callable[[Sample], None]
    _tally: Callable[[Key, int, int], None]
    index: int

    def check(self, name: str, condition: object) -> bool:
        """Count whether the condition holds, and return that; nothing is raised, the iteration goes on.

        ``check_rate{name} > 99%`` is a threshold for it. Unless a threshold speaks of checks, one that failed fails
        the test, but never the iteration. Raises SettingError for a function in the place of its result.
        """
        __tracebackhide__ = True
        if callable(condition) and not hasattr(type(condition), "__bool__"):
            raise SettingError(
                f"check {name!r}: the condition is a function or a class ({condition!r:.80}), which is always true; "
                "give the value: check('paid', order.is_paid())"
            )
        holds = bool(condition)
        label = self._metrics.label(CHECK, name)
        if self._log.running:
            now_ns = real_time.perf_counter_ns()
            if holds:
                self._tally((CHECK, label, None, 0, OK), now_ns, 0)
            else:
                self._record(timed_sample(CHECK, label, now_ns, 0, FAILED))
        return holds

    def count(self, name: str, n: float = 1) -> None:
        """Add ``n`` to a count: ``count{sold} > 100``, ``rate{sold} > 5/s``.

        ``n`` is a finite number of 0 or more. Raises SettingError.
        """
        __tracebackhide__ = True
        value = _number("count", name, n)
        if value < 0:
            raise SettingError(f"count({name!r}, {n!r}): a count only grows; give 0 or more, or use gauge()")
        label = self._metrics.label(COUNT, name)
        if self._log.running:
            self._metrics.note(COUNT, label, value)

    def gauge(self, name: str, value: float) -> None:
        """Note the present value of something that goes up and down: ``gauge{queue} < 10``, ``gauge.max{queue} < 50``.

        ``value`` is a finite number. The last one of all users and processes counts, and the smallest and largest are
        kept. Raises SettingError.
        """
        __tracebackhide__ = True
        number = _number("gauge", name, value)
        label = self._metrics.label(GAUGE, name)
        if self._log.running:
            self._metrics.note(GAUGE, label, number)

    def observe(self, name: str, seconds: float) -> None:
        """Note a time that the test has found out itself, in seconds: ``p95{metric:age} < 10s``.

        ``seconds`` is a number from 0 to a million. Raises SettingError.
        """
        __tracebackhide__ = True
        value = _number("observe", name, seconds)
        if not 0 <= value <= LONGEST_S:
            raise SettingError(f"observe({name!r}, {seconds!r}): give seconds, from 0 to {LONGEST_S:,.0f}")
        label = self._metrics.label(OBSERVED, name)
        if self._log.running:
            latency_ns = round(value * NS_PER_S)
            self._tally((OBSERVED, label, None, 0, OK), real_time.perf_counter_ns() - latency_ns, latency_ns)

    def fail_request(self, started_ns: int, latency_ns: int, problem: Problem, make: MakeExchange) -> None:
        """Make a request of the running iteration that has been recorded as a success a failed one.

        ``make`` makes the exchange for the evidence. Raises IploadError if the request is of another iteration, or
        was handed over already.
        """
        log, recorder = self._log, self._metrics.recorder
        what = f"response.fail({problem.message!r:.200})"
        if not log.running or started_ns < log.began_ns:
            raise IploadError(
                f"{what}: the request does not belong to the running iteration, so it has been judged; call fail() "
                "before the iteration ends"
            )
        sample = None if recorder is None else recorder.take_back(started_ns, latency_ns)
        if sample is None:
            raise IploadError(
                f"{what}: the request has been counted as a success already, as it is too old; call fail() within "
                f"{format_setting(KEPT_NS / NS_PER_S)} and before {KEPT_REQUESTS} more requests of its name, "
                "or fail the iteration with an assertion"
            )
        if sample.outcome != OK:
            self._record(sample)  # it has failed anyway
            return
        failed = sample._replace(outcome=FAILED, problem=problem)
        log.note(failed)
        if self.evidence is not None:
            self.evidence.fail(failed, make)
        self._record(failed)


def _number(method: str, name: object, value: Any) -> float:
    """A finite number. Raises SettingError."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(f"{method}({name!r:.80}, {value!r:.80}): give a finite number") from None
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise SettingError(f"{method}({name!r:.80}, {value!r:.80}): give a finite number of at most {LARGEST:g}")
    return number
