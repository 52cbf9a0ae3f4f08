"""Paths into JSON: ``items.0.id``, ``items[0].id``, ``items[-1]``, ``["a.b"]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

JsonPath = tuple[str | int, ...]
"""Names, and the indexes that are written in brackets."""

_SEGMENT = re.compile(
    r"""\[(?P<index>-?[0-9]{1,9})\]|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]|(?P<dot>\.?)(?P<name>[^.\[\]\s'"]+)"""
)
_MOST_SHOWN = 10


def parse_path(text: str) -> JsonPath:
    """The steps of a path; an empty text means the whole. Raises ``ValueError`` that says what is allowed."""
    path: list[str | int] = []
    position = 0
    while position < len(text):
        match = _SEGMENT.match(text, position)
        if match is None or (match["name"] is not None and bool(match["dot"]) != (position > 0)):
            raise ValueError(
                f"{text!r:.80} is not a valid path (character {position + 1}); write it as in items.0.id, items[0].id "
                'or ["a.b"].c'
            )
        if match["index"] is not None:
            path.append(int(match["index"]))
        else:
            path.append(match["name"] if match["quoted"] is None else match["quoted"])
        position = match.end()
    return tuple(path)


def find(value: Any, path: JsonPath) -> Any:
    """What is at the path. Raises LookupError that says how far it leads."""
    for depth, key in enumerate(path):
        if type(value) is dict and key in value:  # as nearly always
            value = value[key]
        elif isinstance(value, Mapping):
            name = str(key)
            if name not in value:
                raise LookupError(f"{_so_far(path, depth)} has {_keys(value)}, and not {name!r:.80}")
            value = value[name]
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            index = _index(key)
            if index is None or not -len(value) <= index < len(value):
                raise LookupError(f"{_so_far(path, depth)} is a list of {len(value)}, without {key!r:.80}")
            value = value[index]
        else:
            raise LookupError(f"{_so_far(path, depth)} is {_kind(value)}, so there is no {key!r:.80} in it")
    return value


def written(path: JsonPath) -> str:
    """The path as it is written."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.search(r"[.\[\]\s'\"]", key) or not key:
            text += f"[{key!r:.80}]"
        else:
            text += f".{key}" if text else key
    return text


def _index(key: str | int) -> int | None:
    if isinstance(key, int):
        return key
    return int(key) if re.fullmatch("[0-9]{1,9}", key) else None


def _so_far(path: JsonPath, depth: int) -> str:
    return written(path[:depth]) or "it"


def _keys(value: Mapping[Any, Any]) -> str:
    keys = [str(key)[:40] for key in value]
    more = ", ..." if len(keys) > _MOST_SHOWN else ""
    return ", ".join(map(repr, keys[:_MOST_SHOWN])) + more if keys else "no keys"


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), f"of type {type(value).__name__}")
