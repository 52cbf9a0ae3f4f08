"""``python -m pytest_ipload merge``: from the files of segments to whole loads, one file in memory at a time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.masking import masked
from pytest_ipload.cli.merge import Merged
from pytest_ipload.cli.merge_sources import Awaited, folded, read_source, sources_of
from pytest_ipload.distributed.segment_fold import Least
from pytest_ipload.distributed.segments import UnusableFile, is_usable_alone
from pytest_ipload.distributed.store.place import is_url
from pytest_ipload.report.files.registry import REPORT_FILES
from pytest_ipload.report.files.report_files import ReportFiles
from pytest_ipload.settings.parsing import as_seconds

_MOST_JOBS = 64


class NotMerged(Exception):
    """A file cannot be read or written."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


def add_merge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command with its options."""
    parser = commands.add_parser(
        "merge",
        allow_abbrev=False,
        help="merge the JSON files of segments and judge each load as a whole",
        description="Merge the files that --ipload-segment and --ipload-json wrote, and judge each load as a whole. "
        "Exit code 0: all passed; 1: one failed or is invalid, or a segment is missing; 2: a file cannot be used.",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="the JSON file of a segment, a folder of such files, or a URL; '{segment}' in it stands for all numbers",
    )
    parser.add_argument("--junit", metavar="PATH", type=Path, help="write the verdicts as JUnit XML")
    for kind in REPORT_FILES:
        parser.add_argument(f"--{kind.name}", metavar=kind.metavar, help=f"{kind.help}, as {kind.flag} does")
    parser.add_argument(
        "--min-segments",
        metavar="N|N%",
        type=_parsed(Least.parse),
        help="judge a load of which at least that many segments are there; default: all of them",
    )
    parser.add_argument(
        "--jobs", metavar="N", type=_parsed(_jobs), default=1, help="the number of processes that read; default: 1"
    )
    parser.add_argument(
        "--wait",
        metavar="T",
        type=_parsed(as_seconds),
        help="wait up to this long until all segments are there, as in 10m; then merge those that are",
    )
    return parser


def merge_files(options: argparse.Namespace) -> bool:
    """Merge, report, and say whether all loads passed. Raises NotMerged, and whatever a file's values come to."""
    try:
        files = ReportFiles(vars(options), prefix="--")
        if options.wait is not None:
            Awaited(options.files).wait(options.wait, real_time.monotonic, real_time.sleep)
        sources = sources_of(options.files)
        if options.jobs > 1:
            from pytest_ipload.cli.merge_jobs import fold_in_jobs

            fold = fold_in_jobs(list(sources), options.jobs)
        else:
            fold = folded(sources)
    except (UnusableFile, pytest.UsageError) as error:
        raise NotMerged(str(error)) from None
    if not fold:
        raise NotMerged("the files contain no load tests")
    merged = Merged(fold.loads(options.min_segments))
    try:
        if options.junit is not None:
            merged.write_junit(options.junit)
    except OSError as error:
        raise NotMerged(str(error)) from None
    files.write(merged.report())
    if files.problems:
        raise NotMerged(*files.problems)
    merged.print(sys.stdout)
    return merged.passed


def guilty_files(options: argparse.Namespace) -> list[str]:
    """The files whose values cannot be judged even by themselves; all, if that is not known."""
    guilty, paths = [], []
    for source in sources_of(options.files):
        paths.append(masked(source.text))
        if is_url(source.text) or Path(source.text).is_file():  # a pipe has been read
            segment = read_source(source)
            guilty += [paths[-1]] if segment is not None and not is_usable_alone(segment) else []
    return guilty or paths


def _parsed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """With argparse's exception for invalid values, which has the text of ours."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST_JOBS:
        raise ValueError(f"{text!r:.40} is not a number of processes; give a whole number from 1 to {_MOST_JOBS}")
    return int(text)
