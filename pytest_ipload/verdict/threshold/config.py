"""Thresholds with how they are judged: over which samples, with which confidence, and what a failure does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.units import NS_PER_S, format_setting
from pytest_ipload.settings.parsing import as_bool, as_confidence, as_positive_seconds, as_seconds, one_of
from pytest_ipload.verdict.threshold.expression import Threshold

FAIL, WARN = "fail", "warn"
SHORTEST_WINDOW = 0.1
"""Seconds. Shorter windows are mostly empty, and an hour has too many of them."""

_IMPLIED = Threshold.parse("error_rate == 0%")
OF_ITERATIONS = frozenset({"error_rate", "errors"})
"""The metrics that see each iteration that fails."""
_SPEAKS_OF_ERRORS = OF_ITERATIONS | {"request_error_rate"}
_SHARES_WITH_INTERVAL = frozenset({"error_rate", "request_error_rate"})
_OF_THE_WHOLE_LOAD = frozenset({"dropped_iterations", "ip_pool_usage", "set_up_error_rate"})

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
        if self.window is not None and statistic in _OF_THE_WHOLE_LOAD:
            raise SettingError(f"threshold {text!r}: {statistic} is counted over the whole load and takes no window")
        if self.confidence is None:
            return
        if self.threshold.quantile is None and statistic not in _SHARES_WITH_INTERVAL:
            raise SettingError(
                f"threshold {text!r}: confidence only applies to percentiles, error_rate and request_error_rate: "
                f"there is no interval for {self.threshold.metric}"
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


def tolerates_set_up_errors(thresholds: Sequence[ThresholdConfig]) -> bool:
    """Whether a user whose set-up fails is left out, because one of the thresholds covers that."""
    return any(config.severity == FAIL and config.threshold.statistic == "set_up_error_rate" for config in thresholds)


def window_lengths(thresholds: Sequence[ThresholdConfig]) -> list[int]:
    """The lengths of the windows that these thresholds are judged on, in nanoseconds."""
    return sorted({config.window_ns for config in thresholds if config.window_ns is not None})
