"""The thresholds of a load test: from its markers, the ini file and the command line, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.units import format_setting
from pytest_ipload.plugin.items.markers import THRESHOLD_MARKER
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import did_you_mean
from pytest_ipload.verdict.threshold.config import KEYS, ThresholdConfig, implied_for_checks, with_implied
from pytest_ipload.verdict.threshold.expression import Threshold

_OPTIONAL = ("window", "confidence")
"""None is the same as not giving them."""


def load_thresholds(item: pytest.Item, profile: LoadProfile, state: SessionState) -> list[ThresholdConfig]:
    """The thresholds that decide about a load test; see ``judged_by``. Raises SettingError."""
    return judged_by(given_thresholds(item, state), profile, state)


def given_thresholds(item: pytest.Item, state: SessionState) -> list[ThresholdConfig]:
    """The item's thresholds: of all its markers, then of ini and command line. Raises SettingError."""
    judged = []
    for mark in item.iter_markers(THRESHOLD_MARKER):
        try:
            judged += _of_marker(mark.args, mark.kwargs)
        except ValueError as error:
            raise SettingError(f"marker {THRESHOLD_MARKER}: {error}") from None
    return [*judged, *session_thresholds(state)]


def session_thresholds(state: SessionState) -> list[ThresholdConfig]:
    """The thresholds that command line and ini add to every load test."""
    return [ThresholdConfig(Threshold.parse(text)) for text in state.settings.thresholds]


def judged_by(given: Sequence[ThresholdConfig], profile: LoadProfile, state: SessionState) -> list[ThresholdConfig]:
    """The thresholds that decide about a load: those given for it, and the implied ones.

    Raises SettingError for one on what the load does not measure.
    """
    thresholds = [*with_implied(given), *implied_for_checks(given)]
    if state.settings.disabled:  # only errors fail a functional test, unless its thresholds tolerate some
        return thresholds[len(given) :]
    _check_measurable(given, profile)
    return thresholds


def _check_measurable(thresholds: Iterable[ThresholdConfig], profile: LoadProfile) -> None:
    """Refuse thresholds on what this load does not measure."""
    judged_s = profile.judged_seconds
    for each in thresholds:
        threshold = each.threshold
        if threshold.statistic == "dropped_iterations" and not profile.is_open:
            raise SettingError(
                f"threshold {threshold.text!r} needs an arrival_rate: without one there are no planned iterations that "
                "could be dropped; set one, or remove the threshold"
            )
        if threshold.statistic == "ip_pool_usage" and profile.pool is None:
            raise SettingError(f"threshold {threshold.text!r} needs an address pool; set pool or --ipload-pool")
        if each.window is not None and judged_s is not None and each.window > judged_s:
            raise SettingError(
                f"threshold {threshold.text!r}: window={format_setting(each.window)} is longer than the judged part of "
                f"the load, {format_setting(judged_s)}"
            )


def _of_marker(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[ThresholdConfig]:
    """The thresholds of one marker. Raises ``ValueError``."""
    if not args:
        raise ValueError("no expression given; give some, as in 'p95 < 200ms'")
    for text in args:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a string, as in 'p95 < 200ms'")
    settings = {key: _parsed(key, value) for key, value in kwargs.items()}
    if "delay" in settings and not settings.get("abort_on_fail"):
        raise ValueError("delay says when abort_on_fail begins; set abort_on_fail=True too, or remove it")
    return [ThresholdConfig(Threshold.parse(text), **settings) for text in args]


def _parsed(key: str, value: Any) -> Any:
    parse = KEYS.get(key)
    if parse is None:
        raise ValueError(f"unknown key {key!r}{did_you_mean(key, KEYS)}; known: {', '.join(KEYS)}")
    if value is None and key in _OPTIONAL:
        return None
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None
