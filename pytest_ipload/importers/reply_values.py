"""Where a reply hands out a value: in JSON, in fields of a page, in headers, cookies, a redirect, or in its text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from urllib.parse import unquote, urlsplit

from pytest_ipload.importers.exchanges import Exchange, Reply
from pytest_ipload.importers.recording import ADDRESS, COOKIE, HEADER, INPUT, JSON, PATTERN, Capture
from pytest_ipload.importers.tokens import WORD, is_id_name, is_strong

_MOST_TEXT = 2 << 20
"""Characters of a body that are looked at."""
_MOST_LEAVES = 20_000
_TAG = re.compile(r"<(?:input|meta|button|option)\b[^<>]{0,2000}>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([\w:.-]{1,100})\s{0,9}=\s{0,9}(\"[^\"]*\"|'[^']*'|[^\s\"'<>]+)")
_GROUPS = (r"([\w-]+)", r"([^\"'<>&\s/?#]+)", r"([^\"'<>&\s]+)", r"([^\"<>]+)")
_SPECIAL = re.compile(r"([.^$*+?{}\[\]\\|()])")
_NOT_FOR_CAPTURES = frozenset(
    ["set-cookie", "date", "content-length", "age", "expires", "last-modified", "server", "content-type"]
)


@dataclass(frozen=True)
class Source:
    """A place in a reply that has a value, and the key that it has there."""

    capture: Capture
    key: str


@dataclass(frozen=True)
class _Leaf:
    path: tuple[str | int, ...]
    value: str | int

    @property
    def key(self) -> str:
        """The last name on the way to it."""
        return next((each for each in reversed(self.path) if isinstance(each, str)), "")


class ReplyValues:
    """What the replies to a request hand out."""

    def __init__(self, exchange: Exchange) -> None:
        self._last = exchange.replies[-1] if exchange.replies else Reply(0)
        self._exchange = exchange
        self._body = self._last.body[:_MOST_TEXT]

    def words(self) -> set[str]:
        """All words, to find out quickly which replies may have a value."""
        words = set(WORD.findall(self._body))
        for reply in self._exchange.replies:
            for _, value in reply.headers:
                words.update(WORD.findall(value))
                words.update(WORD.findall(unquote(value)))
        return words | set(WORD.findall(unquote(self._exchange.final_url)))

    def sources(self, value: str, key: str, *, strong: bool, linked: bool) -> Iterator[Source]:
        """Where a value is, the most reliable place first.

        ``key`` is the name that it is sent under, or, in a path, the segment before it. A value that is not ``strong``
        may be there by chance, so names have to agree. ``linked``: whether it may come from a link (``/orders/17``).
        """
        yield from self._inputs(value, key, strong=strong)
        yield from self._leaves(value, strong=strong)
        if strong:
            yield from self._headers(value)
            yield from self._cookies(value)
        if not linked:
            return
        yield from self._addresses(value, key, strong=strong)
        if (capture := self._pattern(value, key, strong=strong)) is not None:
            yield Source(capture, key)

    def has(self, value: str) -> bool:
        """Whether the value is somewhere in the body."""
        return value in self._body

    def _inputs(self, value: str, key: str, *, strong: bool) -> Iterator[Source]:
        for name, content, tag in self._tags.get(value, ()):
            by_name = name == key and re.search(r"(?i)type\s*=\s*[\"']?hidden", tag) is not None
            if (strong or by_name) and (found := self._in_tag(tag, name, content)) is not None:
                pattern, index = found
                yield Source(Capture("", INPUT, pattern=pattern, index=index, encoded=content != value), name)

    @cached_property
    def _tags(self) -> dict[str, list[tuple[str, str, str]]]:
        """Tags that have a name and a value, by their values: the name, the value as it is written, and the tag."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        for tag in _TAG.findall(self._body):
            attributes = {key.lower(): given.strip("\"'") for key, given in _ATTRIBUTE.findall(tag)}
            name = attributes.get("name") or attributes.get("property") or attributes.get("id") or ""
            value = attributes.get("content" if tag[1:5].lower() == "meta" else "value")
            if name and value:
                found.setdefault(html.unescape(value), []).append((name, value, tag))
        return found

    def _in_tag(self, tag: str, name: str, content: str) -> tuple[str, int] | None:
        """A pattern that finds the attribute by the name of its tag, and how many matches come before the right one."""
        by_name = re.search(r"[\w:.-]+\s*=\s*([\"']?)" + re.escape(name) + r"\1(?=[\s/>])", tag)
        by_value = re.search(r"(?i)(?:value|content)\s*=\s*([\"'])" + re.escape(content) + r"\1", tag)
        if by_name is None or by_value is None:
            return None
        quote = by_value[1]
        value = escaped(by_value[0][: by_value[0].index(quote) + 1]) + f"([^{quote}]*){quote}"
        named = escaped(by_name[0])
        pattern = f"{named}[^>]*{value}" if by_name.start() < by_value.start() else f"{value}[^>]*{named}"
        for index, found in enumerate(re.finditer(pattern, self._body)):
            if found[1] == content:
                return pattern, index
        return None

    def _leaves(self, value: str, *, strong: bool) -> Iterator[Source]:
        for leaf in self._json.get(value, ()):
            names = [each for each in leaf.path if isinstance(each, str)]
            if any((is_strong(each) and re.search(r"\d", each)) or len(each) > 40 for each in names) or len(names) > 12:
                continue  # a key that is not the same the next time, or too many of them to be read
            if strong or is_id_name(leaf.key):
                yield Source(Capture("", JSON, path=leaf.path, number=isinstance(leaf.value, int)), leaf.key)

    @cached_property
    def _json(self) -> dict[str, list[_Leaf]]:
        if self._body.lstrip()[:1] not in ("{", "["):
            return {}
        try:
            content = json.loads(self._body)
        except (ValueError, RecursionError):
            return {}
        leaves: dict[str, list[_Leaf]] = {}
        waiting: list[tuple[tuple[str | int, ...], object]] = [((), content)]
        for path, value in waiting:  # it grows meanwhile: breadth first, so the shortest path comes first
            if len(waiting) > _MOST_LEAVES:
                break
            if isinstance(value, dict):
                waiting += [((*path, key), each) for key, each in value.items()]
            elif isinstance(value, list):
                waiting += [((*path, index), each) for index, each in enumerate(value)]
            elif isinstance(value, (str, int)) and not isinstance(value, bool):
                leaves.setdefault(str(value), []).append(_Leaf(path, value))
        return leaves

    def _headers(self, value: str) -> Iterator[Source]:
        for name, given in self._last.headers:
            if given == value and name.lower() not in _NOT_FOR_CAPTURES:
                yield Source(Capture("", HEADER, key=name.title() if name.islower() else name), name)

    def _cookies(self, value: str) -> Iterator[Source]:
        for reply in reversed(self._exchange.replies):
            for name, given in reply.cookies():
                if value in (given, unquote(given)):
                    yield Source(Capture("", COOKIE, key=name, encoded=given != value), name)

    def _addresses(self, value: str, key: str, *, strong: bool) -> Iterator[Source]:
        """In the URL that a redirect led to, or in the header ``Location`` of a reply that did not redirect."""
        location = self._last.header("location")
        places = [(self._exchange.final_url, Capture("", ADDRESS))]
        if location is not None:
            places.append((location, Capture("", HEADER, key="Location")))
        for url, capture in places:
            if (found := _in_url(url, value, key, strong=strong)) is not None:
                yield Source(replace(capture, pattern=found[0], encoded=found[1]), key)

    def _pattern(self, value: str, key: str, *, strong: bool) -> Capture | None:
        """A pattern for its place in the text, if the first match of one is the value."""
        # What may be there by chance has to be in a link, such as /orders/17 or ?order=17.
        prefixes = ("",) if strong else (f"{key}/", f"{key}=") if key else ()
        for form in dict.fromkeys((value, html.escape(value))):
            for start in (each for before in prefixes for each in self._places(before, form)):
                before = self._body[max(0, start - 80) : start].rpartition("\n")[2]
                if not strong:
                    before = re.split(r"[\"'\s]", before)[-1]
                if (found := self._unique(before, form)) is not None:
                    return Capture("", PATTERN, pattern=found, encoded=form != value)
        return None

    def _places(self, before: str, form: str) -> Iterator[int]:
        """Where a text is, behind another one: the first 20 places."""
        start = self._body.find(before + form)
        for _ in range(20):
            if start < 0:
                return
            yield start + len(before)
            start = self._body.find(before + form, start + 1)

    def _unique(self, before: str, form: str) -> str | None:
        for length in (12, 24, 48, 80):
            prefix = _without_tokens(before, length)
            if len(prefix) < 3 or not prefix.isprintable():
                continue
            for group in _GROUPS:
                if re.fullmatch(group, form) and _first(pattern := escaped(prefix) + group, self._body) == form:
                    return pattern
        return None


