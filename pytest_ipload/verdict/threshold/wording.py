"""The message of a judged threshold: the measured value first, then the limit, then how reliable it is."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.text import printable
from pytest_ipload.base.units import NS_PER_S, format_count, format_duration, format_percent, format_setting
from pytest_ipload.stats.confidence import minimum_samples, samples_to_close
from pytest_ipload.stats.own_summary import checks_of
from pytest_ipload.stats.sample import CHECK, OBSERVED, OK, REQUEST, STEP
from pytest_ipload.stats.series_table import MAX_NAMES, OTHER_NAMES, SeriesTable, matches
from pytest_ipload.stats.target_summary import JudgedTarget
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.expression import OWN, VALUES, Threshold
from pytest_ipload.verdict.threshold.finding import Evaluation, Outcome, WindowEvaluations
from pytest_ipload.verdict.threshold.measure import USUAL_CONFIDENCE, Interval, Measured
from pytest_ipload.verdict.threshold.selection import selection_of, where
from pytest_ipload.verdict.threshold.target_measure import what_is_missing, what_there_is

_SEEN = {
    "name": (REQUEST, "request names"),
    "step": (STEP, "steps"),
    "metric": (OBSERVED, "observed metrics"),
    "check_rate": (CHECK, "checks"),
    **{statistic: (kind, f"{kind}s") for statistic, kind in VALUES.items()},
}
"""The kind of what a selector chooses from, and its name; by metric, else by the kind of selector."""
_MOST_CHECKS = 5
_NEGLIGIBLE = 1e-9  # a nanosecond: a smaller difference is a rounding error


def what_was_found(config: ThresholdConfig, finding: Evaluation, strict: bool, place: str, tally: str) -> str:
    """``p95 243 ms, limit < 200 ms (4 812 requests, 95 % CI 231-258 ms)``.

    ``place`` says in which window, ``tally`` what became of the others.
    """
    threshold, value = config.threshold, finding.value
    number = 0.0 if value.value is None else value.value
    undecided = _undecided(config, value, strict) if finding.outcome is Outcome.UNDECIDED else ""
    noted = "; ".join(filter(None, [", ".join(_notes(config, value)), tally]))
    text = (
        f"{threshold.metric} {_shown(threshold, number)}{value.place}{place}, limit {threshold.limit_text}{undecided}"
    )
    return f"{text} ({noted})" if noted else text


def failed_checks(threshold: Threshold, table: SeriesTable) -> str:
    """``; 'paid' failed 3 of 200 times``: the checks that failed, the most frequent first."""
    selector = threshold.selector
    rows = [row for row in checks_of(table) or () if selector is None or matches(selector.pattern, row.name)]
    found = sorted((row for row in rows if row.failed), key=lambda row: -row.failed)
    shown = [
        f"{printable(repr(row.name))} failed {format_count(row.failed)} of {_counted(row.total, 'times')}"
        for row in found[:_MOST_CHECKS]
    ]
    more = [f"{_counted(len(found) - _MOST_CHECKS, 'more checks')} failed"] if len(found) > _MOST_CHECKS else []
    return "".join(f"; {each}" for each in [*shown, *more])


def no_samples(threshold: Threshold, table: SeriesTable, place: str, tally: str) -> str:
    """For a threshold without samples; says how many failed, or lists the names there were."""
    noted = f" ({tally})" if tally else ""
    failed = _only_failed(threshold, table)
    what = f"no successful samples{place}, {format_count(failed)} failed" if failed else f"no samples{place}"
    text = f"{threshold.metric}: {what}, limit {threshold.limit_text}{noted}"
    selector, values = threshold.selector, table.own_values()
    if failed or selector is None or selector.kind not in ("name", "step", "metric"):
        return text
    if selector.pattern in table.names(STEP) and selector.kind == "name" and _is_time_of_steps(threshold):
        return f"{text}; there is a step of this name: write {{step:{selector.pattern}}}"
    kind, noun = _SEEN.get(threshold.statistic if threshold.statistic in OWN else selector.kind, (REQUEST, ""))
    names = table.names(kind)
    if threshold.statistic in VALUES:
        names = [] if values is None else [name for name, _ in values.each(kind)]
    shown = ", ".join(repr(name) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    return f"{text}; {noun} seen: {shown or 'none'}"


def no_readings(threshold: Threshold, targets: Sequence[JudgedTarget]) -> str:
    """For a threshold on a target of which nothing was read."""
    return f"{threshold.metric}: no samples, limit {threshold.limit_text}; {what_there_is(threshold, targets)}"


def too_few_readings(message: str, targets: Sequence[JudgedTarget]) -> str:
    """For a threshold that does not fail for what was read of targets, which could not be read most of the time."""
    return f"{message}: cannot be judged, as {what_is_missing(targets)}"


def _only_failed(threshold: Threshold, table: SeriesTable) -> int:
    """How many of the selected samples failed, if it is about the times of successful ones and there are none."""
    selection = selection_of(threshold, planned=False)
    if threshold.unit != "duration" or selection is None or selection.outcome != OK:
        return 0
    chosen = where(threshold)
    return 0 if table.count(selection.kind, outcome=OK, **chosen) else table.count(selection.kind, **chosen)


def _is_time_of_steps(threshold: Threshold) -> bool:
    return threshold.unit == "duration" and threshold.family in (None, "raw", "failed")


def not_kept_apart(threshold: Threshold, table: SeriesTable) -> str:
    """For a threshold whose samples may be counted under the other names, and what to do."""
    what, calls = "samples", table.names_dropped
    advice = (
        "Give requests whose path contains an id one name, by the ini key ipload_names (/items/{id}) or as in "
        "name='GET /items/ID', or judge all of them, without a selector"
    )
    is_own = threshold.statistic in OWN or (threshold.selector is not None and threshold.selector.kind == "metric")
    if is_own:
        advice = "Use names without ids or other changing parts, or judge all of them, as in {*}"
    values = table.own_values()
    if threshold.statistic in VALUES and values is not None:
        what, calls = "calls", values.names_dropped.get(VALUES[threshold.statistic], 0)
    return (
        f"{threshold.metric}: cannot be judged, limit {threshold.limit_text}; there are more than "
        f"{format_count(MAX_NAMES)} names, {format_count(calls)} {what} are counted as "
        f"'{OTHER_NAMES}', and the threshold may concern some of them. {advice}"
    )


def no_window(config: ThresholdConfig, seconds: float) -> str:
    """For a load too short for the threshold's window."""
    threshold, window = config.threshold, config.window or 0.0
    return (
        f"{threshold.metric}: no full window of {format_setting(window)}, limit {threshold.limit_text}; "
        f"the judged part of the load lasted {format_duration(max(0.0, seconds))}"
    )


