"""Whether the generator was saturated, judging by its processor time and its timer. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_ipload.base.units import NS_PER_MS, NS_PER_S, format_count, format_duration, format_percent
from pytest_ipload.load.generator.monitor import BUSY_SHARE, LOOK_NS

if TYPE_CHECKING:
    from pytest_ipload.load.generator.monitor import GeneratorReadings

MOST_BUSY = 0.1
"""The share of busy seconds from which on the generator was saturated."""
LATE_READINGS = ((0.99, 100, 50 * NS_PER_MS), (0.9, 20, 50 * NS_PER_MS), (0.5, 20, 10 * NS_PER_MS))
"""The quantiles of the timer's lag that are looked at; the readings that it takes, of five seconds or of one; and the
lag in nanoseconds from which on the generator was saturated."""
SHORT_READINGS = ((0.5, 2, 10 * NS_PER_MS),)
"""The same for loads of less than a second."""
FEWEST_READINGS = 0.5
"""The share of the expected readings of the timer that there have to be, from a judged second on."""
SHORTEST_NS = LOOK_NS
"""The judged time from which on its processor time says something."""
MOST_FULL = 0.5
"""The share of the judged time that may be full, looked at from one reading to the next."""

USERS_PER_WORKER = 500
"""Users of one process from which on a saturated load had better use more of them: benchmarks/many_users.py."""
USED_BY_OTHERS = "used by other processes"


def saturation_signs(generator: GeneratorReadings) -> list[str]:
    """The signs of it, in words; empty if it was not saturated."""
    seen = [*_full_processor(generator), *_late_timer(generator)]
    waited_ns = generator.queue_wait_ns
    if seen and waited_ns is not None:
        seen.append(f"the monitoring thread waited {_duration(waited_ns)} for a processor")
        # Idle for more than half of the time, and late mostly because it had to wait: others were running.
        if generator.cpu_ns * 2 < generator.watched_ns and waited_ns * 2 > generator.late_ns:
            seen.append(USED_BY_OTHERS)
    return seen


def _full_processor(generator: GeneratorReadings) -> Iterator[str]:
    """Signs of a full processor."""
    share = format_percent(BUSY_SHARE)
    judged_ns, could_have = generator.judged_ns, generator.judged_ns * generator.cores
    if generator.busy_seconds and generator.busy_seconds >= generator.seconds * MOST_BUSY:
        seconds = f"{format_count(generator.busy_seconds)} of {format_count(generator.seconds)} seconds"
        yield f"this process used at least {share} of its processor time in {seconds}"
    elif judged_ns >= SHORTEST_NS and generator.judged_cpu_ns >= could_have * BUSY_SHARE:
        yield f"this process used {format_percent(generator.judged_cpu_ns / could_have)} of its processor time"
    elif judged_ns >= SHORTEST_NS and generator.busy_ns >= judged_ns * MOST_FULL:
        times = f"{_duration(generator.busy_ns)} of {_duration(judged_ns)}"
        yield f"this process used at least {share} of its processor time in {times}"


def _late_timer(generator: GeneratorReadings) -> Iterator[str]:
    """Signs of a timer that fired late, or not at all."""
    readings, expected = generator.lags.count, generator.readings_expected
    for quantile, fewest, latest_ns in SHORT_READINGS if 0 < generator.judged_ns < NS_PER_S else LATE_READINGS:
        lag_ns = generator.lags.quantile(quantile)
        if lag_ns is not None and lag_ns >= latest_ns and readings >= fewest:
            yield f"timer lag {_duration(lag_ns)} (p{quantile * 100:g} of {readings} readings)"
            break
    if generator.judged_ns >= NS_PER_S and readings < expected * FEWEST_READINGS:
        yield f"its timer fired {format_count(readings)} times instead of {format_count(expected)}"


def _duration(ns: int) -> str:
    return format_duration(ns / NS_PER_S)