def escaped(text: str) -> str:
    """The text as a pattern that matches it, with no more backslashes than needed."""
    return _SPECIAL.sub(r"\\\1", text)


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return None if found is None else found[1]


def _without_tokens(before: str, length: int) -> str:
    """The end of a text, from the start of a word on, and behind the last value in it that may differ the next time."""
    start = max(0, len(before) - length)
    for word in WORD.finditer(before):
        differs = word[0].isdigit() or (is_strong(word[0]) and re.search(r"\d", word[0]) is not None)
        if word.end() > start and (differs or word.start() < start):
            start = word.end()
    return before[start:]


def _in_url(url: str, value: str, key: str, *, strong: bool) -> tuple[str, bool] | None:
    """A pattern for a segment or parameter of a URL, and whether the value is percent-encoded there."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    segments = parts.path.split("/")
    for before, segment in pairwise(segments):
        if unquote(segment) == value and (strong or before == key):
            prefix = before if before and not is_strong(before) else ""
            return _checked(f"{escaped(prefix)}/([^/?#]+)", segment, url)
    for pair in parts.query.split("&"):
        name, _, given = pair.partition("=")
        if unquote(given) == value and (strong or name == key):
            return _checked(f"[?&]{escaped(name)}=([^&#]+)", given, url)
    return None


def _checked(pattern: str, raw: str, url: str) -> tuple[str, bool] | None:
    return (pattern, unquote(raw) != raw) if _first(pattern, url) == raw else None
