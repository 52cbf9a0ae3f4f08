"""Texts by regular expression: the common subset, with a limit on how long they become.

Literals, classes, groups, alternatives and quantifiers are understood. Whatever else there is ends in None.
"""

from __future__ import annotations

import re

_LONGEST = 300
_DEEPEST = 20
_CLASSES = {"d": "1234567890", "w": "abcABC123_", "s": " ", "D": "abc", "W": "-", "S": "abc"}
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_ANY = "abc123"
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d{1,4})(?:(,)(\d{0,4}))?\})[?+]?")


class _NotKnown(Exception):
    """A part of a pattern that is not understood."""


def text_for(pattern: str, least: int = 0) -> str | None:
    """A text that is meant to match, with ``least`` characters or more if repetitions allow it; the caller checks."""
    for more in (0, least):
        maker = _Maker(pattern, more)
        try:
            text = maker.alternatives(0)
        except (_NotKnown, IndexError):
            return None
        if maker.at != len(pattern):
            return None
        if len(text) >= least:
            return text
    return None


class _Maker:
    def __init__(self, pattern: str, more: int) -> None:
        self._pattern = pattern
        self._more = more
        """The characters that repetitions without an end still have to add."""
        self.at = 0

    def alternatives(self, depth: int) -> str:
        """The first of the alternatives."""
        if depth > _DEEPEST:
            raise _NotKnown
        first = self._sequence(depth)
        while self._next() == "|":
            self.at += 1
            self._sequence(depth)
        return first

    def _next(self) -> str:
        return self._pattern[self.at : self.at + 1]

    def _sequence(self, depth: int) -> str:
        made = ""
        while self._next() not in ("", "|", ")"):
            made += self._repeated(self._atom(depth))
            if len(made) > _LONGEST:
                raise _NotKnown
        return made

    def _repeated(self, choices: str | list[str]) -> str:
        """An atom as often as its quantifier wants; of a class, one character after the other."""
        found = _QUANTIFIER.match(self._pattern, self.at)
        count, most = 1, 1
        if found:
            self.at = found.end()
            sign, low, comma, high = found.groups()
            count = int(low) if low else int(sign == "+")
            most = (count if low and not comma else int(high)) if high or (low and not comma) else _LONGEST
            most = 1 if sign == "?" else most
        width = 1 if isinstance(choices, list) else len(choices)
        if found and width and self._more:
            count = max(count, min(most, -(-self._more // width)))
        if count * width > _LONGEST:
            raise _NotKnown
        if isinstance(choices, str):
            return choices * count
        return "".join(choices[number % len(choices)] for number in range(count))

    def _atom(self, depth: int) -> str | list[str]:
        char = self._next()
        self.at += 1
        if char in "^$":
            return ""
        if char == ".":
            return list(_ANY)
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise _NotKnown
        return char

    def _group(self, depth: int) -> str:
        if self._next() == "?":
            start = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)").match(self._pattern, self.at)
            if not start:
                raise _NotKnown
            self.at = start.end()
        made = self.alternatives(depth + 1)
        if self._next() != ")":
            raise _NotKnown
        self.at += 1
        return made

    def _escape(self) -> str | list[str]:
        char = self._pattern[self.at]
        self.at += 1
        if char in "bAZz":
            return ""
        if char in _CLASSES:
            return list(_CLASSES[char])
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isalnum():
            raise _NotKnown
        return char

    def _class(self) -> list[str]:
        """Some of the characters of a class."""
        negated = self._next() == "^"
        self.at += negated
        chars: list[str] = []
        first = True
        while first or self._next() != "]":
            first = False
            chars += self._member()
        self.at += 1
        if negated:
            return [each for each in "abcABC123-_ " if each not in chars] or ["~"]
        return chars

    def _member(self) -> list[str]:
        low = self._pattern[self.at]
        self.at += 1
        if low == "\\":
            escaped = self._escape()
            if isinstance(escaped, list):
                return escaped
            if not escaped:  # a backspace
                raise _NotKnown
            low = escaped
        ahead = self._pattern[self.at : self.at + 2]
        if len(ahead) < 2 or ahead[0] != "-" or ahead[1] in "]\\":
            return [low]
        self.at += 2
        return [chr(code) for code in range(ord(low), min(ord(ahead[1]), ord(low) + 200) + 1)]
