"""What ``merge`` reads: files, the files of folders, and URLs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.distributed.segment_fold import Fold
from pytest_ipload.distributed.segments import MissingFile, Segment, UnusableFile, WholeReport, read_segment
from pytest_ipload.distributed.store.place import SEGMENT, is_url

_LOOK_S = 1.0
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


class Awaited:
    """Files that other machines are still to write."""

    def __init__(self, given: Sequence[str]) -> None:
        self._left = list(given)
        self._counts: dict[str, int] = {}
        """How many segments there should be, by what has been read of them."""

    def wait(self, seconds: float, clock: Callable[[], float], nap: Callable[[float], object]) -> None:
        """Wait until all segments are there, but no longer than this."""
        until = clock() + seconds
        while self._are_missing() and (left_s := until - clock()) > 0:
            nap(min(_LOOK_S, left_s))

    def _are_missing(self) -> bool:
        self._left = [text for text in self._left if not self._is_complete(text)]
        return bool(self._left)

    def _is_complete(self, text: str) -> bool:
        if is_url(text):
            first = self._count(text.replace(SEGMENT, "0"))
            numbers = range(first or 0) if SEGMENT in text else ()
            return first is not None and all(self._count(text.replace(SEGMENT, str(each))) for each in numbers)
        path = Path(text)
        if not path.is_dir():
            return path.exists()
        files = list(path.glob("*.json"))
        count = next((found for file in files if (found := self._count(str(file)))), None)
        return count is not None and len(files) >= count

    def _count(self, text: str) -> int | None:
        """How many segments a file says that there are; None if it is not there, or not to be used yet."""
        if text not in self._counts:
            try:
                self._counts[text] = read_segment(Source(text).place).share.count
            except UnusableFile:
                return None
        return self._counts[text]


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
