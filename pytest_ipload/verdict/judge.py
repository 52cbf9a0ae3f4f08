"""Judges loads by the measurements of their processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ipload.load.partition import Partition
    from pytest_ipload.verdict.conclusion import Conclusion
    from pytest_ipload.verdict.decide import Review
    from pytest_ipload.verdict.regression.comparison import Compare
    from pytest_ipload.verdict.regression.limit import CompareLimit
    from pytest_ipload.verdict.result import LoadResult
    from pytest_ipload.verdict.rounds import Round, RoundNote
    from pytest_ipload.verdict.shard_result import ShardResult
    from pytest_ipload.verdict.snapshots import TeamWatch


class SearchJudge(Protocol):
    """Judges capacity searches."""

    def judge(self, part: ShardResult) -> Conclusion:
        """The verdict on a search after one of its loads; not final if another one follows."""

    def unfinished(self, nodeid: str, reason: str) -> Conclusion | None:
        """What is known of a search that ended between two loads; None if there was none."""


class Judge:
    """Judges loads by the measurements of their processes."""

    def __init__(
        self,
        segment: Partition | None = None,
        limits: Sequence[CompareLimit] = (),
        compare: Compare | None = None,
        review: Review | None = None,
        open_searches: Callable[[Callable[[LoadResult], LoadResult]], SearchJudge] | None = None,
    ) -> None:
        """``segment`` is the part of each load that these processes run, if they do not run all of it.

        The ``limits`` compare rounds of the current target with those of a base target; ``compare`` compares with saved
        runs. ``review`` gives plugins' reasons to fail a result. ``open_searches`` makes the judge of capacity searches
        when it is needed; what it is given does the last two.
        """
        self._segment = segment
        self._limits = limits
        self._compare = compare
        self._review = review
        self._rounds: dict[str, list[Round]] = {}
        """Of the load tests in progress."""
        self._watches: dict[str, TeamWatch] = {}
        self._open_searches = open_searches
        self._searches: SearchJudge | None = None

    def look(self, nodeid: str, snapshots: Sequence[Sequence[bytes]], elapsed_s: float) -> str | None:
        """The result of the first threshold with ``abort_on_fail`` that can no longer hold."""
        from pytest_ipload.verdict.snapshots import TeamWatch

        return self._watches.setdefault(nodeid, TeamWatch()).look(snapshots, elapsed_s)

    def conclude(self, nodeid: str, parts: Sequence[bytes], lost: Sequence[tuple[str, str]]) -> Conclusion:
        """The verdict on a load of several processes; ``lost`` are those that handed in no result, and why."""
        part = _together(parts)
        watch = self._watches.pop(nodeid, None)
        if watch is not None and watch.abort is not None:
            part = replace(part, abort=watch.abort)
        if lost:
            who = "; ".join(f"{name}: {why}" for name, why in lost)
            part = replace(part, broken_off=f"lost {len(lost)} of {len(parts) + len(lost)} workers: {who}")
        return self.judge(part)

    def break_off(self, nodeid: str, parts: Sequence[bytes], reason: str) -> list[dict[str, Any]]:
        """The results of an aborted load."""
        return list(self.judge(replace(_together(parts), broken_off=reason)).results)

    def judge(self, part: ShardResult) -> Conclusion:
        """The verdict on a whole load; not final if another round follows."""
        from pytest_ipload.verdict.conclude import conclude
        from pytest_ipload.verdict.conclusion import Conclusion

        if part.search is not None and self._open_searches is not None:
            self._searches = self._searches or self._open_searches(self._settled)
            return self._searches.judge(part)
        if part.round is None:
            return Conclusion.of(self.result(part), self._of_segment(part))
        result = conclude(part)
        combined = self._with_earlier_rounds(part.round, result, part)
        if combined is None:
            return Conclusion(result.verdict, is_final=False)
        return Conclusion.of(self._settled(combined))

    def result(self, part: ShardResult) -> LoadResult:
        """The result of a load in one round."""
        from pytest_ipload.verdict.conclude import conclude

        return self._settled(conclude(part))

    def _settled(self, result: LoadResult) -> LoadResult:
        from pytest_ipload.verdict.decide import settled

        return settled(result, self._compare, self._review)

    def unfinished(self, nodeid: str, reason: str) -> Conclusion | None:
        """The rounds of a load test that ended in an error between two of them, as results; None if there were none."""
        from pytest_ipload.verdict.conclusion import Conclusion
        from pytest_ipload.verdict.result import ERROR
        from pytest_ipload.verdict.rounds import combine

        found = None if self._searches is None else self._searches.unfinished(nodeid, reason)
        rounds = self._rounds.pop(nodeid, [])
        if found is not None or not rounds:
            return found
        return Conclusion.of(replace(combine(rounds, self._limits), verdict=ERROR, reason=reason))

    def _with_earlier_rounds(self, note: RoundNote, result: LoadResult, part: ShardResult) -> LoadResult | None:
        """The result of all rounds; None if another round follows."""
        from pytest_ipload.verdict.rounds import Round, combine

        if note.number == 0:
            self._rounds[result.nodeid] = []
        # A worker that judges a round on its own, because the load was aborted, has not judged any rounds before.
        rounds = self._rounds.setdefault(result.nodeid, [])
        rounds.append(Round(note, result, part.stacks))
        if not note.is_last and not rounds[-1].is_unusable:
            return None
        return combine(self._rounds.pop(result.nodeid), self._limits, strict=part.strict)

    def _of_segment(self, part: ShardResult) -> dict[str, Any]:
        """What is added to a segment's result: all that is needed to merge it with others."""
        if self._segment is None:
            return {}
        import pytest_ipload
        from pytest_ipload.base.commit import current_commit
        from pytest_ipload.verdict.origin import Origin, is_synchronised
        from pytest_ipload.verdict.shard_result import as_shard

        name = f"{self._segment.index}/{self._segment.count}"
        shard = as_shard(part, self._segment.index, f"segment {name}")
        commit = current_commit(Path.cwd())
        origin = Origin(pytest_ipload.__version__, None if commit is None else commit.id, is_synchronised())
        return {"segment": name, "part": replace(shard, origin=origin).to_plain()}


def _together(parts: Sequence[bytes]) -> ShardResult:
    from pytest_ipload.base.packing import unpack
    from pytest_ipload.verdict.shard_result import ShardResult, merge

    return merge((ShardResult.from_plain(unpack(part)) for part in parts), are_owned=True)
