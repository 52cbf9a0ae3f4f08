"""The markers, and which items they make load tests. Light: called for every item of a test suite."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

import pytest

from pytest_ipload.plugin.fixtures.per_user_names import BODY_FIXTURE, MIX_MARKER, PER_USER_ROOTS
from pytest_ipload.settings.parsing import did_you_mean
from pytest_ipload.settings.table import SETTINGS

MARKER, THRESHOLD_MARKER, TOGETHER_MARKER = "ipload", "ipload_threshold", "ipload_together"
CAPACITY_MARKER = "ipload_capacity"
MARKERS: Mapping[str, str] = {
    MARKER: "ipload(users=1, duration=None, ...): run the test's body as a load test; the keys: "
    + ", ".join(setting.key for setting in SETTINGS),
    THRESHOLD_MARKER: "ipload_threshold(*expressions, abort_on_fail=False, delay='10s', window=None, severity='fail', "
    "confidence=None): limits, as in 'p95 < 200ms'",
    MIX_MARKER: "ipload_mix(browse=3, buy=1): each iteration runs one of these functions of the test's module, or "
    f"methods of its class, as often as its weight says; the test takes the fixture {BODY_FIXTURE} and calls it",
    CAPACITY_MARKER: "ipload_capacity(*expressions, at_least=None, start='10/s', up_to=None, step='10s', "
    "precision='5%', by='rate', settle=None, max_rounds=None, max_time=None): find the highest rate, or the most "
    "users, at which these limits hold",
    TOGETHER_MARKER: "ipload_together(name): load tests with the same name start as one load, on one clock",
}

_IS_IN_MIX = pytest.StashKey[bool]()
_MAY_RUN_LOADS = pytest.StashKey[bool]()
_CLOSE = 0.8
"""How similar to one of ours a name has to be to count as a typo, from 0 to 1: ``iplaod`` is 0.83."""


def is_load_test(item: pytest.Item) -> bool:
    """Whether the item has the marker ``ipload`` or ``ipload_capacity``, or uses a per-user fixture."""
    if item.get_closest_marker(MARKER) is not None or item.get_closest_marker(CAPACITY_MARKER) is not None:
        return True
    return not PER_USER_ROOTS.isdisjoint(getattr(item, "fixturenames", ()))


def concerns_us(item: pytest.Item) -> bool:
    """Whether the item is a load test, or has a marker that was meant to make it one."""
    if not PER_USER_ROOTS.isdisjoint(getattr(item, "fixturenames", ())):
        return True
    node: Any = item  # not ``iter_markers``: every item of a suite is looked at, and this takes a fraction of the time
    while node is not None:
        for mark in node.own_markers:
            if mark.name.startswith(MARKER) or _is_mistyped(mark.name, item.config):
                return True
        node = node.parent
    return False


def look_for_loads(item: pytest.Item) -> bool:
    """Whether the item has results to report: it is a load test, is meant to be one, or starts loads itself."""
    item.stash[_MAY_RUN_LOADS] = "ipload" in getattr(item, "fixturenames", ()) or concerns_us(item)
    return item.stash[_MAY_RUN_LOADS]


def may_run_loads(item: pytest.Item) -> bool:
    """What ``look_for_loads`` found at the beginning of the item's run: each phase of every test asks for it."""
    found = item.stash.get(_MAY_RUN_LOADS, None)
    return look_for_loads(item) if found is None else found


