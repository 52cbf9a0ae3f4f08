"""Files of test data: CSV with a header row, and JSON lines. UTF-8, with or without a byte order mark."""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from pytest_ipload.base.errors import FeedError
from pytest_ipload.load.test_data.csv_rows import BadLine, CsvReader

_Read = TypeVar("_Read")


class FileRows(NamedTuple):
    """The rows of a file: what is kept of each, how to make a row of that, and a checksum of all lines."""

    kept: Sequence[Any]
    make: Callable[[Any], Any]
    digest: int


class _Lines:
    """The lines of a file as text, one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        """Of the line that was read last, from 1."""
        self.digest = 0

    def __iter__(self) -> Iterator[str]:
        # A file of an old Mac has no line feeds at all, and is one line to Python.
        for line in (part for chunk in self._file for part in chunk.splitlines(keepends=True)):
            self.number += 1
            text = line.removeprefix(codecs.BOM_UTF8) if self.number == 1 else line
            self.digest = zlib.crc32(text.rstrip(b"\r\n"), self.digest)
            decoded = text.decode("utf-8")
            if "\0" in decoded:
                raise BadLine(self.number, "not text: it contains a NUL character; save the file as UTF-8")
            yield decoded


def read_rows(path: Path) -> FileRows:
    """The rows of a ``.csv``, ``.jsonl`` or ``.ndjson`` file. Raises FeedError naming the file and the line."""
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise FeedError(f"test data {path}: unknown file type; supported: {', '.join(_READERS)}")
    try:
        if not path.is_file():
            raise FeedError(f"test data {path}: not a file")
        with path.open("rb") as file:
            lines = _Lines(file)
            rows = _parsed(path, read, lines)
    except OSError as error:
        raise FeedError(f"test data {path} cannot be read: {error.strerror or error}") from None
    if not rows.kept:
        raise FeedError(f"test data {path}: it has no rows")
    return rows


def columns_of(path: Path) -> Sequence[str] | None:
    """The columns of a CSV file, by its header alone; None for other types. Raises FeedError as ``read_rows`` does."""
    if path.suffix.lower() not in _READERS:
        raise FeedError(f"test data {path}: unknown file type; supported: {', '.join(_READERS)}")
    if _READERS[path.suffix.lower()] is not _read_csv:
        return None
    try:
        with path.open("rb") as file:
            return _parsed(path, lambda lines: CsvReader(lines).header, _Lines(file))
    except OSError as error:
        raise FeedError(f"test data {path} cannot be read: {error.strerror or error}") from None


def _parsed(path: Path, read: Callable[[_Lines], _Read], lines: _Lines) -> _Read:
    try:
        return read(lines)
    except UnicodeDecodeError as error:
        number, problem = lines.number, f"not UTF-8 (byte {error.object[error.start]:#04x}); save the file as UTF-8"
    except BadLine as error:
        number, problem = error.number, str(error)
    raise FeedError(f"test data {path}, line {number}: {problem}")


def _read_csv(lines: _Lines) -> FileRows:
    """A header row, then rows with as many fields."""
    reader = CsvReader(lines)
    kept = list(reader.rows())
    return FileRows(kept, partial(_dict_of, reader.header), lines.digest)


def _dict_of(header: list[str], fields: Sequence[str]) -> dict[str, str]:
    return dict(zip(header, fields, strict=True))


def _read_json_lines(lines: _Lines) -> FileRows:
    """Any JSON value on each line. Empty lines do not count.

    The texts are kept and read again for each row that is handed out, so that users share nothing of it.
    """
    kept: list[str] = []
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadLine(lines.number, f"not JSON: {error}") from None
        kept.append(text)
    return FileRows(kept, json.loads, lines.digest)


_READERS = {".csv": _read_csv, ".jsonl": _read_json_lines, ".ndjson": _read_json_lines}
