"""Which lines of the target's code explain a slow load, from the stacks that were sampled meanwhile. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_ipload.base.text import counted, shorten
from pytest_ipload.base.units import NS_PER_S, format_count, format_percent
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.share_growth import LEAST_SAMPLES, Growth, can_decide, grown, grown_in_time
from pytest_ipload.stats.stacks import WINDOW_NS, Place, StackSamples
from pytest_ipload.verdict.slow_windows import SlowWindows, slow_windows
from pytest_ipload.verdict.starved_target import starvation
from pytest_ipload.verdict.threshold.config import FAIL, ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult
from pytest_ipload.verdict.threshold.expression import Threshold

SECONDS, VERSIONS, SHARE, NONE = "seconds", "versions", "share", "none"
_MOST_LINES = 10
_LEAST_SHARE = 0.1
"""Of a line that is named although there is nothing to compare it with."""
_LONGEST_SOURCE = 100

Function = tuple[str, str]
"""Of a version: the name of the file without its folder, and the function. Lines move from version to version."""


@dataclass(frozen=True)
class ExplainedLine:
    """A line of the target's code. Shares are fractions of the samples that were not waiting for work."""

    file: str
    line: int | None
    """None where the code is a library's, without any of the project's own."""
    function: str
    share: float
    """Its function's share in slow seconds, or in the current version."""
    samples: int
    """Of its function, there."""
    share_before: float | None = None
    """Its function's share in good seconds, or in the base version; None where there is nothing to compare with."""
    samples_before: int | None = None
    growth_low: float | None = None
    """The lower end of the 95 % confidence interval of the difference of the shares."""
    growth_high: float | None = None
    called_by: str | None = None
    """The line that called the function most often, as ``file:line function``."""
    library: str | None = None
    """The function of a library that the line was in most often."""
    source: str | None = None
    """The text of the line, where its file could be read."""
    message: str = ""
    """The complete line, for people."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a load was slow, as far as the stacks of its target say."""

    kind: str
    """What was compared: ``seconds``, ``versions``; ``share``: nothing, all seconds were slow; ``none``: no need to."""
    note: str
    """The result in one line; empty if there is nothing to say."""
    lines: Sequence[ExplainedLine] = ()
    metric: str | None = None
    """The threshold or metric that failed."""
    samples: int = 0
    """Stacks that were not waiting for work."""
    waiting: int = 0
    """Stacks of threads that waited for work."""
    failed_reads: int = 0
    slow: float | None = None
    """The slow seconds, in halves, or the number of rounds of the current version."""
    good: float | None = None
    """The other seconds, or the number of rounds of the base version."""
    pids: Sequence[int] = ()
    """The processes that were sampled."""
    cpu_share: float | None = None
    """Of a processor core, that the sampler took."""

    @property
    def texts(self) -> list[str]:
        """The result for people: the note, and each line."""
        return [*([self.note] if self.note else []), *(line.message for line in self.lines)]


def line_text(line: ExplainedLine) -> str:
    """``shop/cart.py:12 price_of: 71 % in slow seconds, 12 % in others``, as far as known."""
    place = f"{line.file}:{line.line} {line.function}" if line.line else f"in {line.file}, outside the project's code"
    if line.share_before is None or line.growth_low is None or line.growth_high is None:
        numbers = f"{format_percent(line.share)} ({counted(line.samples, 'sample')})"
    else:
        low, high = (f"{100 * end:+.0f}" for end in (line.growth_low, line.growth_high))
        numbers = (
            f"{format_percent(line.share)}, before {format_percent(line.share_before)} ({low} to {high} points, "
            f"{format_count(line.samples)} and {counted(line.samples_before or 0, 'sample')})"
        )
    more = [f"in {line.library}"] if line.library else []
    more += [f"called by {line.called_by}"] if line.called_by else []
    source = f": {line.source}" if line.source else ""
    return f"{place} {numbers}{''.join(map(', {}'.format, more))}{source}"


