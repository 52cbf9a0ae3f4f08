"""YAML text by hand: mappings, lists and scalars, so that nothing can be read as anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# Not all that YAML allows, but what no reader takes for anything but a text.
_PLAIN = re.compile(
    r"(?!(?i:null|true|false|y|n|yes|no|on|off)\b)[A-Za-z/][\w/.@-]*(?: [\w/.@{}-]+)*",
    re.ASCII,
)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Comment(str):
    """A comment in the place of an item of a list."""

    __slots__ = ()


def lines_of(value: object, indent: int = 0) -> Iterator[str]:
    """The lines of a mapping or of a list."""
    space = " " * indent
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _entry(f"{space}{scalar(str(key))}:", each, indent + 2)
    elif isinstance(value, Sequence):
        for each in value:
            if isinstance(each, Comment):
                yield f"{space}# {each}"
            elif is_collection(each):
                first, *rest = lines_of(each, indent + 2)
                yield f"{space}- {first[indent + 2 :]}"
                yield from rest
            else:
                yield f"{space}- {_flat(each)}"


def _entry(head: str, value: object, indent: int) -> Iterator[str]:
    if is_collection(value):
        yield head
        yield from lines_of(value, indent)
    else:
        yield f"{head} {_flat(value)}"


def is_collection(value: object) -> bool:
    """Whether it takes lines of its own."""
    return isinstance(value, (Mapping, list, tuple)) and bool(value)


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return scalar(value)
    number = repr(value)  # YAML 1.1 takes 1e-05 for a text, and 1.0e-05 for a number
    return number.replace("e", ".0e") if "e" in number and "." not in number else number


def scalar(text: str) -> str:
    """A text, in quotes unless it is plain beyond doubt."""
    if _PLAIN.fullmatch(text):
        return text
    if ('"' in text or "\\" in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return '"' + "".join(_ESCAPES.get(char) or _escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char.isprintable() and not "\ud800" <= char <= "\udfff":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
