"""CSV as people and their spreadsheets write it.

Not Python's ``csv``: its limit of a field's size can be changed for the whole process only, and its errors do not say
what to do. What both accept is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

SEPARATORS = (",", ";", "\t")
"""Those that a header is looked through for; any other one has to be named in a line ``sep=``."""

_LONGEST_HEADER = 100
"""Lines in which the end of a quoted name is looked for."""
_NAMES = {"\t": "a tab", " ": "a blank"}


class BadLine(Exception):
    """What is wrong, and the number of the line in which it begins."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


class CsvReader:
    """Reads lines of text, with their ends, as rows of fields."""

    def __init__(self, lines: Iterable[str]) -> None:
        """The first line that is not empty is the header, or names the separator, as in ``sep=;``. Raises BadLine."""
        self._lines = iter(lines)
        self._number = 0
        """Of the line that was read last, from 1."""
        self._separator = ","
        self._skips_blanks = False
        """Whether blanks after a separator belong to it, as they do in the header."""
        self.header = self._read_header()
        """The names of the columns; empty if there is nothing in the file."""

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The rows after the header. Raises BadLine. Empty lines, and lines of nothing but separators, do not count."""
        names, separator = self.header, self._separator
        expected = len(names)
        for line in self._lines:
            self._number += 1
            number, text = self._number, line.rstrip("\r\n")
            if '"' in text:
                fields = self._quoted_fields(line)
            elif text.strip(separator):
                fields = text.split(separator)
                if self._skips_blanks:
                    fields = [field.lstrip(" ") for field in fields]
            else:
                continue
            if len(fields) != expected:
                raise BadLine(number, self._wrong_number(fields))
            yield tuple(fields)

    def _read_header(self) -> list[str]:
        is_named = False
        for line in self._lines:
            self._number += 1
            text = line.rstrip("\r\n")
            if not text:
                continue
            named = text.strip('"')
            if not is_named and len(named) == len("sep=") + 1 and named.lower().startswith("sep="):
                self._separator, is_named = named[-1], True
                continue
            number, text = self._number, self._whole_header(line).rstrip("\r\n")
            if not is_named:
                self._separator = self._separator_of(text)
            fields = self._quoted_fields(line) if '"' in text else text.split(self._separator)
            self._skips_blanks = len(fields) > 1 and all(field.startswith(" ") for field in self._after_first(text))
            return self._checked_header(number, [field.strip(" ") for field in fields])
        return []

    def _whole_header(self, line: str) -> str:
        """The header with the lines on which a quoted name of it continues; they remain to be read."""
        ahead: list[str] = []
        while (line.count('"') + sum(more.count('"') for more in ahead)) % 2 and len(ahead) < _LONGEST_HEADER:
            following = next(self._lines, None)
            if following is None:
                break
            ahead.append(following)
        self._lines = chain(ahead, self._lines)
        return "".join([line, *ahead])

    def _separator_of(self, header: str) -> str:
        """The one that the header has most of, outside of quotes."""
        unquoted = "".join(header.split('"')[::2])
        counts = {separator: unquoted.count(separator) for separator in SEPARATORS}
        most = max(counts.values())
        found = [separator for separator, count in counts.items() if count == most]
        if most and len(found) > 1:
            either = " or ".join(map(_name, found))
            raise BadLine(
                self._number,
                f"the columns of the header may be separated by {either}; name it in the first line, as in 'sep=;'",
            )
        return found[0] if most else ","

    def _after_first(self, header: str) -> list[str]:
        """The header's fields but the first one, as they stand there."""
        parts = header.split('"')
        unquoted = '"'.join(part if number % 2 == 0 else "" for number, part in enumerate(parts))
        return unquoted.split(self._separator)[1:]

    def _checked_header(self, number: int, names: list[str]) -> list[str]:
        for place, name in enumerate(names):
            if not name:
                advice = f"name it, or remove it and its {_name(self._separator)} in all lines"
                if place == len(names) - 1:
                    advice = f"the line ends with {_name(self._separator)}; {advice}"
                raise BadLine(number, f"field {place + 1} of the header has no name: {advice}")
            if name in names[:place]:
                raise BadLine(number, f"the header has {name!r} twice")
        return names

    def _wrong_number(self, fields: Sequence[str]) -> str:
        expected = len(self.header)
        problem = f"a row of {len(fields)}, but the header has {expected}: {', '.join(self.header)}"
        if len(fields) == expected + 1 and not fields[-1]:
            return f"{problem}; the line ends with {_name(self._separator)}: remove it"
        if len(fields) > expected:
            return f"{problem}; put a field that contains {_name(self._separator)} in double quotes"
        return problem

    def _quoted_fields(self, line: str) -> list[str]:
        """The fields of a row that has quotes in it, and so may go on in the lines that follow."""
        fields: list[str] = []
        begun, position = self._number, 0
        while True:
            start = position
            while line[start : start + 1] == " ":
                start += 1
            if line[start : start + 1] == '"':
                field, line, position = self._quoted(line, start + 1, len(fields) + 1, begun)
            else:
                end = line.find(self._separator, position)
                field = (line[position:] if end < 0 else line[position:end]).rstrip("\r\n")
                position = len(line) if end < 0 else end
                if self._skips_blanks:
                    field = field.lstrip(" ")
            fields.append(field)
            if not line[position:].rstrip("\r\n"):
                return fields
            position += len(self._separator)

    def _quoted(self, line: str, position: int, place: int, begun: int) -> tuple[str, str, int]:
        """A field from behind its first quote on; returns it with the line in which it ends, and where it does."""
        parts = []
        while True:
            end = line.find('"', position)
            if end < 0:
                parts.append(line[position:])
                following = next(self._lines, None)
                if following is None:
                    raise BadLine(
                        begun, f"not CSV: unexpected end of data; the quote that begins field {place} is not closed"
                    )
                self._number += 1
                line, position = following, 0
                continue
            parts.append(line[position:end])
            if line[end + 1 : end + 2] != '"':
                rest = line[end + 1 :].rstrip("\r\n")
                if rest and not rest.startswith(self._separator):
                    raise BadLine(begun, self._behind_quote(rest, place))
                return "".join(parts), line, end + 1
            parts.append('"')
            position = end + 2

    def _behind_quote(self, rest: str, place: int) -> str:
        blanks = len(rest) - len(rest.lstrip(" "))
        problem = f"not CSV: {self._separator!r} expected after '\"' of field {place}"
        if blanks and (blanks == len(rest) or rest[blanks:].startswith(self._separator)):
            return f"{problem}; there is a blank after the closing quote; remove it"
        return f"{problem}, not {rest[0]!r}; write a quote within a quoted field twice"


def _name(separator: str) -> str:
    return _NAMES.get(separator, repr(separator))