def marker_problem(item: pytest.Item) -> str | None:
    """What is wrong with the item's ``ipload*`` markers, whether it is a load test or not."""
    for mark in item.iter_markers():
        if mark.name in MARKERS:
            continue
        if mark.name.startswith(MARKER):
            return f"unknown marker {mark.name!r}{did_you_mean(mark.name, MARKERS)}; known: {', '.join(MARKERS)}"
        if _is_mistyped(mark.name, item.config):
            return (
                f"unknown marker {mark.name!r}{did_you_mean(mark.name, MARKERS)}; if it is one of your own, "
                "register it with the ini key 'markers'"
            )
    if (problem := _together_problem(item)) is not None:
        return problem
    if item.get_closest_marker(THRESHOLD_MARKER) is not None and not is_load_test(item):
        if "ipload" in getattr(item, "fixturenames", ()):
            return (
                f"the marker {THRESHOLD_MARKER} is for load tests, and this test starts its loads by ipload.run: "
                "remove the marker and let the test assert on the result, as in 'assert result.latency.p95_ms < 200'; "
                "thresholds for every load are set with --ipload-threshold or the ini key ipload_thresholds"
            )
        return (
            f"the marker {THRESHOLD_MARKER} needs a load test: mark the test with @pytest.mark.ipload too, "
            "or use a per-user fixture such as ipload_session"
        )
    return _mix_problem(item)


def has_mix(collector: pytest.Collector, function: object) -> bool:
    """Whether a function that is about to be collected has the marker of a mix, or what it is in has it."""
    if isinstance(function, (staticmethod, classmethod)):
        function = function.__func__
    if not isinstance(function, FunctionType):
        return False
    if any(getattr(mark, "name", None) == MIX_MARKER for mark in vars(function).get("pytestmark", ())):
        return True
    if _IS_IN_MIX not in collector.stash:
        collector.stash[_IS_IN_MIX] = collector.get_closest_marker(MIX_MARKER) is not None
    return collector.stash[_IS_IN_MIX]


def _mix_problem(item: pytest.Item) -> str | None:
    """The marker and the fixture of a mix need each other."""
    has_marker = item.get_closest_marker(MIX_MARKER) is not None
    if has_marker == (BODY_FIXTURE in getattr(item, "fixturenames", ())):
        return None
    if has_marker:
        return (
            f"the marker {MIX_MARKER} needs a test that takes the fixture {BODY_FIXTURE} and calls it, as in "
            f"'def test_shop({BODY_FIXTURE}): {BODY_FIXTURE}()'; let the test do that, or remove the marker"
        )
    return (
        f"the fixture {BODY_FIXTURE} runs the bodies of a mix; name them, as in "
        f"@pytest.mark.{MIX_MARKER}(browse=3, buy=1), or remove the fixture"
    )


def together_name(item: pytest.Item) -> str | None:
    """The name of the group of load tests that the item runs together with; None without a valid one."""
    mark = item.get_closest_marker(TOGETHER_MARKER)
    if mark is None or mark.kwargs or len(mark.args) != 1 or not isinstance(mark.args[0], str):
        return None
    return mark.args[0].strip() or None


def _together_problem(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker(TOGETHER_MARKER)
    if mark is None:
        return None
    if not is_load_test(item):
        if not _is_own(item, mark):
            return None
        return (
            f"the marker {TOGETHER_MARKER} needs a load test: mark the test with @pytest.mark.ipload too, or use a "
            "per-user fixture such as ipload_session"
        )
    if together_name(item) is None:
        given = ", ".join([*map(repr, mark.args), *(f"{key}={value!r}" for key, value in mark.kwargs.items())])
        return f"{TOGETHER_MARKER} takes one name, a text, as in {TOGETHER_MARKER}('shop'); got ({given:.100})"
    return None


def _is_own(item: pytest.Item, mark: pytest.Mark) -> bool:
    """Whether the test itself has the marker, not its class or module."""
    return any(each == mark for node, each in item.iter_markers_with_node(TOGETHER_MARKER) if node is item)


def _is_mistyped(name: str, config: pytest.Config) -> bool:
    """Whether an unregistered marker is a typo of one of ours: ``iplaod``, ``ip_load``."""
    return name[:1] in "iI" and _is_like_ours(name) and not _is_registered(name, config)


@lru_cache(maxsize=256)
def _is_like_ours(name: str) -> bool:
    return not name.startswith(MARKER) and bool(did_you_mean(name.lower(), MARKERS, cutoff=_CLOSE))


def _is_registered(name: str, config: pytest.Config) -> bool:
    """As pytest reads the lines of ``markers``: a name, with or without arguments, and its description."""
    return any(name == line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers"))
