"""Segments: parts of one load that ran separately, and wrote a file each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.base.masking import masked
from pytest_ipload.base.untrusted_files import CONTENT_ERRORS, read_object, refuse_constant
from pytest_ipload.distributed.store.digest import check_digest
from pytest_ipload.distributed.store.place import StoreError
from pytest_ipload.distributed.store.places import open_place
from pytest_ipload.load.partition import Partition
from pytest_ipload.verdict.codec import decode
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.plausibility import check_extent
from pytest_ipload.verdict.result import ERROR
from pytest_ipload.verdict.shard_result import ShardResult

_LARGEST_FILE = 1 << 30
_MOST_SEGMENTS = 100_000


class UnusableFile(ValueError):
    """A file that is not the report of a segment; the text says which, and why."""


class MissingFile(UnusableFile):
    """There is nothing at this URL."""


class WholeReport(UnusableFile):
    """The report of a whole run."""


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


def read_segment(place: Path | str) -> Segment:
    """Read a segment's report from a file or a URL. Raises UnusableFile."""
    shown = masked(str(place))
    report = _read_report(place, shown)
    if not isinstance(report, dict) or report.get("schema") != 1 or not isinstance(report.get("tests"), list):
        raise UnusableFile(f"{shown}: not a JSON report of pytest-ipload (schema 1); write it with --ipload-json")
    if "segment" not in report:
        raise WholeReport(f"{shown}: the report of a whole run; segments are run with --ipload-segment")
    try:
        share = _share_of(report["segment"])
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
        raise UnusableFile(f"{shown}: {_said(error)}") from None
    return Segment(shown, share, parts, errors, groups)


def _read_report(place: Path | str, shown: str) -> Any:
    """The JSON value in a file, or behind a URL. Raises UnusableFile."""
    try:
        text = _fetched(place) if isinstance(place, str) else read_object(place, _LARGEST_FILE, "reports")
        check_digest(text.encode())
        try:
            return json.loads(text, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON: {error}") from None
    except StoreError as error:
        raise UnusableFile(str(error)) from None
    except (OSError, ValueError) as error:
        raise (error if isinstance(error, UnusableFile) else UnusableFile(f"{shown}: {_said(error)}")) from None
    except MemoryError:
        raise UnusableFile(f"{shown}: larger than the available memory") from None


def _fetched(url: str) -> str:
    content = open_place(url, real_time.time).get("").content
    if content is None:
        raise MissingFile(f"{masked(url)}: there is nothing at this URL")
    return content.decode()


@dataclass(frozen=True)
class _Share:
    """What a file says of its segment."""

    index: int
    count: int
    weights: list[int]


def _share_of(plain: Any) -> Partition:
    given = {"weights": [], **plain} if isinstance(plain, dict) else plain
    share = decode(_Share, given, "segment")
    if share.count > _MOST_SEGMENTS:
        raise ValueError(f"segment: a load of {share.count} segments; the maximum is {_MOST_SEGMENTS}")
    return Partition(share.index, share.count, tuple(share.weights))


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


def is_usable_alone(segment: Segment) -> bool:
    """Whether its shard results can be judged and reported without those of the others."""
    try:
        for part in segment.parts.values():
            json.dumps(conclude(part).as_dict(), allow_nan=False)
    except CONTENT_ERRORS:
        return False
    return True
