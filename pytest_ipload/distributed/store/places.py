"""Places that segments share: a folder that all machines see, or a URL that takes GET and PUT."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.settings.parsing import as_url

SEGMENT = "{segment}"
"""In a URL or a path: the number of the segment, from 0."""
_SCHEMES = ("http://", "https://")


class StoreError(Exception):
    """A place that cannot be read or written; the text says which, and why. It shows no secrets."""

    def __init__(self, text: str) -> None:
        super().__init__(masked(printable(text)))


class Answer(NamedTuple):
    """What a place answered, and between which two readings of this machine's clock."""

    content: bytes | None
    """None where there is nothing of this name."""
    asked: float
    answered: float


class Place(Protocol):
    """Where objects are, by their names."""

    shown: str
    """Without secrets."""
    is_consistent: bool
    """Whether an object that has been written is there at once for all machines."""

    def get(self, name: str) -> Answer:
        """The object. Raises StoreError if that is not known."""

    def put(self, name: str, content: bytes) -> Answer:
        """Write the object, whole or not at all. Raises StoreError."""


def is_url(text: str) -> bool:
    """Whether it is a URL that can be read and written; else it is a path."""
    return text.lower().startswith(_SCHEMES)


def check_place(text: str) -> str:
    """The text of a place. ValueError if it is malformed."""
    if "://" in text:
        return as_url(text)
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r} is not a place; give a URL, or the path of a folder that all segments see")
    return text


def open_place(text: str, clock: Callable[[], float], *, is_quick: bool = False) -> Place:
    """The place itself; nothing is read or written yet. A quick one gives up at the first failure.

    Raises StoreError for a URL that cannot be used.
    """
    if is_url(text):
        from pytest_ipload.distributed.store.http_place import HttpPlace

        return HttpPlace(text, clock, is_quick=is_quick)
    return FolderPlace(Path(text), clock)


def joined(place: str, name: str) -> str:
    """The URL or the path of an object in a place; the query of a URL stays behind."""
    if not is_url(place):
        return str(Path(place, name))
    if not name:
        return place
    parts = urlsplit(place)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment="").geturl()


class FolderPlace:
    """A folder, such as a volume that is mounted on all machines."""

    is_consistent = False  # NFS caches that a file is not there

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self.shown = masked(printable(str(folder)))

    def get(self, name: str) -> Answer:
        """The file's content. Raises StoreError."""
        asked = self._clock()
        try:
            content: bytes | None = (self._folder / name).read_bytes()
        except FileNotFoundError:
            content = None
        except OSError as error:
            raise StoreError(f"{self._folder / name}: cannot be read: {error.strerror}") from None
        return Answer(content, asked, self._clock())

    def put(self, name: str, content: bytes) -> Answer:
        """Write the file, with the folders above it; it appears with all its content. Raises StoreError."""
        path = self._folder / name
        other = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # process ids are alike in containers
        asked = self._clock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with other.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            other.replace(path)
        except OSError as error:
            with suppress(OSError):
                other.unlink()
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from None
        return Answer(None, asked, self._clock())
