"""The shapes of ``expect``, ``capture``, ``if`` and ``files``."""

from __future__ import annotations

import re
from typing import Any

from pytest_ipload.scenario_files.captures import SOURCES, Capture, parse_source
from pytest_ipload.scenario_files.conditions import Condition, parse_condition
from pytest_ipload.scenario_files.expectations import Allowed, Expectation, Pattern
from pytest_ipload.scenario_files.json_paths import JsonPath, parse_path
from pytest_ipload.scenario_files.nodes import Node, Place
from pytest_ipload.scenario_files.shapes import Schema
from pytest_ipload.scenario_files.values import template, tree
from pytest_ipload.settings.parsing import did_you_mean

RESERVED = ("env", "iteration", "user")
"""Names of values that cannot be captured or be a variable."""
REGEX = "regex:"
EXPECTED = ("status", "header.NAME", "body.JSON.PATH", "matches")

_NAME = re.compile(r"[A-Za-z_][\w-]*\Z")
_CLASSES = tuple(f"{digit}xx" for digit in range(1, 6))


class Expect:
    """What a reply has to be: a mapping, or the status alone."""

    def read(self, node: Node, what: str) -> Expectation:
        """The expectation."""
        if not isinstance(node.value, dict):
            return Expectation(*_statuses(node))
        statuses: tuple[int | str, ...] = ()
        status_patterns: tuple[re.Pattern[str], ...] = ()
        headers: list[tuple[str, Allowed]] = []
        body: list[tuple[JsonPath, Allowed]] = []
        matches: Pattern | None = None
        for key, (place, value) in node.mapping(what).items():
            kind, _, rest = key.partition(".")
            if key == "status":
                statuses, status_patterns = _statuses(value)
            elif key == "matches":
                matches = _pattern(value.text("matches").removeprefix(REGEX), value.place)
            elif kind == "header" and rest:
                headers.append((rest, _allowed(value)))
            elif kind == "body" or key.startswith("body["):
                body.append((_path(key, place), _allowed(value)))
            else:
                known = ", ".join(EXPECTED)
                raise place.fault(
                    f"unknown key {key!r:.80}{did_you_mean(kind, ('status', 'header', 'body', 'matches'))} in expect; "
                    f"allowed: {known}"
                )
        return Expectation(statuses, status_patterns, tuple(headers), tuple(body), matches)

    def schema(self) -> Schema:
        """A status, or an object."""
        status: Schema = {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^([1-5]xx|regex:.+)$"},
            ]
        }
        statuses = {"anyOf": [status, {"type": "array", "items": status, "minItems": 1}]}
        properties = {"status": statuses, "matches": {"type": "string", "minLength": 1}}
        patterns: Schema = {r"^header\..+$": {}, r"^body([.\[].+)?$": {}}
        return {
            "anyOf": [
                statuses,
                {
                    "type": "object",
                    "properties": properties,
                    "patternProperties": patterns,
                    "additionalProperties": False,
                },
            ]
        }


def _statuses(node: Node) -> tuple[tuple[int | str, ...], tuple[re.Pattern[str], ...]]:
    nodes = node.value if isinstance(node.value, list) else [node]
    statuses: list[int | str] = []
    patterns: list[re.Pattern[str]] = []
    for each in nodes:
        value = each.value
        if isinstance(value, str) and value.startswith(REGEX):
            compiled = _pattern(value.removeprefix(REGEX), each.place)
            if compiled.templates:
                raise each.fault("a status cannot have values (${...}) in it")
            patterns.append(re.compile(value.removeprefix(REGEX)))
        elif value in _CLASSES or (type(value) is int and 100 <= value <= 599):
            statuses.append(value)
        else:
            raise each.fault(
                f"{each.kind} is not a status; allowed: 100 to 599, {', '.join(_CLASSES)}, regex:..., a list"
            )
    if not nodes:
        raise node.fault("expect: an empty list allows no status at all")
    return tuple(statuses), tuple(patterns)


def _allowed(node: Node) -> Allowed:
    """A value, a list of values, or ``regex:``."""
    nodes = node.value if isinstance(node.value, list) else [node]
    if not nodes:
        raise node.fault("an empty list allows nothing; give at least one value")
    return Allowed([_alternative(each) for each in nodes])


def _alternative(node: Node) -> Any:
    if isinstance(node.value, str) and node.value.startswith(REGEX):
        return _pattern(node.value.removeprefix(REGEX), node.place)
    return tree(node)


def _pattern(text: str, place: Place) -> Pattern:
    try:
        return Pattern(template(text, place))
    except re.error as error:
        raise place.fault(f"{text!r:.100} is not a valid regular expression: {error}") from None


def _path(key: str, place: Place) -> Any:
    try:
        rest = key.removeprefix("body")
        if rest == ".":
            raise ValueError("give a path, as in body.items.0.id")
        return parse_path(rest.removeprefix("."))
    except ValueError as error:
        raise place.fault(f"{key!r:.80}: {error}") from None


class Captures:
    """Names of values, and where in the reply they are found."""

    def read(self, node: Node, what: str) -> tuple[Capture, ...]:
        """The captures."""
        captures = []
        for name, (place, value) in node.mapping(what).items():
            check_name(name, place)
            source = value.text(f"capture {name!r:.80}")
            try:
                captures.append(Capture(name, source, parse_source(source)))
            except ValueError as error:
                raise value.fault(f"capture {name!r:.80}: {error}") from None
        return tuple(captures)

    def schema(self) -> Schema:
        """An object of texts."""
        source: Schema = {
            "type": "string",
            "pattern": r"^(body([.\[].+)?|header\..+|cookie\..+|regex:.+)$",
            "description": f"One of {SOURCES}",
        }
        return {
            "type": "object",
            "propertyNames": {"pattern": _NAME.pattern.replace("\\Z", "$")},
            "additionalProperties": source,
        }


def check_name(name: str, place: Place) -> None:
    """Whether a value can have this name. Raises ScenarioFileError."""
    if not _NAME.match(name):
        raise place.fault(f"{name!r:.80} is not a valid name of a value; allowed: letters, digits, _ and -")
    if name in RESERVED:
        raise place.fault(
            f"{name!r:.80} has a meaning of its own in ${{...}}; choose another name than {', '.join(RESERVED)}"
        )


class ConditionShape:
    """A condition."""

    def read(self, node: Node, what: str) -> Condition:
        """The condition; true and false as they are."""
        if isinstance(node.value, bool):
            return parse_condition(str(node.value).lower(), node.place)
        return parse_condition(node.text(what), node.place)

    def schema(self) -> Schema:
        """A text."""
        return {"type": ["string", "boolean"]}
