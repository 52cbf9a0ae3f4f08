"""The segments of loads, folded into whole loads one by one: memory does not grow with the number of segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.base.text import counted
from pytest_ipload.distributed.segment_agreement import Known, agreement_problems, clock_checks
from pytest_ipload.distributed.segments import Segment
from pytest_ipload.verdict.codec import decode, encode
from pytest_ipload.verdict.missing_segments import SEGMENTS_MISSING
from pytest_ipload.verdict.result import UnmeasuredResult
from pytest_ipload.verdict.shard_result import ShardResult, merge_into


class Least(NamedTuple):
    """How many segments there have to be."""

    text: str
    """As given."""
    number: float
    is_percentage: bool

    @classmethod
    def parse(cls, text: str) -> Least:
        """``3`` or ``95%``. ValueError says what is allowed."""
        digits, percent, rest = text.strip().partition("%")
        number = float(digits) if digits.replace(".", "", 1).isdigit() and digits.isascii() else 0.0
        if rest or not (0 < number <= 100 if percent else number >= 1 and number == int(number)):
            raise ValueError(f"{text!r:.40} is not a number of segments; give a whole number from 1, or a share: 95%")
        return cls(text.strip(), number, bool(percent))

    def is_reached(self, there: int, count: int) -> bool:
        """Whether that number of all segments is enough."""
        return there * 100 >= self.number * count if self.is_percentage else there >= self.number


@dataclass
class _Load:
    """One load, of as many segments as there have been so far."""

    whole: ShardResult | None = None
    there: list[Known] = field(default_factory=list)
    """The segments that it was measured in."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """In which segments the test ended in an error, and why."""
    together: str | None = None
    problems: list[str] = field(default_factory=list)

    def add(self, part: ShardResult, path: str) -> None:
        """Merge a part. One that does not fit is a problem of the load."""
        try:
            self.whole = part if self.whole is None else merge_into(self.whole, part)
        except ValueError as error:
            self.problems.append(f"{path}: {error}")


class Fold:
    """Loads, folded from the files of their segments."""

    def __init__(self) -> None:
        self._loads: dict[str, _Load] = {}
        """By the node id of the test."""
        self._shares: set[tuple[int, tuple[int, ...]]] = set()
        """How many segments there should be, and their weights, by the files."""
        self.paths: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._loads)

    def add(self, segment: Segment) -> None:
        """Fold a segment in; its shard results belong to the fold from now on."""
        share = segment.share
        self._shares.add((share.count, share.weights))
        self.paths.append(segment.path)
        for nodeid, part in segment.parts.items():
            load = self._load(nodeid)
            load.there.append(Known.of(part, segment.path, share))
            if part.error is not None:
                load.errors.append((share.index, part.error))
            load.add(part, segment.path)
        for nodeid, reason in segment.errors.items():
            load = self._load(nodeid)
            load.errors.append((share.index, reason))
            load.together = load.together or segment.groups.get(nodeid)

    def merge(self, other: Fold) -> None:
        """Add what another process has folded."""
        self._shares |= other._shares
        self.paths += other.paths
        for nodeid, its in other._loads.items():
            load = self._load(nodeid)
            load.there += its.there
            load.errors += its.errors
            load.problems += its.problems
            load.together = load.together or its.together
            if its.whole is not None:
                load.add(its.whole, its.there[0].path)

    def loads(self, least: Least | None = None) -> Iterator[ShardResult | UnmeasuredResult]:
        """The whole loads, one for each test. A missing, duplicate or mismatched segment makes a load invalid.

        ``least`` says how many have to be there, if not all. Where the test ended in an error in one segment, so did
        the whole.
        """
        for nodeid, load in self._loads.items():
            count = max(count for count, _ in self._shares)
            errors = [f"segment {index}/{count}: {reason}" for index, reason in sorted(load.errors)]
            reason = "; ".join(errors)
            if load.whole is None:
                yield UnmeasuredResult(nodeid=nodeid, reason=reason, together=load.together)
            else:
                yield replace(self._judged(load, load.whole, least), error=reason or None)

    def _load(self, nodeid: str) -> _Load:
        return self._loads.setdefault(nodeid, _Load())

    def _judged(self, load: _Load, whole: ShardResult, least: Least | None) -> ShardResult:
        """The load with what is wrong with its segments, if anything is."""
        problems = self._numbers()
        missing: list[HealthCheck] = []
        if not problems:
            [(count, _)] = self._shares
            problems, missing = _missing(load, count, least)
        problems += [*load.problems, *agreement_problems(load.there)]
        checks = [*missing, *clock_checks(load.there)]
        reasons = [*([whole.broken_off] if whole.broken_off else []), *problems]
        return replace(whole, checks=[*whole.checks, *checks], broken_off="; ".join(reasons) or None)

    def _numbers(self) -> list[str]:
        """What is wrong with the numbers of the files."""
        counts = sorted({count for count, _ in self._shares})
        if len(counts) > 1:
            return [f"the files are from loads in {' and in '.join(map(str, counts))} segments"]
        if len(self._shares) > 1:
            weights = sorted(",".join(map(str, weights)) or "equal" for _, weights in self._shares)
            return [f"the files are from loads with different weights ({'; '.join(weights)})"]
        return []

    def to_plain(self) -> dict[str, Any]:
        """All of it as plain values, for another process of this package."""
        return {
            "shares": [[count, list(weights)] for count, weights in self._shares],
            "paths": self.paths,
            "loads": [
                [nodeid, encode(load.there), encode(load.errors), load.together, load.problems, encode(load.whole)]
                for nodeid, load in self._loads.items()
            ],
        }

    @classmethod
    def from_plain(cls, plain: Any) -> Fold:
        """Read what ``to_plain`` wrote. ValueError for what is anything else."""
        fold = cls()
        fold._shares = {(count, tuple(weights)) for count, weights in plain["shares"]}
        fold.paths = decode(list[str], plain["paths"], "paths")
        for nodeid, there, errors, together, problems, whole in plain["loads"]:
            fold._loads[nodeid] = _Load(
                None if whole is None else ShardResult.from_plain(whole),
                decode(list[Known], there, "there"),
                decode(list[tuple[int, str]], errors, "errors"),
                together,
                problems,
            )
        return fold


def _missing(load: _Load, count: int, least: Least | None) -> tuple[list[str], list[HealthCheck]]:
    """Segments that are missing, as a problem or as a health check, and those that are there twice."""
    seen = [known.index for known in load.there]
    problems, checks = [], []
    missing = [f"{index}/{count}" for index in range(count) if index not in set(seen)]
    if missing and least is not None and least.is_reached(count - len(missing), count):
        what = f"{len(missing)} of {counted(count, 'segment')} missing ({_listed(missing)})"
        checks.append(fired(SEGMENTS_MISSING, f"{what}; judged without because of --min-segments {least.text}"))
    elif missing:
        noun = "segments" if len(missing) > 1 else "segment"
        limit = "" if least is None else f" (fewer are there than --min-segments {least.text})"
        problems.append(f"missing: {noun} {_listed(missing)}{limit}; the numbers are those of the others only")
    for index in sorted({index for index in seen if seen.count(index) > 1}):
        paths = ", ".join(known.path for known in load.there if known.index == index)
        problems.append(f"segment {index}/{count} is present {seen.count(index)} times: {paths}")
    return problems, checks


_MOST_LISTED = 20


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