def window_place(config: ThresholdConfig, number: int, warmup_ns: int) -> str:
    """`` in the window 20s-30s``: seconds since the start of the load."""
    length_ns = config.window_ns or 0
    start, end = ((warmup_ns + each * length_ns) / NS_PER_S for each in (number, number + 1))
    return f" in the window {_moment(start)}-{_moment(end)}"


def windows_tally(found: WindowEvaluations) -> str:
    """``1 of 6 windows failed``."""
    if not found.failed and not found.undecided:
        return f"the worst of {format_count(found.windows)} windows" if found.windows > 1 else "the only window"
    number, what = (found.failed, "failed") if found.failed else (found.undecided, "undecided")
    return f"{format_count(number)} of {_counted(found.windows, 'windows')} {what}"


def _undecided(config: ThresholdConfig, value: Measured, strict: bool) -> str:
    """Says that it is undecided, what that means in a strict session, and what would help if samples are too few."""
    parts = ["undecided, a failure in a strict session" if strict else "undecided"]
    quantile, confidence = config.threshold.quantile, config.confidence
    if quantile is not None and confidence is not None:
        needed = samples_to_close(quantile, confidence)
        open_ends = [count for end, count in zip(value.interval, needed, strict=True) if end is None]
        if open_ends and not value.assumes_independence:
            parts.append("a longer load would close its interval")
        elif open_ends:
            missing = max(open_ends) - value.samples
            noun = value.noun.removesuffix("s") if missing == 1 else value.noun
            parts.append(f"{format_count(missing)} more {noun} would close its interval")
    return f": {'; '.join(parts)}"


def _notes(config: ThresholdConfig, value: Measured) -> list[str]:
    """How reliable the value is."""
    threshold = config.threshold
    notes = []
    if value.part is not None:
        notes.append(f"{format_count(value.part)} of {format_count(value.samples)} {value.noun} {value.verb}")
    elif threshold.unit != "count":
        notes.append(_counted(value.samples, value.noun))
    if threshold.quantile is not None and value.samples < (minimum := minimum_samples(threshold.quantile)):
        notes.append(f"uncertain: {threshold.statistic_text} needs {format_count(minimum)}")
    if value.remark:
        notes.append(value.remark)
    if (interval := _interval(threshold, value.interval)) is not None:
        assumed = f" assuming independent {value.noun}" if value.assumes_independence else ""
        notes.append(f"{format_percent(config.confidence or USUAL_CONFIDENCE)} CI {interval}{assumed}")
    return notes


def _shown(threshold: Threshold, number: float) -> str:
    """The value; one that rounds to the limit but differs from it says by how much."""
    text, difference = threshold.format(number), number - threshold.limit
    if text != threshold.format(threshold.limit) or abs(difference) < _NEGLIGIBLE:
        return text
    return f"{text} ({threshold.format(abs(difference))} {'more' if difference > 0 else 'less'})"


def _interval(threshold: Threshold, ends: Interval) -> str | None:
    """``231-258 ms``, with the unit once where both ends have the same."""
    low, high = ends
    if low is None or high is None:
        if low is not None:
            return f"above {threshold.format(low)}"
        return None if high is None else f"below {threshold.format(high)}"
    low_text, high_text = threshold.format(low), threshold.format(high)
    if low_text.rsplit(" ", 1)[-1] == high_text.rsplit(" ", 1)[-1] and " " in low_text:
        low_text = low_text.rsplit(" ", 1)[0]
    return f"{low_text}{' to ' if low < 0 else '-'}{high_text}"


def _counted(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun.removesuffix('s') if number == 1 else noun}"


def _moment(seconds: float) -> str:
    """A time since the start of the load, to the millisecond."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