def explain_seconds(
    stacks: StackSamples,
    thresholds: Sequence[tuple[ThresholdConfig, ThresholdResult]],
    measured: Measurements,
    seed: int = 0,
) -> Explanation:
    """What grew in the half-seconds in which a failed threshold's latency was long, of all judged ones."""
    if stacks.problem and not stacks.counts:
        return Explanation(kind=NONE, note=stacks.problem, pids=stacks.pids)
    failed = next((config.threshold for config, result in thresholds if _is_explained(config, result)), None)
    known = _facts(stacks)
    if failed is None:
        return known
    windows = slow_windows(failed, measured)
    everything = dict(stacks.by_window())
    after, before = (
        {number: found for number, found in everything.items() if number in some}
        for some in (windows.slow, windows.good)
    )
    known = replace(known, kind=SECONDS, metric=failed.text)
    if not can_decide(len(before), len(after)):
        slow = after if after and windows.cut_ns is None else everything
        return _shares(stacks, slow, known, "too few other seconds to compare the slow ones with")
    known = replace(known, slow=_seconds(len(after)), good=_seconds(len(before)))
    in_order = [(number in after, _grouped(everything[number], _function_of)) for number in sorted({*after, *before})]
    found = grown_in_time(in_order, seed)
    if not found and not can_decide(max(0, len(in_order) - windows.above_limit), windows.above_limit):
        return _shares(
            stacks, everything, known, f"they differ by no more than noise: {_where(known, failed, windows)}"
        )
    if found and (why := starvation(stacks, windows)):
        return replace(known, note=f"no line explains {_where(known, failed, windows)}: {why}")
    many = [_total(side.values()) for side in (before, after)]
    if min(many) < LEAST_SAMPLES:
        note = f"too few samples of code at work ({format_count(many[1])} in slow seconds, {many[0]} in others)"
        return replace(known, note=note)
    lines = [_line(each, after.values(), stacks, _function_of) for each in found[:_MOST_LINES]]
    return replace(known, note=_note_of(lines, _where(known, failed, windows)), lines=lines)


def _seconds(windows: int) -> float:
    return windows * WINDOW_NS / NS_PER_S


def _where(known: Explanation, failed: Threshold, windows: SlowWindows) -> str:
    """What was compared, for people."""
    cut = windows.cut_ns
    above = "" if cut is None else f" ({failed.metric} above {failed.format(cut / NS_PER_S)})"
    slow, good = known.slow or 0, known.good or 0
    return f"{slow:g} slow second{'' if slow == 1 else 's'}{above} against {good:g} other{'' if good == 1 else 's'}"


def explain_versions(
    current: Sequence[StackSamples], base: Sequence[StackSamples], metric: str, seed: int = 0
) -> Explanation:
    """What grew from the base version to the current one; each round is one observation."""
    everything = [*current, *base]
    problem = next((each.problem for each in everything if each.problem and not each.counts), None)
    whole = current[0] if current else StackSamples()
    for each in everything[1:]:
        whole = whole.merged(each)
    known = replace(_facts(whole), metric=metric, slow=len(current), good=len(base))
    if problem is not None:
        return replace(known, note=problem)
    known = replace(known, kind=VERSIONS)
    sides = [[_sum(found for _, found in each.by_window()) for each in side] for side in (base, current)]
    where = f"{counted(len(current), 'round')} of this version against {len(base)} of the other"
    if min(map(_total, sides), default=0) < LEAST_SAMPLES:
        return replace(known, note=f"too few samples of code at work: {where}")
    if not can_decide(len(base), len(current)):
        return replace(known, note=f"too few rounds to tell a change from noise: {where}")
    counts = [[_grouped(each, _version_key) for each in side] for side in sides]
    found = grown(counts[0], counts[1], seed=seed)
    lines = [_line(each, sides[1], whole, _version_key) for each in found[:_MOST_LINES]]
    return replace(known, note=_note_of(lines, where), lines=lines)


