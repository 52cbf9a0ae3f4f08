"""What ``merge`` reads: files, the files of folders, and URLs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.distributed.segment_fold import Fold
from pytest_ipload.distributed.segments import MissingFile, Segment, UnusableFile, WholeReport, read_segment
from pytest_ipload.distributed.store.place import SEGMENT, is_url

_MOST_SOUGHT = 1000
"""How many of the first segments behind a URL may be missing."""


class Source(NamedTuple):
    """One file."""

    text: str
    """Its path or URL."""
    may_be_missing: bool = False
    """It is one of those that a placeholder stands for."""
    may_be_whole: bool = False
    """It was found in a folder, where the report of a whole run may lie, too, such as that of an earlier merge."""

    @property
    def place(self) -> str | Path:
        """The URL or the path."""
        return self.text if is_url(self.text) else Path(self.text)


def sources_of(given: Iterable[str]) -> Iterator[Source]:
    """All files, in the order given. Raises UnusableFile for a folder or a URL without any."""
    for text in given:
        if is_url(text):
            yield from _behind(text) if SEGMENT in text else [Source(text)]
        elif (path := Path(text)).is_dir():
            yield from _in_folder(path)
        else:
            yield Source(text)


def read_source(source: Source) -> Segment | None:
    """The segment; None where there is none, and need not be. Raises UnusableFile."""
    try:
        return read_segment(source.place)
    except MissingFile:
        if not source.may_be_missing:
            raise
    except WholeReport as error:
        if not source.may_be_whole:
            raise
        sys.stderr.write(f"left out: {printable(str(error))}\n")
    return None


def folded(sources: Iterable[Source]) -> Fold:
    """All of them, one in memory at a time. Raises UnusableFile."""
    fold = Fold()
    for source in sources:
        if (segment := read_source(source)) is not None:
            fold.add(segment)
    return fold


def _behind(url: str) -> Iterator[Source]:
    """The URLs that a placeholder stands for: the first segment that there is says how many there are."""
    for index in range(_MOST_SOUGHT):
        try:
            count = read_segment(url.replace(SEGMENT, str(index))).share.count
        except MissingFile:
            continue
        yield from (Source(url.replace(SEGMENT, str(each)), may_be_missing=True) for each in range(count))
        return
    raise UnusableFile(f"{masked(url)}: there is no segment from 0 to {_MOST_SOUGHT - 1}")


def _in_folder(folder: Path) -> Iterator[Source]:
    try:
        paths = sorted(folder.glob("*.json"), key=lambda path: _natural(path.name))
    except OSError as error:
        raise UnusableFile(f"{folder}: cannot be read: {error.strerror}") from None
    if not paths:
        raise UnusableFile(f"{folder}: a folder without files named *.json; no segment has left a result in it")
    return (Source(str(path), may_be_whole=True) for path in paths)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key to sort segment-2 before segment-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", name)]
