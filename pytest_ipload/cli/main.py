"""``python -m pytest_ipload``: ``merge`` makes one verdict of the JSON files of segments, ``schema`` describes them.

``import`` makes a load test of a recording, a command line or a document, ``start-at`` prints a common start, and
``wit`` what components implement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
PASSED, FAILED, UNUSABLE = 0, 1, 2
REPORT, SCENARIO = "report", "scenario"
"""What there are schemas of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 all passed, 1 a load failed or is invalid, 2 a file is of no use."""
    options = _parser().parse_args(arguments)
    command: int = options.command(options)
    return command


def merge(options: argparse.Namespace) -> int:
    """Merge the files of segments."""
    from pytest_ipload.base.untrusted_files import CONTENT_ERRORS
    from pytest_ipload.cli.merge_command import NotMerged, merge_files

    try:
        return PASSED if merge_files(options) else FAILED
    except NotMerged as error:
        return _unusable(*error.problems)
    except CONTENT_ERRORS as error:
        return _unusable(_not_foreseen(options, error))


def _not_foreseen(options: argparse.Namespace, error: Exception) -> str:
    """What a value that no check has refused came to: which file has it, and where it was stumbled over.

    A fault of this package ends the same way, so the place and the request to report it are in the text.
    """
    from pytest_ipload.cli.merge_command import guilty_files

    return (
        f"{', '.join(guilty_files(options))}: its values cannot be judged: "
        f"{type(error).__name__}: {error} ({_place(error)}). If pytest-ipload wrote it and "
        "the file is unmodified, this is a bug: please report it, with the file"
    )


def _place(error: Exception) -> str:
    """The last line of this package that an error came through."""
    from traceback import extract_tb

    own = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_PACKAGE)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _unusable(*problems: str) -> int:
    from pytest_ipload.base.text import printable

    sys.stderr.writelines(f"error: {printable(problem)}\n" for problem in problems)
    return UNUSABLE


def start_at(options: argparse.Namespace) -> int:
    """Print the moment that is some time from now."""
    from datetime import datetime, timezone

    from pytest_ipload.base import real_time
    from pytest_ipload.settings.parsing import as_seconds

    try:
        seconds = as_seconds(options.after)
    except ValueError as error:
        return _unusable(f"start-at: {error}")
    moment = datetime.fromtimestamp(real_time.time() + seconds, timezone.utc).replace(tzinfo=None)
    sys.stdout.write(moment.isoformat(timespec="milliseconds") + "Z\n")
    return PASSED


def schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of reports, or of scenario files."""
    if options.what == SCENARIO:
        import json

        from pytest_ipload.scenario_files.grammar import file_schema

        sys.stdout.write(json.dumps(file_schema(), indent=2) + "\n")
        return PASSED
    from pytest_ipload.report.files.json_file import schema_path

    sys.stdout.write(schema_path().read_text(encoding="utf-8"))
    return PASSED


def wit(options: argparse.Namespace) -> int:
    """Print the WIT file of components."""
    from pytest_ipload.components.wit_file import wit_path

    sys.stdout.write(wit_path().read_text(encoding="utf-8"))
    return PASSED


def import_(options: argparse.Namespace) -> int:
    """Make a load test of a recording, a command line or a document."""
    from pytest_ipload.base.untrusted_files import CONTENT_ERRORS
    from pytest_ipload.cli.import_command import import_file
    from pytest_ipload.importers.recording import ImportProblem

    try:
        text, lines = import_file(options)
    except (ImportProblem, OSError) as error:
        return _unusable(str(error))
    except CONTENT_ERRORS as error:
        return _unusable(
            f"{options.file}: it cannot be imported: {type(error).__name__} ({_place(error)}); please report this"
        )
    sys.stderr.writelines(f"{line}\n" for line in lines)
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError as error:
        return _unusable(f"the standard output cannot show all characters ({error.encoding}); write to a file with -o")
    return PASSED


def _parser() -> argparse.ArgumentParser:
    from pytest_ipload.cli.import_command import add_import
    from pytest_ipload.cli.merge_command import add_merge

    parser = argparse.ArgumentParser(prog="python -m pytest_ipload", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_merge(commands).set_defaults(command=merge)
    starting = commands.add_parser(
        "start-at",
        allow_abbrev=False,
        help="print a moment for --ipload-start-at, which all segments are given",
        description="Print the moment that is this long from now, in UTC, for --ipload-start-at.",
    )
    starting.add_argument("after", metavar="T", help="how long from now, as in 90s")
    starting.set_defaults(command=start_at)
    add_import(commands).set_defaults(command=import_)
    printing = commands.add_parser(
        "schema",
        allow_abbrev=False,
        help="print the JSON Schema of reports, or of scenario files",
        description="Print the JSON Schema (draft 2020-12) of the reports that --ipload-json writes, or of scenario "
        "files (*.ipload.yaml).",
    )
    printing.add_argument(
        "what", nargs="?", choices=(REPORT, SCENARIO), default=REPORT, help=f"what is described. Default: {REPORT}"
    )
    printing.set_defaults(command=schema)
    world = commands.add_parser(
        "wit",
        allow_abbrev=False,
        help="print the WIT file of components: what they export and may import",
        description="Print the WIT file (package pytest-ipload:load, world scenario) that WebAssembly components are "
        "built with.",
    )
    world.set_defaults(command=wit)
    return parser


if __name__ == "__main__":
    sys.exit(main())
