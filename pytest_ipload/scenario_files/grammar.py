"""The keys of a scenario file: the only table of them. The reader, the schema and the documentation follow it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_ipload.load.test_data.data_feeds import ORDERS, SEQUENTIAL
from pytest_ipload.scenario_files.key_hints import key_hint
from pytest_ipload.scenario_files.nodes import Node, Place
from pytest_ipload.scenario_files.reply_shapes import Captures, ConditionShape, Expect
from pytest_ipload.scenario_files.setting_shapes import (
    DURATION,
    LIMITS,
    SPAN,
    URL,
    FilePath,
    Loads,
    Names,
    OneOf,
    Thresholds,
    Times,
    Variables,
)
from pytest_ipload.scenario_files.shapes import (
    AnyValue,
    Fields,
    Key,
    Keys,
    ListOf,
    MapOf,
    Record,
    Schema,
    Shape,
    Simple,
    Text,
    TextWithValues,
)
from pytest_ipload.scenario_files.values import Template

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
PER_USER, PER_ITERATION = "user", "iteration"


class Step(NamedTuple):
    """A step as it was read: what kind it is, its keys, and where it is."""

    kind: str
    fields: Fields
    place: Place


class StepShape:
    """One step: a mapping with exactly one key that says what it does."""

    def read(self, node: Node, what: str) -> Step:
        """The step."""
        entries = node.mapping("a step")
        kinds = [key for key in entries if key in STEPS and key != "if"] or [key for key in entries if key == "if"]
        if not kinds:
            place = next((place for place, _ in entries.values()), node.place)
            hint = next((h for key in entries if (h := key_hint(key, STEPS))), "")
            if not hint and any(key_hint(key, ("expect",)) for key in entries):
                hint = " ('expect' is a key of a request)"
            raise place.fault(f"a step needs one of these keys{hint}: {', '.join(STEPS)}")
        if len(kinds) > 1:
            place = entries[kinds[1]].place
            raise place.fault(f"one step cannot have both {kinds[0]!r} and {kinds[1]!r}; begin another step with '- '")
        [kind] = kinds
        fields = Record(STEPS[kind], what=f"a step {kind!r}").read(node, what)
        self._check(kind, fields)
        return Step(kind, fields, fields.places[kind])

    def _check(self, kind: str, fields: Fields) -> None:
        """What one key says of another, and what a URL cannot have."""
        if kind in METHODS and (found := _CONTROL.search(str(fields[kind]))) is not None:
            raise fields.places[kind].fault(f"{kind}: a URL cannot have the character {found[0]!r} in it; write %XX")
        if "json" in fields and fields["json"] is None:
            raise fields.places["json"].fault("'json' is empty; write the body, such as {}; for null: data: 'null'")
        if "data" in fields and not isinstance(fields["data"], (dict, str, Template)):
            raise fields.places["data"].fault(
                "'data' must be a mapping (a form) or a text; use 'json' for other values"
            )
        if "json" in fields and ("data" in fields or "files" in fields):
            raise fields.places["json"].fault("'json' is the whole body; remove it, or 'data' and 'files'")
        if "files" in fields and "data" in fields and not isinstance(fields["data"], dict):
            raise fields.places["data"].fault("with 'files', 'data' are the other fields of the form: a mapping")
        if kind == "repeat":
            is_inside = fields["repeat"].steps is not None
            if is_inside == ("steps" in fields):
                word = "twice" if is_inside else "nowhere"
                raise fields.places[kind].fault(
                    f"the steps to repeat are given {word}; write 'repeat: 3' and 'steps:' beside it, or "
                    "'repeat: {times: 3, steps: [...]}'"
                )

    def schema(self) -> Schema:
        """By reference: steps may contain steps."""
        return {"$ref": "#/$defs/step"}


def step_schema() -> Schema:
    """What a step may be."""
    return {"oneOf": [{**Record(keys).schema(), "title": kind} for kind, keys in STEPS.items()]}


STEP_LIST = ListOf(StepShape())

_IF = Key(ConditionShape(), "Run the step only if this holds, as in '${stock} > 0'")
_STEPS = Key(STEP_LIST, "The steps in it", required=True)


class Repetition(NamedTuple):
    """How often, and the steps if they are given in the same place."""

    times: Any
    steps: list[Step] | None


_REPETITION: Keys = {
    "times": Key(Times(), "How often", required=True),
    "steps": Key(STEP_LIST, "The steps to repeat", required=True),
}


class RepeatShape:
    """A number, or a mapping of it and the steps."""

    def read(self, node: Node, what: str) -> Repetition:
        """The repetition."""
        if not isinstance(node.value, dict):
            return Repetition(Times().read(node, what), None)
        fields = Record(_REPETITION).read(node, what)
        return Repetition(fields["times"], fields["steps"])

    def schema(self) -> Schema:
        """Either."""
        return {"anyOf": [Times().schema(), Record(_REPETITION).schema()]}


_UPLOAD: Keys = {
    "file": Key(FilePath(), "The path of the file", required=True),
    "name": Key(TextWithValues(), "The file name that is sent. Default: that of the file"),
    "type": Key(TextWithValues(), "The content type"),
}


class UploadShape:
    """A path, or a mapping of it and what is sent with it."""

    def read(self, node: Node, what: str) -> Fields:
        """Its fields."""
        if isinstance(node.value, dict):
            return Record(_UPLOAD).read(node, what)
        fields = Fields(node.place)
        fields["file"] = FilePath().read(node, what)
        return fields

    def schema(self) -> Schema:
        """Either."""
        return {"anyOf": [FilePath().schema(), Record(_UPLOAD).schema()]}


_HEADERS = Key(MapOf(Simple()), "Headers by name; null removes one")
_REQUEST: Keys = {
    "name": Key(TextWithValues(), "The request's name in results. Default: method and path as written"),
    "params": Key(MapOf(AnyValue()), "Parameters of the query; a list repeats one"),
    "headers": _HEADERS,
    "json": Key(AnyValue(), "The body, sent as JSON"),
    "data": Key(AnyValue(), "The body: a mapping is sent as a form, a text as it is"),
    "files": Key(
        MapOf(UploadShape(), filled=True), "Files to upload by the name of their field: a path, or file, name and type"
    ),
    "expect": Key(Expect(), "What the reply has to be; else the request has failed"),
    "capture": Key(Captures(), "Values to take from the reply, by name"),
    "timeout": Key(DURATION, "Timeout of the request, as in 5s"),
    "if": _IF,
}
_INPUTS = Key(MapOf(AnyValue()), "Its inputs by name")
STEPS: Mapping[str, Keys] = {
    **{
        method: {method: Key(TextWithValues(), f"The URL of a {method.upper()} request", required=True), **_REQUEST}
        for method in METHODS
    },
    "step": {"step": Key(Text(), "The name of a step that is timed", required=True), "steps": _STEPS, "if": _IF},
    "think": {
        "think": Key(SPAN, "A pause, as in 2s or 1s-3s; no part of the iteration's time", required=True),
        "if": _IF,
    },
    "repeat": {
        "repeat": Key(RepeatShape(), "How often the steps are run; or times and steps", required=True),
        "steps": Key(STEP_LIST, "The steps to repeat"),
        "if": _IF,
    },
    "if": {
        "if": _IF._replace(required=True),
        "steps": _STEPS,
        "else": Key(STEP_LIST, "The steps if it does not hold"),
    },
    "action": {
        "action": Key(
            TextWithValues(), "The name of an action; or a fixture that is one, as in ${ping}", required=True
        ),
        "with": _INPUTS,
        "name": Key(Text(), "Its name in results. Default: that of the action"),
        "if": _IF,
    },
    "component": {
        "component": Key(FilePath(), "The file of a component", required=True),
        "with": _INPUTS,
        "limits": Key(Record(LIMITS), "What each user's instance may use"),
        "name": Key(Text(), "Its name in results. Default: that of the file"),
        "if": _IF,
    },
}
_LOAD = Key(Loads(), "The keys of the marker ipload, as in users: 50")
_THRESHOLDS = Key(Thresholds(), "What has to hold, as in 'p95 < 200ms'; or a mapping with the marker's keys")
_BASE_URL = Key(URL, "URL against which relative URLs are resolved")
_VARIABLES = Key(Variables(), "Values by name, for ${name}")
DATA: Keys = {
    "file": Key(FilePath(), "A .csv, .jsonl or .ndjson file", required=True),
    "order": Key(OneOf(*ORDERS), f"Which row comes next. Default: {SEQUENTIAL}"),
    "as": Key(Names(single=True), "The name of a row, as in ${row.name}. Default: row"),
    "per": Key(
        OneOf(PER_ITERATION, PER_USER),
        "What a row is for. Default: user if set_up or tear_down use it, else iteration",
    ),
}
SCENARIO: Keys = {
    "load": _LOAD,
    "thresholds": _THRESHOLDS,
    "together": Key(Text(), "The name of a group of scenarios that run together"),
    "fixtures": Key(Names(), "Names of pytest fixtures; their values are ${name}"),
    "data": Key(Record(DATA), "Rows of test data"),
    "set_up": Key(STEP_LIST, "Steps of each user before its iterations; not measured"),
    "steps": Key(STEP_LIST, "The steps of an iteration", required=True),
    "tear_down": Key(STEP_LIST, "Steps of each user after its iterations; not measured"),
}
DEFAULTS: Keys = {
    "headers": _HEADERS,
    "timeout": Key(DURATION, "Timeout of each request"),
    "expect": Key(Expect(), "What each reply has to be, where a step does not say otherwise"),
    "think": Key(SPAN, "A pause after each request of an iteration"),
    "variables": _VARIABLES,
    "load": _LOAD,
    "thresholds": _THRESHOLDS,
}
ENVIRONMENT: Keys = {"base_url": _BASE_URL, "variables": _VARIABLES, "headers": _HEADERS}
FILE: Keys = {
    "base_url": _BASE_URL,
    "defaults": Key(Record(DEFAULTS), "What holds for all scenarios"),
    "environments": Key(
        MapOf(Record(ENVIRONMENT)), "Sets of base_url, variables and headers by name; --ipload-environment chooses"
    ),
    "scenarios": Key(MapOf(Record(SCENARIO), filled=True), "The load tests by name", required=True),
}
TABLES: Mapping[str, Keys] = {
    "file": FILE,
    "scenario": SCENARIO,
    "defaults": DEFAULTS,
    "environment": ENVIRONMENT,
    "data": DATA,
    "request": _REQUEST,
}
"""All tables by name, for the documentation."""


def shape_of_file() -> Shape:
    """The whole file."""
    return Record(FILE, what="a scenario file")


def file_schema() -> Schema:
    """A scenario file as JSON Schema (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenario file of pytest-ipload (*.ipload.yaml)",
        **shape_of_file().schema(),
        "$defs": {"step": step_schema()},
    }
