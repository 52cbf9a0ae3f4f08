"""Python source text as ``ruff format`` would leave it: literals, calls and collections that fit into 88 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_ipload.base.text import width_of

WIDTH = 88


@dataclass(frozen=True)
class Group:
    """An expression in brackets: what stands before and in front of them, its items, and the closing bracket."""

    opening: str
    items: tuple[Expression, ...]
    closing: str

    def line(self) -> str:
        """All in one line."""
        comma = "," if self.opening == "(" and len(self.items) == 1 else ""  # a tuple
        return self.opening + ", ".join(map(one_line, self.items)) + comma + self.closing


@dataclass(frozen=True)
class Named:
    """An item with its key: ``json=...`` or ``"key": ...``."""

    key: str
    value: Expression


Expression = str | Group | Named


def one_line(expression: Expression) -> str:
    """The text of an expression in one line."""
    if isinstance(expression, str):
        return expression
    return expression.line() if isinstance(expression, Group) else expression.key + one_line(expression.value)


def written(expression: Expression, indent: int, before: str = "", after: str = "") -> str:
    """The text of an expression that stands in a line behind ``before``; each item gets a line if one is not enough."""
    line = before + one_line(expression) + after
    if isinstance(expression, Named):
        return written(expression.value, indent, before + expression.key, after)
    if isinstance(expression, str) or not expression.items or (indent + width_of(line) <= WIDTH and "\n" not in line):
        return line
    inner = " " * (indent + 4)
    items = [inner + written(item, indent + 4, "", ",") + "\n" for item in expression.items]
    return f"{before}{expression.opening}\n{''.join(items)}{' ' * indent}{expression.closing}{after}"


def string(text: str) -> str:
    """A string literal."""
    return _quoted(text, "")


def byte_string(content: bytes) -> str:
    """A literal of bytes."""
    return "b" + _quoted(content.decode("latin-1"), "", most=0x7F)


def formatted(parts: Sequence[str | tuple[str]]) -> str:
    """An f-string: texts, and expressions in tuples."""
    shown = [part if isinstance(part, tuple) else part.replace("{", "{{").replace("}", "}}") for part in parts]
    return "f" + _quoted("".join(part if isinstance(part, str) else "{" + part[0] + "}" for part in shown), "")


def pattern(text: str) -> str:
    """A regular expression as a raw string, if it can be one."""
    if not text.isprintable() or text.endswith("\\") or ('"' in text and "'" in text):
        return string(text)
    quote = "'" if '"' in text else '"'
    return f"r{quote}{text}{quote}" if "\\" in text else string(text)


def _quoted(text: str, prefix: str, most: int = 0x10FFFF) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = [f"\\{each}" if each == quote else _escaped(each, most) for each in text]
    return f"{prefix}{quote}{''.join(escaped)}{quote}"


def _escaped(char: str, most: int) -> str:
    if char in "\"'":
        return char
    if ord(char) > most or (most == 0x7F and not " " <= char <= "~" and char not in "\n\r\t"):
        return f"\\x{ord(char):02x}"
    return repr(char)[1:-1]
