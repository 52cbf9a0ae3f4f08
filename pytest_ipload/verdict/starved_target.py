"""Whether a target was slow because others used the processor. Pure."""

from __future__ import annotations

from collections.abc import Collection

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.stats.stacks import WINDOW_NS, StackSamples
from pytest_ipload.verdict.slow_windows import SlowWindows

_LEAST_WAIT, _LEAST_GROWTH = 0.5, 1.5
"""Threads that wait for a processor: fewer more than before, and a smaller growth, explain nothing."""
_MOST_WORK = 1.3
"""How much more processor time a request may take while others disturb it: caches are cold, clocks are lower."""


def starvation(stacks: StackSamples, windows: SlowWindows) -> str:
    """That the target's threads waited for a processor in the slow windows, and not for their own work; else empty.

    The target's own work takes more processor time for each request. Threads that wait for a processor are where they
    compute, so the share of such a function grows, although it is not what changed.
    """
    used_before, waited_before = _mean(stacks, windows.good)
    used, waited = _mean(stacks, windows.slow)
    many, many_before = (_requests(stacks, windows, some) for some in (windows.slow, windows.good))
    if waited < _LEAST_GROWTH * waited_before + _LEAST_WAIT or not (many and many_before and used_before):
        return ""
    if used / many > _MOST_WORK * used_before / many_before:
        return ""
    return (
        f"threads waited for a processor ({waited:.1f} at a time, before {waited_before:.1f}), and a request "
        "took no more processor time than before: other processes used it"
    )


def _mean(stacks: StackSamples, windows: Collection[int]) -> tuple[float, float]:
    """How many cores the target used and waited for, in these windows."""
    found = [(used, waited) for window, used, waited in stacks.processor if window in windows]
    if not found:
        return 0.0, 0.0
    return sum(used for used, _ in found) / len(found), sum(waited for _, waited in found) / len(found)


def _requests(stacks: StackSamples, windows: SlowWindows, some: Collection[int]) -> float:
    """How many requests ended in a second of these windows, as far as they were sampled."""
    sampled = {window for window, *_ in stacks.processor if window in some}
    many = sum(windows.requests.get(window, 0) for window in sampled)
    return many / len(sampled) / (WINDOW_NS / NS_PER_S) if sampled else 0.0
