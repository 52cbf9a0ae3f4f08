"""The shapes of settings: durations, URLs, files, names, the keys of the markers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_ipload.components.limits import PARSERS
from pytest_ipload.scenario_files.nodes import Node, Place
from pytest_ipload.scenario_files.reply_shapes import check_name
from pytest_ipload.scenario_files.shapes import Key, Keys, Schema, Setting, Static
from pytest_ipload.scenario_files.values import Template, template, tree
from pytest_ipload.settings.parsing import (
    as_positive_seconds,
    as_rate,
    as_rate_or_true,
    as_seconds,
    as_span,
    as_text,
    as_url,
    did_you_mean,
    listed,
)
from pytest_ipload.settings.resolution import parse_key
from pytest_ipload.settings.table import BY_KEY, SETTINGS
from pytest_ipload.verdict.threshold.config import KEYS as THRESHOLD_KEYS
from pytest_ipload.verdict.threshold.expression import Threshold

_UNITS: Mapping[Callable[[Any], Any], str] = {
    as_seconds: "s", as_positive_seconds: "s", as_span: "s", as_rate: "/s", as_rate_or_true: "/s",
}  # fmt: skip
"""Parsers of numbers that need a unit in a file, where a bare one could mean anything."""
_WITH_UNIT: Schema = {"anyOf": [{"type": "string"}, {"const": 0}]}


def with_unit(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The parser, which refuses numbers without a unit if it is one of times and rates."""
    unit = _UNITS.get(parse)
    if unit is None:
        return parse

    def checked(value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value != 0:
            raise ValueError(f"{value} has no unit; write it as in {value}{unit}")
        return parse(value)

    return checked


DURATION = Setting(with_unit(as_positive_seconds), _WITH_UNIT)
SPAN = Setting(with_unit(as_span), _WITH_UNIT)
URL = Setting(as_url, {"type": "string"})
_SIZE: Schema = {"type": ["string", "integer"]}
LIMITS: Keys = {
    "memory": Key(Setting(PARSERS["memory"], _SIZE), "Memory, as in 64MiB"),
    "time": Key(DURATION, "Time of computing in one run, as in 1s"),
    "fuel": Key(Setting(PARSERS["fuel"], _SIZE), "Instructions in one run"),
    "sockets": Key(Setting(PARSERS["sockets"], _SIZE), "Open sockets"),
    "reply_bytes": Key(Setting(PARSERS["reply_bytes"], _SIZE), "Bytes of one reply, as in 4MiB"),
    "requests": Key(Setting(PARSERS["requests"], _SIZE), "Requests in one run"),
}
"""Of components."""


class Loads:
    """The keys of the marker ``ipload``."""

    def read(self, node: Node, what: str) -> dict[str, Static]:
        """The settings by key."""
        settings = {}
        for key, (place, value) in node.mapping(what).items():
            if key not in BY_KEY:
                raise place.fault(
                    f"unknown key {key!r:.80}{did_you_mean(key, BY_KEY)} in load; allowed: {', '.join(BY_KEY)}"
                )
            settings[key] = Static(tree(value), value.place, _of_marker(key), key)
        return settings

    def schema(self) -> Schema:
        """An object without other properties."""
        properties = {
            setting.key: {"description": setting.help, **(_WITH_UNIT if setting.parse in _UNITS else {})}
            for setting in SETTINGS
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_marker(key: str) -> Callable[[Any], Any]:
    """The value for the marker, checked: the marker parses it again."""
    check_unit = with_unit(BY_KEY[key].parse)

    def checked(value: Any) -> Any:
        check_unit(value)
        parse_key(key, value)
        return value

    return checked


class GivenThreshold(NamedTuple):
    """An expression and the marker's keywords for it."""

    expression: Static
    options: Mapping[str, Any]
    place: Place


class Thresholds:
    """Expressions, each one with the marker's keywords or without."""

    def read(self, node: Node, what: str) -> list[GivenThreshold]:
        """The thresholds."""
        return [self._threshold(each) for each in (node.value if isinstance(node.value, list) else [node])]

    def _threshold(self, node: Node) -> GivenThreshold:
        if not isinstance(node.value, dict):
            return GivenThreshold(self._expression(node), {}, node.place)
        options: dict[str, Any] = {}
        for key, (place, value) in node.value.items():
            if key == "expression":
                continue
            if key not in THRESHOLD_KEYS:
                known = ("expression", *THRESHOLD_KEYS)
                raise place.fault(
                    f"unknown key {key!r:.80}{did_you_mean(key, known)} in thresholds; allowed: {', '.join(known)}"
                )
            try:
                with_unit(THRESHOLD_KEYS[key])(value.plain())
            except (ValueError, TypeError) as error:
                raise value.fault(f"{key}: {error}") from None
            options[key] = value.plain()
        if "expression" not in node.value:
            raise node.fault("a threshold needs the key 'expression', as in expression: p95 < 200ms")
        return GivenThreshold(self._expression(node.value["expression"].node), options, node.place)

    def _expression(self, node: Node) -> Static:
        return Static(template(node.text("a threshold"), node.place), node.place, _expression, "thresholds")

    def schema(self) -> Schema:
        """A text or an object, or a list of them."""
        properties: Schema = {"expression": {"type": "string"}, **{key: {} for key in THRESHOLD_KEYS}}
        one: Schema = {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": False,
                    "required": ["expression"],
                },
            ]
        }
        return {"anyOf": [one, {"type": "array", "items": one}]}


