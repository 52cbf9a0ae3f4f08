"""Segments: parts of one load that ran separately, on machines without contact to each other, merged from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.base.units import NS_PER_S, format_duration
from pytest_ipload.base.untrusted_files import CONTENT_ERRORS, read_object, refuse_constant
from pytest_ipload.load.partition import Partition
from pytest_ipload.verdict.codec import decode
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.origin import ClockOffset
from pytest_ipload.verdict.plausibility import check_extent
from pytest_ipload.verdict.result import ERROR, UnmeasuredResult
from pytest_ipload.verdict.shard_result import ShardResult, merge_into, own_copy

FARTHEST_STARTS = 0.1
"""As a share of the load's length: segments whose loads began farther apart than this were not one load."""
_LEAST_APART_S = 0.5
"""Clocks of machines differ by some milliseconds, and short loads are short."""
_LARGEST_FILE = 1 << 30


class UnusableFile(ValueError):
    """A file that is not the report of a segment; the text says which, and why."""


@dataclass(frozen=True)
class Segment:
    """The report of one segment."""

    path: str
    share: Partition
    parts: Mapping[str, ShardResult]
    """By the node id of the test."""
    errors: Mapping[str, str]
    """Why a test has no shard result, by its node id: it ended in an error before its load began."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Of these tests, the names of the groups that they should have run in."""


