"""``python -m pytest_ipload merge``: one verdict from the JSON files of segments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

PASSED, FAILED, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 all passed, 1 a load failed or is invalid, 2 a file is of no use."""
    options = _parser().parse_args(arguments)
    from pytest_ipload.distributed.segments import UnusableFile, merge_segments, read_segment
    from pytest_ipload.report.merged import Merged

    try:
        segments = [read_segment(path) for path in options.files]
        merged = Merged(merge_segments(segments))
        if not merged.results:
            raise UnusableFile("the files have no load test")
        if options.junit is not None:
            merged.write_junit(options.junit)
        if options.json is not None:
            merged.write_json(options.json)
    except (UnusableFile, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return UNUSABLE
    merged.print(sys.stdout)
    return PASSED if merged.passed else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_ipload", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    merge = commands.add_parser(
        "merge",
        allow_abbrev=False,
        help="merge the JSON files of segments and judge each load as a whole",
        description="Merge the files that --ipload-segment and --ipload-json wrote, and judge each load as a whole. "
        "Exit code 0: all passed; 1: one failed or is invalid, a missing segment among it; 2: a file is of no use.",
    )
    merge.add_argument("files", metavar="FILE", nargs="+", type=Path, help="the JSON file of a segment")
    merge.add_argument("--junit", metavar="PATH", type=Path, help="write the verdicts as JUnit XML")
    merge.add_argument("--json", metavar="PATH", type=Path, help="write the results as JSON, as --ipload-json does")
    return parser


if __name__ == "__main__":
    sys.exit(main())
