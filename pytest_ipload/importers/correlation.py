"""Correlation: values that a reply handed out and a later request sent back become captures.

A value with enough letters and digits is looked for in all earlier replies. A short number is taken for such a value
only where it is an id by its name in the request and in the reply. Cookies are the session's business.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from pytest_ipload.importers.exchanges import Exchange
from pytest_ipload.importers.recording import (
    INPUT,
    JSON,
    NUMBER,
    QUOTED,
    SAME,
    TEXT,
    Capture,
    ImportOptions,
    Place,
    Reference,
    Step,
    Text,
)
from pytest_ipload.importers.recording import Json as JsonValue
from pytest_ipload.importers.reply_values import ReplyValues, Source
from pytest_ipload.importers.tokens import WORD, Names, identifier, is_id, is_id_name, is_strong, singular

_MOST_REPLIES = 40
_TOKEN = re.compile(r"[A-Za-z0-9_\-.~+/=]{8,}")
_RESERVED = (
    "response", "ipload_session", "ipload_user", "find", "find_one_of",
    "quoted", "os", "re", "html", "pytest", "quote", "unquote",
    "str", "int", "env", "iteration", "user",
)  # fmt: skip
"""Names that mean something else in what is written."""


@dataclass(frozen=True)
class _Found:
    index: int
    source: Source


class Correlation:
    """The captures of a recording."""

    def __init__(self, exchanges: Sequence[Exchange], options: ImportOptions) -> None:
        self._exchanges = exchanges
        self._can_capture = options.can_capture
        self._replies = [ReplyValues(each) for each in exchanges]
        self._having: defaultdict[str, list[int]] = defaultdict(list)
        for index, reply in enumerate(self._replies):
            for word in reply.words():
                self._having[word].append(index)
        self._names = Names(*_RESERVED)
        self._known: dict[tuple[str, str], Capture] = {}
        self._captures: defaultdict[int, list[Capture]] = defaultdict(list)
        self._now = 0
        self.missed: dict[tuple[int, Place], bool] = {}
        """What comes from a reply and is not captured: in which request, where, and whether another writer could."""

    def steps(self) -> list[Step]:
        """The requests, with references in the place of values that were handed out, and with captures."""
        steps = []
        for index, exchange in enumerate(self._exchanges):
            self._now = index
            steps.append(exchange.step.changed(self._in_text, self._in_number))
        return [replace(step, captures=tuple(self._captures.get(index, ()))) for index, step in enumerate(steps)]

    def _in_text(self, place: Place, text: Text) -> Text:
        literal = text.literal
        if not literal:
            return text
        if place.kind == "path":
            return self._in_segment(place, literal, text)
        if (capture := self._capture(literal, place)) is not None:
            return Text((Reference(capture.name),))
        return text.with_literals(lambda part: self._in_part(part, place))

    def _in_segment(self, place: Place, literal: str, text: Text) -> Text:
        value = unquote(literal)
        if (capture := self._capture(value, place)) is not None:
            return Text((Reference(capture.name, form=TEXT if literal == quote(value, safe="") == value else QUOTED),))
        stem, dot, ending = literal.partition(".")
        if dot and is_id(stem) and (capture := self._capture(stem, place)) is not None:
            return Text((Reference(capture.name), f".{ending}"))
        return text.with_literals(lambda part: self._in_part(part, place))

    def _in_part(self, part: str, place: Place) -> list[str | Reference]:
        """Tokens within a longer text, as in ``Bearer TOKEN``."""
        parts: list[str | Reference] = []
        done = 0
        for found in _TOKEN.finditer(part[:100_000]):
            for token in dict.fromkeys((found[0], *WORD.findall(found[0]))):
                if not is_strong(token) or found[0].count(token) != 1:
                    continue
                if (capture := self._capture(token, place)) is not None:
                    start = found.start() + found[0].index(token)
                    parts += [part[done:start], Reference(capture.name)]
                    done = start + len(token)
                    break
        return [*parts, part[done:]]

    def _in_number(self, place: Place, number: int) -> JsonValue:
        capture = self._capture(str(number), place)
        if capture is None:
            return number
        return Text((Reference(capture.name, form=SAME if capture.number else NUMBER),))

    def _capture(self, value: str, place: Place) -> Capture | None:
        strong = is_strong(value)
        if not strong and not (is_id(value) if place.kind == "path" else re.search(r"\d", value)):
            return None
        known = (value, "" if strong else place.key)
        if (capture := self._known.get(known)) is not None:
            return capture
        if (found := self._find(value, place, strong=strong)) is None:
            return None
        captures = self._captures[found.index]
        for capture in captures:
            if replace(capture, name="") == found.source.capture:
                return capture
        capture = replace(found.source.capture, name=self._names.unique(_name(place, found.source)))
        self._known[known] = capture
        captures.append(capture)
        return capture

    def _find(self, value: str, place: Place, *, strong: bool) -> _Found | None:
        """The best place: one whose words agree with those of the request, then the earliest."""
        words = sorted(WORD.findall(value), key=len)
        if not words:
            return None
        having = [index for index in self._having.get(words[-1], ()) if index < self._now]
        found, others = [], 0
        linked = strong or place.kind == "path" or is_id_name(place.key)
        for index in having[:_MOST_REPLIES]:
            for source in self._replies[index].sources(value, place.key, strong=strong, linked=linked):
                candidate = _Found(index, source)
                if not strong and not self._agree(place, candidate):
                    continue
                if self._can_capture(source.capture):
                    found.append(candidate)
                    break
                others += 1
        if not found:
            if others or (strong and any(self._replies[index].has(value) for index in having[:_MOST_REPLIES])):
                self.missed[self._now, place] = bool(others)
            return None
        return min(found, key=lambda each: (not self._related(place.key, each), each.index))

    def _agree(self, place: Place, found: _Found) -> bool:
        """Whether a value that may be there by chance is the same thing in request and reply, by its names."""
        capture, key = found.source.capture, place.key
        if capture.kind == INPUT:
            return True  # hidden, and of the same name
        # ``?order=7`` is ``{"order": {"id": 7}}``, or the id in the reply to ``POST /orders``
        return place.kind == "path" or is_id_name(key) or (capture.kind == JSON and self._related(key, found))

    def _related(self, key: str, found: _Found) -> bool:
        """Whether the request and the reply speak of the same kind of thing: ``/orders/7`` and ``POST /orders``."""
        stem = re.sub(r"(?i)[_-]?(?:id|uuid|number|no|key|code|ref|slug)s?$", "", key)
        thing = singular((stem or key).lower())
        if len(thing) < 3:
            return found.source.key == key
        path = [str(each).lower() for each in found.source.capture.path]
        path += urlsplit(self._exchanges[found.index].url).path.lower().split("/")
        return found.source.key == key or any(thing in each for each in path)


def _name(place: Place, source: Source) -> str:
    """What a captured value is called."""
    if place.kind == "path":
        named = re.search("[A-Za-z]", place.key) and not is_id(place.key)
        return (
            f"{singular(identifier(place.key, 'value')).rstrip('_')}_id" if named else identifier(source.key, "value")
        )
    key = re.sub(r"(?i)^x-", "", place.key)
    if key.lower() == "authorization":
        key = source.key if source.key.lower() != "authorization" else "token"
    return identifier(key or source.key, "value")