def read_segment(path: Path) -> Segment:
    """Read a segment's report. Raises UnusableFile."""
    try:
        text = read_object(path, _LARGEST_FILE, "reports")
        try:
            report = json.loads(text, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON: {error}") from None
    except (OSError, ValueError) as error:
        raise UnusableFile(f"{path}: {_said(error)}") from None
    except MemoryError:
        raise UnusableFile(f"{path}: larger than the available memory") from None
    if not isinstance(report, dict) or report.get("schema") != 1 or not isinstance(report.get("tests"), list):
        raise UnusableFile(f"{path}: not a JSON report of pytest-ipload (schema 1); write it with --ipload-json")
    if "segment" not in report:
        raise UnusableFile(f"{path}: the report of a whole run; segments are run with --ipload-segment")
    try:
        share = decode(Partition, report["segment"], "segment")
        parts, errors, groups = {}, {}, {}
        for number, test in enumerate(report["tests"]):
            if _is_unmeasured(test):
                nodeid = decode(str, test.get("nodeid"), "nodeid")
                errors[nodeid] = decode(str, test.get("reason"), "reason")
                if "together" in test:
                    groups[nodeid] = decode(str, test["together"], "together")
                continue
            part = ShardResult.from_plain(_part_of(test), f"tests[{number}].part")
            _check_extent(part, number)
            parts[part.nodeid] = part
    except CONTENT_ERRORS as error:
        raise UnusableFile(f"{path}: {_said(error)}") from None
    return Segment(str(path), share, parts, errors, groups)


def _check_extent(part: ShardResult, number: int) -> None:
    try:
        check_extent(part)
    except ValueError as error:
        raise ValueError(f"tests[{number}].part: {error}") from None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _part_of(test: Any) -> Any:
    return test.get("part") if isinstance(test, dict) else None


def _is_unmeasured(test: Any) -> bool:
    return isinstance(test, dict) and test.get("verdict") == ERROR and "part" not in test


def merge_segments(segments: Sequence[Segment]) -> list[ShardResult | UnmeasuredResult]:
    """The whole loads, one for each test. A missing, duplicate or mismatched segment makes a load invalid.

    Where the test ended in an error in one segment, so did the whole.
    """
    nodeids = dict.fromkeys(nodeid for segment in segments for nodeid in (*segment.parts, *segment.errors))
    return [_with_errors(nodeid, segments) for nodeid in nodeids]


def _with_errors(nodeid: str, segments: Sequence[Segment]) -> ShardResult | UnmeasuredResult:
    """One load; if one of its segments ended in an error, its ``error`` says so."""
    reasons = []
    for segment in sorted(segments, key=lambda each: each.share.index):
        part = segment.parts.get(nodeid)
        if (reason := segment.errors.get(nodeid) or (part and part.error)) is not None:
            reasons.append(f"segment {segment.share.index}/{segment.share.count}: {reason}")
    reason = "; ".join(reasons)
    if not any(nodeid in segment.parts for segment in segments):
        together = next((name for each in segments if (name := each.groups.get(nodeid)) is not None), None)
        return UnmeasuredResult(nodeid=nodeid, reason=reason, together=together)
    return replace(_whole(nodeid, segments), error=reason or None)


def is_usable_alone(segment: Segment) -> bool:
    """Whether its shard results can be judged and reported without those of the others."""
    try:
        for part in segment.parts.values():
            json.dumps(conclude(part).as_dict(), allow_nan=False)
    except CONTENT_ERRORS:
        return False
    return True


def _whole(nodeid: str, segments: Sequence[Segment]) -> ShardResult:
    """One load; if something is wrong with it, its ``broken_off`` says what."""
    there = sorted((each for each in segments if nodeid in each.parts), key=lambda each: each.share.index)
    problems = [*_numbers(nodeid, segments, there)]
    whole = own_copy(there[0].parts[nodeid])
    for segment in there[1:]:
        try:
            whole = merge_into(whole, segment.parts[nodeid])
        except ValueError as error:
            problems.append(f"{segment.path}: {error}")
    problems += [*_versions(there, nodeid), *_starts(there, nodeid)]
    whole = replace(whole, checks=[*whole.checks, *_clocks(there, nodeid)])
    reasons = [*([whole.broken_off] if whole.broken_off else []), *problems]
    return replace(whole, broken_off="; ".join(reasons) or None)


def _numbers(nodeid: str, segments: Sequence[Segment], there: Sequence[Segment]) -> list[str]:
    """What is wrong with the numbers of the segments."""
    counts = sorted({segment.share.count for segment in segments})
    if len(counts) > 1:
        return [f"the files are from loads in {' and in '.join(map(str, counts))} segments"]
    seen = [segment.share.index for segment in there]
    missing = [index for index in range(counts[0]) if index not in seen]
    doubled = sorted({index for index in seen if seen.count(index) > 1})
    problems = []
    if missing:
        listed = ", ".join(f"{index}/{counts[0]}" for index in missing)
        noun = "segments" if len(missing) > 1 else "segment"
        problems.append(f"missing: {noun} {listed}; the numbers are those of the others only")
    for index in doubled:
        paths = ", ".join(segment.path for segment in there if segment.share.index == index)
        problems.append(f"segment {index}/{counts[0]} is present {seen.count(index)} times: {paths}")
    return problems


def _versions(there: Sequence[Segment], nodeid: str) -> list[str]:
    """Versions have to be the same everywhere, as far as they are known."""
    origins = [origin for segment in there if (origin := segment.parts[nodeid].origin) is not None]
    problems = []
    for what, found in (
        ("commits", {origin.commit[:12] for origin in origins if origin.commit is not None}),
        ("versions of pytest-ipload", {origin.version for origin in origins}),
    ):
        if len(found) > 1:
            problems.append(f"the segments ran different {what}: {', '.join(sorted(found))}; use the same everywhere")
    return problems


def _clocks(there: Sequence[Segment], nodeid: str) -> list[HealthCheck]:
    """Which clocks may be wrong without that being noticed."""
    origins = [(segment, origin) for segment in there if (origin := segment.parts[nodeid].origin) is not None]
    unsure = [
        f"{segment.share.index}/{segment.share.count}"
        for segment, origin in origins
        if segment.parts[nodeid].clock is None and origin.is_synchronised is False
    ]
    return [fired("clock-not-synchronised", f"of segment {', '.join(unsure)}")] if unsure and len(there) > 1 else []


def _span_of_start(part: ShardResult) -> tuple[float, float]:
    """Between which two moments, by the target's clock where that is known, the load began."""
    clock = part.clock or ClockOffset(0.0, 0.0)
    return part.started_at - clock.high_s, part.started_at - clock.low_s


def _starts(there: Sequence[Segment], nodeid: str) -> list[str]:
    parts = [segment.parts[nodeid] for segment in there]
    starts = [part.started_at for part in parts]
    apart = max(starts) - min(starts)
    if all(part.clock is not None for part in parts):
        spans = [_span_of_start(part) for part in parts]
        apart = max(apart, max(first for first, _ in spans) - min(last for _, last in spans))
    longest = max(segment.parts[nodeid].ended for segment in there) / NS_PER_S
    if apart <= max(_LEAST_APART_S, longest * FARTHEST_STARTS):
        return []
    return [
        f"the segments did not run together: their loads began {format_duration(apart)} apart; start them with the "
        "same --ipload-start-at (and --ipload-start-every, where a session has several loads), on machines whose "
        "clocks agree"
    ]
