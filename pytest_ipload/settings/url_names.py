"""Names of requests by the template of their URL: ``/items/{id}`` names ``GET /items/17`` ``GET /items/{id}``.

::

    template    = [ scheme "://" host [ ":" port ] ] "/" { literal | placeholder }
    placeholder = "{" name "}"            part of a path segment, at least one character
                | "{" name ":path}"       the same across segments
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import quote

from pytest_ipload.base.masking import masked

_REMEMBERED = 4096
"""URLs; with an id in each there is no end to them."""
_TEMPLATE = re.compile(r"(?P<origin>(?:https?|wss?)://[^/?#{}\s]+)?(?P<path>/.*)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^{}:]*)(:[^{}]*)?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KINDS = {None: "[^/]+", ":path": ".+"}
_LITERAL = "/%:@!$&'()+,;=-._~"
"""What stays as it is in a path that is sent."""
_FORM = "write a path, as in /items/{id}"


class UrlNames:
    """The names that templates give. Threads may share it."""

    def __init__(self, templates: Iterable[str]) -> None:
        """Of those that fit a URL the first one names it. ``ValueError`` quotes the one that is wrong."""
        self._templates = tuple(templates)
        patterns = []
        for number, template in enumerate(self._templates):
            try:
                if template in self._templates[:number]:
                    raise ValueError("it is there twice")
                patterns.append(_pattern(template))
            except ValueError as error:
                raise ValueError(f"line {template!r}: {error}") from None
        # The origin is part of what is matched only where a template has one: fewer things to remember.
        self.needs_origin = not all(each.startswith("/") for each in self._templates)
        any_origin = "(?:[a-z]+://[^/]+)?" if self.needs_origin else ""
        alternatives = "|".join(
            f"({any_origin if template.startswith('/') else ''}{pattern})"
            for template, pattern in zip(self._templates, patterns, strict=True)
        )
        self._match = re.compile(alternatives or "(?!)", re.DOTALL).fullmatch
        self._labels: dict[tuple[str, int], str] = {}
        self.label: Callable[[str, str], str | None] = lru_cache(maxsize=_REMEMBERED)(self._label)
        """The name of a request by its method and its URL (origin and path, or only the path); None if none fits."""

    def __reduce__(self) -> tuple[type[UrlNames], tuple[tuple[str, ...]]]:
        return type(self), (self._templates,)

    def name(self, method: str, origin: str, path: str) -> str | None:
        """The name of a request by its method, its origin (``http://host:port``) and its path; None if none fits."""
        return self.label(method, f"{origin}{path}" if self.needs_origin else path)

    def _label(self, method: str, where: str) -> str | None:
        found = self._match(where)
        if found is None or found.lastindex is None:
            return None
        key = method, found.lastindex
        label = self._labels.get(key)
        if label is None:
            label = self._labels[key] = masked(f"{method} {self._templates[found.lastindex - 1]}")
        return label


def _pattern(template: str) -> str:
    """A regular expression without groups, for the URL without its query."""
    parts = _TEMPLATE.fullmatch(template)
    if parts is None:
        raise ValueError(
            f"it begins neither with '/' nor with a scheme and a host; {_FORM}, or http://host/items/{{id}}"
        )
    path, pattern, end = parts["path"], re.escape((parts["origin"] or "").lower()), 0
    names: set[str] = set()
    for found in _PLACEHOLDER.finditer(path):
        name, kind = found.groups()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{found[0]!r} is not a placeholder; {_FORM}")
        if kind not in _KINDS:
            raise ValueError(f"{found[0]!r}: {kind!r} is unknown; a placeholder is {{{name}}} or {{{name}:path}}")
        if name in names:
            raise ValueError(f"{{{name}}} is there twice; give each placeholder a name of its own")
        names.add(name)
        pattern += _literal(path[end : found.start()]) + _KINDS[kind]
        end = found.end()
    return pattern + _literal(path[end:])


def _literal(text: str) -> str:
    for sign, advice in {
        "{": "a '{' has no '}'",
        "}": "a '}' has no '{'",
        "?": "a query plays no part in names; leave it out",
        "#": "a fragment is never sent; leave it out",
        "*": "there are no wildcards; a placeholder stands for a segment, as in /items/{id}, or for more: {rest:path}",
    }.items():
        if sign in text:
            raise ValueError(advice)
    if any(character.isspace() for character in text):
        raise ValueError(f"there is a blank in it; {_FORM}, one template per line")
    return re.escape(quote(text, safe=_LITERAL))
