"""Thresholds with how they are judged: over which samples, with which confidence, and what a failure does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.units import NS_PER_S, format_setting
from pytest_ipload.settings.parsing import as_bool, as_confidence, as_positive_seconds, as_seconds, one_of
from pytest_ipload.verdict.threshold.expression import VALUES, Threshold
from pytest_ipload.verdict.threshold.target_metric import GROWTH

FAIL, WARN = "fail", "warn"
SHORTEST_WINDOW = 0.1
"""Seconds. Shorter windows are mostly empty, and an hour has too many of them."""

_IMPLIED = Threshold.parse("error_rate == 0%")
OF_ITERATIONS = frozenset({"error_rate", "errors"})
"""The metrics that see each iteration that fails."""
_SPEAKS_OF_ERRORS = OF_ITERATIONS | {"request_error_rate"}
_IMPLIED_CHECKS = Threshold.parse("check_rate == 100%")
_SHARES_WITH_INTERVAL = frozenset({"error_rate", "request_error_rate", "check_rate"})
_OF_THE_WHOLE_LOAD = frozenset({"dropped_iterations", "ip_pool_usage", "set_up_error_rate", *VALUES})
_CHANGING_BOTH_WAYS = frozenset({"rate", "gauge"})

KEYS: Mapping[str, Callable[[Any], Any]] = {
    "abort_on_fail": as_bool,
    "delay": as_seconds,
    "window": as_positive_seconds,
    "severity": one_of(FAIL, WARN),
    "confidence": as_confidence,
}
"""The keys of a threshold besides its expression, with their parsers."""


@dataclass(frozen=True)
class ThresholdConfig:
    """A threshold and its settings. Times are seconds. Contradictory settings raise SettingError."""

    threshold: Threshold
    severity: str = FAIL
    abort_on_fail: bool = False
    """The load is aborted as soon as the threshold can no longer hold."""
    delay: float = 10.0
    """How long after the start of the load this is first checked."""
    window: float | None = None
    """It has to hold in each full window of this length; None: over the whole judged time."""
    confidence: float | None = None
    """It fails, or holds, only if the whole interval of this confidence does; None: if the value does."""
    is_implied: bool = False
    """Not given by the user: it applies because no other threshold covers errors."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        statistic, text = self.threshold.statistic, self.threshold.text
        self._check_ranges()
        if self.abort_on_fail and self.severity != FAIL:
            raise SettingError(
                f"threshold {text!r}: abort_on_fail=True and severity={self.severity!r} contradict each other: a "
                "warning cannot abort the load; remove one of them"
            )
        if self.window is not None and self.window < SHORTEST_WINDOW:
            raise SettingError(
                f"threshold {text!r}: window={format_setting(self.window)} is too short; "
                f"the shortest window is {format_setting(SHORTEST_WINDOW)}"
            )
        if self.threshold.measured.is_of_target:
            self._check_target()
        if self.window is not None and statistic in _OF_THE_WHOLE_LOAD:
            raise SettingError(f"threshold {text!r}: {statistic} is counted over the whole load and takes no window")
        if self.abort_on_fail and statistic in _CHANGING_BOTH_WAYS:
            raise SettingError(
                f"threshold {text!r}: abort_on_fail does not apply to {statistic}: it may still change until the load "
                "ends; use it with check_rate, count, gauge.max or gauge.min, or remove it"
            )
        if self.confidence is None:
            return
        has_interval = statistic == GROWTH
        if not self.threshold.measured.is_of_target:
            has_interval = self.threshold.quantile is not None or statistic in _SHARES_WITH_INTERVAL
        if not has_interval:
            raise SettingError(
                f"threshold {text!r}: confidence only applies to percentiles, error_rate, request_error_rate and "
                f"check_rate: there is no interval for {self.threshold.metric}"
            )
        if self.threshold.operator in ("==", "!="):
            raise SettingError(
                f"threshold {text!r}: confidence does not apply to {self.threshold.operator!r}, as an interval "
                "is never equal to one value; write a limit with <, <=, > or >="
            )

    def _check_ranges(self) -> None:
        """Refuse values that a marker cannot give, but a file can."""
        try:
            one_of(FAIL, WARN)(self.severity)
            as_seconds(self.delay)
            if self.window is not None:
                as_seconds(self.window)
            if self.confidence is not None:
                as_confidence(self.confidence)
        except ValueError as error:
            raise SettingError(f"threshold {self.threshold.text!r}: {error}") from None

    def _check_target(self) -> None:
        """Refuse what is not judged of a target."""
        if self.window is not None:
            raise SettingError(
                f"threshold {self.threshold.text!r}: a target's own numbers are judged over the whole load: "
                "remove window"
            )
        if self.abort_on_fail and self.threshold.statistic not in ("max", "min"):
            raise SettingError(
                f"threshold {self.threshold.text!r}: the {self.threshold.statistic_text} of a target is known at the "
                "end, and only max and min can abort a load: remove abort_on_fail"
            )

    @property
    def window_ns(self) -> int | None:
        """The length of the window in nanoseconds."""
        return None if self.window is None else round(self.window * NS_PER_S)

    @property
    def text(self) -> str:
        """The expression and its other settings, as shown to users: ``p95 < 200ms (window 10s)``."""
        keys = {
            "window": None if self.window is None else format_setting(self.window),
            "confidence": self.confidence,
            "abort_on_fail after": format_setting(self.delay) if self.abort_on_fail else None,
            "severity": None if self.severity == FAIL else self.severity,
        }
        more = ", ".join(f"{key} {value}" for key, value in keys.items() if value is not None)
        return f"{self.threshold.text} ({more})" if more else self.threshold.text


def with_implied(thresholds: Sequence[ThresholdConfig]) -> list[ThresholdConfig]:
    """The thresholds, and ``error_rate == 0%`` unless one of them already covers errors."""
    speaks = any(config.severity == FAIL and config.threshold.statistic in _SPEAKS_OF_ERRORS for config in thresholds)
    return [*thresholds] if speaks else [*thresholds, ThresholdConfig(_IMPLIED, is_implied=True)]


def implied_for_checks(thresholds: Sequence[ThresholdConfig]) -> list[ThresholdConfig]:
    """``check_rate == 100%``, unless one of the thresholds already covers checks. It counts if there are checks."""
    speaks = any(config.severity == FAIL and config.threshold.statistic == "check_rate" for config in thresholds)
    return [] if speaks else [ThresholdConfig(_IMPLIED_CHECKS, is_implied=True)]


def is_judged(config: ThresholdConfig, has_checks: bool) -> bool:
    """Whether the threshold applies to a load: an implied one on checks does if it ``has_checks``."""
    return has_checks or not (config.is_implied and config.threshold.statistic == "check_rate")


def tolerates_set_up_errors(thresholds: Sequence[ThresholdConfig]) -> bool:
    """Whether a user whose set-up fails is left out, because one of the thresholds covers that."""
    return any(config.severity == FAIL and config.threshold.statistic == "set_up_error_rate" for config in thresholds)


def window_lengths(thresholds: Sequence[ThresholdConfig]) -> list[int]:
    """The lengths of the windows that these thresholds are judged on, in nanoseconds."""
    return sorted({config.window_ns for config in thresholds if config.window_ns is not None})
