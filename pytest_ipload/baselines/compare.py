"""Compares a result with saved runs: finds those that are comparable, and has the rules of ``verdict`` judge.

There are two comparisons: this run with the newest saved runs, which follow the usual values; and this run and the
newest ones with the oldest, which do not follow. So a change that comes in small steps is found too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.machine import Machine
from pytest_ipload.baselines.comparability import Profile, differences, of_result
from pytest_ipload.baselines.saved_run import SavedRun, Test, is_too_small
from pytest_ipload.baselines.store import Store, UnusableRun
from pytest_ipload.capacity.capacity_change import CapacityLimit, judge_saved
from pytest_ipload.capacity.capacity_result import UNDECIDED, CapacityResult
from pytest_ipload.stats.summary import PlainResult
from pytest_ipload.verdict.regression.comparison import Compared, ComparedWith, Comparison
from pytest_ipload.verdict.regression.limit import CompareLimit
from pytest_ipload.verdict.regression.metric_reader import is_hidden, value_of
from pytest_ipload.verdict.regression.rules import (
    ENOUGH_RUNS,
    RECENT_RUNS,
    describe,
    judge_creep,
    judge_history,
    without_samples,
)
from pytest_ipload.verdict.threshold.expression import Metric

MOST_RUNS = 20
"""The number of newest comparable runs to compare with, and the maximum number of the oldest."""
_DESCRIBED = ("p50", "p95", "p99", "ttfe.p95", "gap.p99", "rps")


class _Comparable(NamedTuple):
    """A saved run of the same test, under the same load, on the same kind of machine."""

    file: str
    test: Test
    loads: int
    """The number of loads in the whole run."""


class Baselines:
    """Saved runs to compare with, the newest first."""

    def __init__(
        self,
        runs: Sequence[tuple[str, SavedRun]],
        limits: Sequence[CompareLimit],
        machine: Machine,
        unusable: Sequence[str] = (),
        *,
        strict: bool = False,
        capacity_limits: Sequence[CapacityLimit] = (),
    ) -> None:
        """``runs`` come with the names of their files; ``machine`` is the one that the results come from.

        In a ``strict`` session an undecided comparison fails. Searches have ``capacity_limits`` instead of limits.
        """
        self._runs = runs
        self._capacity_limits = capacity_limits
        self._limits = limits
        self._machine = machine
        self._strict = strict
        self.unusable = unusable
        """What is wrong with the files that were left out."""

    @classmethod
    def read(
        cls,
        store: Store,
        reference: str,
        limits: Sequence[str],
        *,
        strict: bool = False,
        capacity_limits: Sequence[CapacityLimit] = (),
    ) -> Baselines:
        """The saved runs that the reference names (see ``Store.find``).

        SettingError if there are none, or if none of the named files can be read.
        """
        runs, unusable = [], []
        for path in store.find(reference):
            try:
                runs.append((store.shown(path), store.read(path)))
            except UnusableRun as error:
                unusable.append(str(error))
        if reference and not runs:
            raise SettingError("; ".join(unusable))
        parsed = [CompareLimit.parse(limit) for limit in limits]
        return cls(runs, parsed, store.machine, unusable, strict=strict, capacity_limits=capacity_limits)

    def compare(self, result: PlainResult, load: int = 0) -> Compared:
        """Compare a result in plain values with the comparable runs of the same test, and judge it by the limits.

        ``load`` is which of the test's loads it is.
        """
        if is_too_small(result):
            return Compared([], ComparedWith(0, [], ["nothing is compared: a single iteration is not a measurement"]))
        runs, notes = self._comparable(result, load)
        newest = runs[:MOST_RUNS]
        if "capacity" in result:
            searched = [run for run in newest if _expressions(run.test) in (None, _expressions(result))]
            if left_out := len(newest) - len(searched):
                notes.append(
                    f"capacity: not compared with {left_out} saved run(s), which searched by other expressions"
                )
            compared_with = ComparedWith(
                len(searched), [run.file for run in searched], [*notes, *self._not_of_searches()]
            )
            return Compared(self._capacities(result, searched), compared_with)
        comparisons = [*_described(result, [run.test for run in newest])] if runs else []
        for limit in self._limits if runs else ():
            judged = self._judged(limit, result, runs)
            comparisons += judged
            if not judged:
                notes.append(_no_value(limit.metric, result))
        return Compared(comparisons, ComparedWith(len(newest), [run.file for run in newest], notes))

    def _capacities(self, result: PlainResult, runs: Sequence[_Comparable]) -> list[Comparison]:
        """The capacity beside those of the saved runs."""
        saved = [_capacity(run.test) for run in runs if "capacity" in run.test]
        limits: Sequence[CapacityLimit | None] = self._capacity_limits or [None]
        judged = [judge_saved(limit, _capacity(result), saved, strict=self._strict) for limit in limits if saved]
        return [each for each in judged if each is not None]

    def _not_of_searches(self) -> list[str]:
        """Limits that say nothing about a search."""
        return [
            f"{limit.metric.text}: not compared, as the rounds of a capacity search have other loads in each run; "
            "write capacity:10%"
            for limit in self._limits
        ]

    def _judged(self, limit: CompareLimit, result: PlainResult, runs: Sequence[_Comparable]) -> list[Comparison]:
        """Against the newest runs, and against the oldest if the result is worse than they are.

        Nothing if no run has a value, or if the names that the metric selects were not kept separately. The more
        comparisons a session makes, the surer each has to be. A session is taken to have as many loads as the saved run
        with the most: so a test is judged alike whether it runs alone or with all others.
        """
        current, saved = value_of(limit.metric, result), _values(limit.metric, [run.test for run in runs])
        newest = _values(limit.metric, [run.test for run in runs[:MOST_RUNS]])
        if not newest or is_hidden(limit.metric, result):
            return []
        if current is None:
            return [without_samples(limit, newest)]
        comparisons = len(self._limits) * max(run.loads for run in runs)
        judged = judge_history(limit, current, newest, comparisons=comparisons, strict=self._strict)
        recent, older = [current, *saved[: RECENT_RUNS - 1]], saved[RECENT_RUNS - 1 :]
        if judged.regressed or len(older) < ENOUGH_RUNS:
            return [judged]
        crept = judge_creep(limit, recent, older[-MOST_RUNS:], comparisons=comparisons)
        return [judged] if crept is None else [judged, crept]

    def _comparable(self, result: PlainResult, load: int) -> tuple[list[_Comparable], list[str]]:
        """The runs to compare with, the newest first, and notes on the others."""
        here = of_result(result)
        runs: list[_Comparable] = []
        refused: Counter[str] = Counter()
        for file, run in self._runs:
            test = run.tests.get((result["nodeid"], load))
            if test is None:
                continue
            different = [*run.machine.differences(self._machine), *differences(test["profile"], here)]
            if different:
                refused["; ".join(different)] += 1
            else:
                runs.append(_Comparable(file, test, len(run.tests)))
        left_out = [f"{_runs(count)} left out: {reason}" for reason, count in refused.most_common()]
        if not runs:
            why = "; ".join(left_out) if left_out else "no run of this test is saved"
            return [], [f"nothing to compare with: {why}"]
        return runs, [*left_out, *_other_hosts([run.test for run in runs[:MOST_RUNS]], here)]


def _other_hosts(tests: Sequence[Test], here: Profile) -> list[str]:
    others = [test["profile"].get("host") for test in tests]
    names = sorted({str(host) for host in others if host is not None and host != here.get("host")})
    if not names or "host" not in here:
        return []
    return [f"other runs loaded {', '.join(names)}, this one loaded {here['host']}"]


def _described(result: PlainResult, tests: Sequence[Test]) -> list[Comparison]:
    """The main numbers beside those of the saved runs."""
    described = []
    for metric in map(Metric.parse, _DESCRIBED):
        current, saved = value_of(metric, result), _values(metric, tests)
        if current is not None and saved:
            described.append(describe(metric, current, saved))
    return described


def _values(metric: Metric, tests: Sequence[Test]) -> list[float]:
    return [value for test in tests if (value := value_of(metric, test)) is not None]


def _no_value(metric: Metric, result: PlainResult) -> str:
    if is_hidden(metric, result):
        return f"{metric.text}: cannot be compared, there are too many names to keep separately (too-many-names)"
    text = f"{metric.text}: nothing to compare with: the saved runs have no such value"
    if "response_time" in result and metric.unit == "duration" and metric.selector is not None and not metric.family:
        text += f"; where iterations have planned starts, write raw.{metric.text}"
    return text


def _expressions(test: PlainResult) -> list[str] | None:
    """What a test's capacity is by, in any order; None if it has none."""
    return sorted(test["capacity"]["expressions"]) if "capacity" in test else None


def _capacity(test: PlainResult) -> CapacityResult:
    """What a search found, as far as comparisons need it."""
    found = test["capacity"]
    return CapacityResult(
        by=found["by"],
        rate=found.get("rate"),
        low=found.get("low"),
        high=found.get("high"),
        limited_by=None,
        threshold=None,
        verdict=UNDECIDED,
        reason="",
    )


def _runs(count: int) -> str:
    return "1 saved run" if count == 1 else f"{count} saved runs"