def _expression(value: Any) -> str:
    return Threshold.parse(as_text(value)).text


class OneOf:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def read(self, node: Node, what: str) -> str:
        """The word."""
        if node.value not in self._words:
            hint = did_you_mean(node.value, self._words) if isinstance(node.value, str) else ""
            raise node.fault(f"{what}: {node.kind} is unknown{hint}; allowed: {listed(self._words)}")
        return str(node.value)

    def schema(self) -> Schema:
        """An enumeration."""
        return {"enum": list(self._words)}


class Times:
    """A whole number from 1 on, or a value, which may be 0 too."""

    def read(self, node: Node, what: str) -> int | Template:
        """The number or the template."""
        value = tree(node)
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not is_number and not isinstance(value, Template):
            raise node.fault(
                f"{what} must be a whole number of 1 or more (0 only as a value of ${{...}}), not {node.kind}"
            )
        return value  # type: ignore[no-any-return]

    def schema(self) -> Schema:
        """A number, or a text with values."""
        return {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"\$\{"}]}


class FilePath:
    """The path of a file, from the folder of the scenario file."""

    def read(self, node: Node, what: str) -> Static:
        """The path."""
        return Static(template(node.text(what), node.place), node.place, as_text, what)

    def schema(self) -> Schema:
        """A text."""
        return {"type": "string", "minLength": 1}


class Names:
    """Names of fixtures; or, if it is ``single``, that of a value."""

    def __init__(self, *, single: bool = False) -> None:
        self._single = single

    def read(self, node: Node, what: str) -> Any:
        """The name, or the names with their places."""
        if self._single:
            name = node.text(what)
            check_name(name, node.place)
            return name
        names: dict[str, Place] = {}
        for each in node.value if isinstance(node.value, list) else [node]:
            name = each.text("the name of a fixture")
            if not name.isidentifier():
                raise each.fault(f"{name!r:.80} cannot be the name of a fixture")
            if name in names:
                raise each.fault(f"the fixture {name!r:.80} comes twice")
            names[name] = each.place
        return names

    def schema(self) -> Schema:
        """A text, or several."""
        name: Schema = {"type": "string", "minLength": 1}
        return name if self._single else {"anyOf": [name, {"type": "array", "items": name}]}


class Variables:
    """Values by name."""

    def read(self, node: Node, what: str) -> dict[str, Any]:
        """Static values by name."""
        values: dict[str, Any] = {}
        for name, (place, value) in node.mapping(what).items():
            check_name(name, place)
            values[name] = Static(tree(value), value.place, lambda given: given, name)
        return values

    def schema(self) -> Schema:
        """An object."""
        return {"type": "object"}
