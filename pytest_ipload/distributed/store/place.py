"""What a place is that segments share: objects by their names."""

from __future__ import annotations

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
    """Whether all machines see an object as soon as it has been written."""

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


def joined(place: str, name: str) -> str:
    """The URL or the path of an object in a place; the query of a URL stays behind."""
    if not is_url(place):
        return str(Path(place, name))
    if not name:
        return place
    parts = urlsplit(place)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment="").geturl()
