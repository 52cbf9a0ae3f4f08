"""``python -m pytest_ipload``: ``merge`` makes one verdict of the JSON files of segments, ``schema`` describes them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

PASSED, FAILED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 all passed, 1 a load failed or is invalid, 2 a file is of no use."""
    options = _parser().parse_args(arguments)
    command: int = options.command(options)
    return command


def merge(options: argparse.Namespace) -> int:
    """Merge the files of segments."""
    import pytest

    from pytest_ipload.distributed.segments import UnusableFile, merge_segments, read_segment
    from pytest_ipload.report.files import ReportFiles
    from pytest_ipload.report.merged import Merged

    try:
        files = ReportFiles(vars(options), prefix="--")
        merged = Merged(merge_segments([read_segment(path) for path in options.files]))
        if not merged.results:
            raise UnusableFile("the files have no load test")
        if options.junit is not None:
            merged.write_junit(options.junit)
    except (UnusableFile, pytest.UsageError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return UNUSABLE
    files.write(merged.report())
    if files.problems:
        sys.stderr.writelines(f"error: {problem}\n" for problem in files.problems)
        return UNUSABLE
    merged.print(sys.stdout)
    return PASSED if merged.passed else FAILED


def schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of reports."""
    from pytest_ipload.report.json_file import schema_path

    sys.stdout.write(schema_path().read_text(encoding="utf-8"))
    return PASSED


def _parser() -> argparse.ArgumentParser:
    from pytest_ipload.report.files import REPORT_FILES

    parser = argparse.ArgumentParser(prog="python -m pytest_ipload", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    merging = commands.add_parser(
        "merge",
        allow_abbrev=False,
        help="merge the JSON files of segments and judge each load as a whole",
        description="Merge the files that --ipload-segment and --ipload-json wrote, and judge each load as a whole. "
        "Exit code 0: all passed; 1: one failed or is invalid, a missing segment among it; 2: a file is of no use.",
    )
    merging.add_argument("files", metavar="FILE", nargs="+", type=Path, help="the JSON file of a segment")
    merging.add_argument("--junit", metavar="PATH", type=Path, help="write the verdicts as JUnit XML")
    for kind in REPORT_FILES:
        merging.add_argument(f"--{kind.name}", metavar=kind.metavar, help=f"{kind.help}, as {kind.flag} does")
    merging.set_defaults(command=merge)
    printing = commands.add_parser(
        "schema",
        allow_abbrev=False,
        help="print the JSON Schema of reports",
        description="Print the JSON Schema (draft 2020-12) of the reports that --ipload-json writes.",
    )
    printing.set_defaults(command=schema)
    return parser


if __name__ == "__main__":
    sys.exit(main())
