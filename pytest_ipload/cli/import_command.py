"""``python -m pytest_ipload import``: from a recording to a load test."""

from __future__ import annotations

import argparse
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

from pytest_ipload.base.text import counted, printable
from pytest_ipload.base.untrusted_files import read_bytes
from pytest_ipload.importers.importer_table import IMPORTERS, MOST_BYTES, WRITERS, Writer, importer_of
from pytest_ipload.importers.recording import ImportOptions, ImportProblem, Recording
from pytest_ipload.importers.secret_places import place_of_secret

_COLLECTED = {"python": "test_*.py", "yaml": "*.ipload.yaml"}
"""Names of files that pytest collects, by what is in them."""
_BY_SUFFIX = {".py": "python", ".yaml": "yaml", ".yml": "yaml"}


def add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command with its options."""
    parser = commands.add_parser(
        "import",
        allow_abbrev=False,
        help="make a load test of a HAR recording, a curl command line or an OpenAPI document",
        description="Write a load test that does what a recording, a command line or a document describes. Values that "
        "a reply handed out are taken from the replies of the load; secrets become environment variables. Exit code 0: "
        "written; 2: the file cannot be used.",
    )
    parser.add_argument("file", metavar="FILE", help="HAR, curl command lines or OpenAPI 3; - is the standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="where to write it; default: the standard output"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--as",
        dest="form",
        choices=[each.name for each in WRITERS],
        help="what to write; default: by OUT's suffix, else python",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="format", choices=[each.name for each in IMPORTERS], help="the format, if it is not recognised"
    )
    parser.add_argument("--name", help="of the load test, and the beginning of the names of variables; default: FILE's")
    parser.add_argument("--base-url", metavar="URL", help="the target; default: that of the recording")
    parser.add_argument(
        "--host", action="append", default=[], metavar="HOST",
        help="HAR: import requests to this host only; may be given several times; * is any; default: that of the "
        "first page",
    )  # fmt: skip
    parser.add_argument("--static", action="store_true", help="HAR: import scripts, styles, images and fonts too")
    parser.add_argument(
        "--think-times", action="store_true", help="HAR: pause before each page as long as in the recording"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME", help="keep a header that is left out by default"
    )
    return parser


def import_file(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Import the file: the load test, and lines about it. Raises ImportProblem and OSError."""
    form = _form(options.form, options.output)
    [writer] = [each for each in WRITERS if each.name == form]
    source = "the standard input" if options.file == "-" else Path(options.file).name
    try:
        text, lines = _imported(options, writer, source)
    except ImportProblem as problem:
        raise ImportProblem(f"{options.file}: {problem}") from None
    except (RecursionError, MemoryError):
        raise ImportProblem(f"{options.file}: its values are nested too deeply, or there are too many") from None
    if options.output is None:
        return text, lines
    try:
        with options.output.open("w" if options.force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise ImportProblem(f"{options.output} exists; choose another name, or replace it with --force") from None
    if not fnmatch(options.output.name, _COLLECTED[writer.name]):
        lines.append(f"pytest collects {_COLLECTED[writer.name]} by itself; name this file on its command line")
    return "", lines


def _form(given: str | None, output: Path | None) -> str:
    """What to write, by ``--as`` and the file's name. Raises ImportProblem if these contradict each other."""
    suffix = output.suffix.lower() if output else ""
    form = given or _BY_SUFFIX.get(suffix, "python")
    if _BY_SUFFIX.get(suffix, form) != form:
        raise ImportProblem(f"--as {form} does not fit -o {output}: leave out --as, or give {_COLLECTED[form]}")
    if output and suffix in _BY_SUFFIX and form == "yaml" and not output.name.endswith(".ipload.yaml"):
        raise ImportProblem(f"-o {output}: the name of a scenario file has to end in .ipload.yaml")
    return form


def _imported(options: argparse.Namespace, writer: Writer, source: str) -> tuple[str, list[str]]:
    text = _text_of(options.file)
    importer = importer_of(text, options.format)
    given = ImportOptions(
        name=options.name or _name_of(options.file),
        base_url=_checked(options.base_url),
        hosts=tuple(options.host),
        static=options.static,
        think_times=options.think_times,
        headers=frozenset(name.lower() for name in options.header),
        can_capture=writer.can_capture,
        basic_auth=writer.basic_auth,
    )
    recording, secrets = importer.read(text, source, given)
    written = writer.write(recording, given)
    recording.notes += writer.notes(recording)
    lines = _summary(options, recording)
    left = [secret for secret in secrets if secret in written or any(secret in line for line in lines)]
    if left:
        raise ImportProblem(
            "a secret of the recording would be in the load test, in a place where it was not recognised: "
            f"{place_of_secret(recording, left)}; nothing is written. Take it out of the recording there, or replace "
            "it. Please report this, without the recording"
        )
    return written, lines


def _text_of(file: str) -> str:
    try:
        content = read_bytes(None if file == "-" else Path(file), MOST_BYTES, "files to import")
    except ValueError as error:
        raise ImportProblem(str(error)) from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if content[:4] in (b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\x1f\x8b\x08\x08"):
        return content[:4].decode("latin-1")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ImportProblem(f"byte {error.start}: it is not valid UTF-8") from None


def _name_of(file: str) -> str:
    if file == "-":
        return "imported"
    stem = Path(file).name.partition(".")[0]
    return stem.removeprefix("test_") or "imported"


def _checked(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    try:
        parts = urlsplit(base_url)
    except ValueError as error:
        raise ImportProblem(f"--base-url: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ImportProblem("--base-url: it has to be complete and without a query, as in http://localhost:8000")
    if "@" in parts.netloc:
        raise ImportProblem("--base-url: leave out user and password; they would be in the load test")
    return base_url


def _summary(options: argparse.Namespace, recording: Recording) -> list[str]:
    """What was imported, what was left out, and which variables the load test needs."""
    steps = list(recording.steps())
    captures = sum(len(step.captures) for step in steps)
    parts = [counted(len(steps), "request")]
    parts += [counted(len(recording.scenarios), "load test")] if len(recording.scenarios) > 1 else []
    parts += [counted(captures, "captured value")] if captures else []
    where = f" -> {options.output}" if options.output else ""
    lines = [f"{recording.source}: {', '.join(parts)}{where}", *recording.notes]
    if recording.variables:
        lines.append("environment variables that it needs:")
        lines += [f"  {name}: {what}" for name, what in recording.variables.items()]
    return [printable(line) for line in lines]
