"""Values of a JSON document, taken out with a check of their type; errors name the place."""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_ipload.base.untrusted_files import refuse_constant
from pytest_ipload.importers.recording import ImportProblem

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a text",
    int: "a whole number",
    bool: "true or false",
}


def parsed(text: str) -> Any:
    """The content of a JSON document. Raises ImportProblem, with line and column."""
    try:
        value = json.loads(text, parse_constant=refuse_constant)
        return _without_surrogates(value) if _SURROGATE.search(text) else value
    except json.JSONDecodeError as error:
        raise ImportProblem(f"line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise ImportProblem("not usable: its values are nested too deeply") from None
    except ValueError as error:
        raise ImportProblem(f"not valid JSON: {error}") from None


def _without_surrogates(value: Any) -> Any:
    """The value with each half of a character, which no encoding has, replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return [_without_surrogates(each) for each in value] if isinstance(value, list) else value


def kind_of(value: object) -> str:
    """The type of a value, as JSON names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "a number"
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), type(value).__name__)


class Node:
    """A value and its place, as in ``log.entries[3].request``."""

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def object(self, key: str) -> Node:
        """The object under a key."""
        return self._get(key, dict)

    def objects(self, key: str, *, required: bool = False) -> list[Node]:
        """The objects of the array under a key; none if it is not there."""
        if not required and self.value.get(key) is None:
            return []
        array = self._get(key, list)
        nodes = [Node(each, f"{array.place}[{index}]") for index, each in enumerate(array.value)]
        for node in nodes:
            node.check(dict)
        return nodes

    def text(self, key: str, default: str | None = None) -> str:
        """The text under a key. Without a default it has to be there."""
        if default is not None and self.value.get(key) is None:
            return default
        return str(self._get(key, str).value)

    def number(self, key: str) -> int:
        """The whole number under a key."""
        node = Node(self.value.get(key), f"{self.place}.{key}")
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)) or abs(node.value) > 1e9:
            raise ImportProblem(f"{node.place}: {kind_of(node.value)} was given; it has to be a whole number")
        return int(node.value)

    def maybe(self, key: str) -> Node | None:
        """The object under a key, if there is one."""
        return None if self.value.get(key) is None else self._get(key, dict)

    def check(self, kind: type) -> None:
        """Raise ImportProblem unless the value has a type."""
        if not isinstance(self.value, kind):
            raise ImportProblem(f"{self.place}: {kind_of(self.value)} was given; it has to be {_TYPES[kind]}")

    def _get(self, key: str, kind: type) -> Node:
        place = f"{self.place}.{key}" if self.place else key
        if key not in self.value:
            raise ImportProblem(f"{place}: it is missing; it has to be {_TYPES[kind]}")
        node = Node(self.value[key], place)
        node.check(kind)
        return node