def _note_of(lines: Sequence[ExplainedLine], where: str) -> str:
    if lines:
        return f"share of the time in {where}:"
    return f"no function's share of the time differs by more than noise: {where}"


def _is_explained(config: ThresholdConfig, result: ThresholdResult) -> bool:
    is_upper = config.threshold.unit == "duration" and config.threshold.operator in ("<", "<=")
    return is_upper and config.severity == FAIL and not result.passed and result.measured is not None


def _facts(stacks: StackSamples) -> Explanation:
    """What was sampled; there is nothing to say about it yet."""
    return Explanation(
        kind=NONE,
        note="",
        samples=sum(count for _, pairs in stacks.counts for _, count in pairs),
        waiting=stacks.waiting,
        failed_reads=stacks.failed_reads,
        pids=stacks.pids,
        cpu_share=stacks.cpu_share,
    )


def _shares(
    stacks: StackSamples, sampled: Mapping[int, Mapping[Place, int]], known: Explanation, why: str
) -> Explanation:
    """The functions with the largest shares: nothing to compare them with, or no difference."""
    whole = _grouped(_sum(sampled.values()), _function_of)
    total = sum(whole.values())
    if total < LEAST_SAMPLES:
        return replace(known, kind=SHARE, note=f"only {counted(total, 'sample')} of code at work")
    lines = []
    for function, count in whole.most_common(3):
        if count / total >= _LEAST_SHARE:
            growth = Growth(function, 0.0, count / total, 0.0, 0.0, 0, count)
            lines.append(_line(growth, sampled.values(), stacks, _function_of, is_share=True))
    note = f"largest shares of the time in requests ({why}):"
    return replace(known, kind=SHARE, note=note, lines=lines)


def _function_of(place: Place) -> Function:
    return place.file, place.function


def _version_key(place: Place) -> Function:
    return place.file.replace("\\", "/").rpartition("/")[2], place.function


def _grouped(found: Mapping[Place, int], key: Callable[[Place], Function]) -> Counter[Function]:
    grouped: Counter[Function] = Counter()
    for place, count in found.items():
        grouped[key(place)] += count
    return grouped


def _sum(each: Iterable[Mapping[Place, int]]) -> Counter[Place]:
    whole: Counter[Place] = Counter()
    for found in each:
        whole.update(found)
    return whole


def _total(each: Iterable[Mapping[Place, int]]) -> int:
    return sum(sum(found.values()) for found in each)


def _line(
    growth: Growth[Function],
    sampled: Iterable[Mapping[Place, int]],
    stacks: StackSamples,
    key: Callable[[Place], Function],
    *,
    is_share: bool = False,
) -> ExplainedLine:
    """The line at which the function was most often, in the slow seconds or the current version."""
    whole = _sum(sampled)
    inside = Counter({place: count for place, count in whole.items() if key(place) == growth.part})
    lines: Counter[tuple[str, int]] = Counter()
    for place, count in inside.items():
        lines[place.file, place.line] += count
    file, line = lines.most_common(1)[0][0]
    there = Counter({place: count for place, count in inside.items() if (place.file, place.line) == (file, line)})
    source = stacks.sources.get(f"{file}:{line}")
    found = ExplainedLine(
        file=file,
        line=line or None,
        function=growth.part[1],
        share=round(growth.share_after, 4),
        samples=growth.samples_after,
        share_before=None if is_share else round(growth.share_before, 4),
        samples_before=None if is_share else growth.samples_before,
        growth_low=None if is_share else round(growth.low, 4),
        growth_high=None if is_share else round(growth.high, 4),
        called_by=_most_frequent(inside, "called_by"),
        library=_most_frequent(there, "library"),
        source=None if source is None else shorten(source, _LONGEST_SOURCE),
    )
    return replace(found, message=line_text(found))


def _most_frequent(found: Counter[Place], name: str) -> str | None:
    texts: Counter[str] = Counter()
    for place, count in found.items():
        texts[getattr(place, name)] += count
    return texts.most_common(1)[0][0] or None
