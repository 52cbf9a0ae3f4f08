"""Data by a JSON schema: examples and defaults first, then the simplest value that the schema allows."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_ipload.importers.openapi_document import Document, escaped_key
from pytest_ipload.importers.pattern_texts import text_for
from pytest_ipload.importers.recording import ImportProblem
from pytest_ipload.importers.untrusted_json import kind_of

_DEEPEST = 12
_MOST_VALUES = 5_000
_LONGEST = 300
_FORMATS = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00Z", "duration": "P1D",
    "email": "user@example.com", "idn-email": "user@example.com", "hostname": "example.com",
    "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "uri": "https://example.com/",
    "url": "https://example.com/", "uri-reference": "/path", "iri": "https://example.com/",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "byte": "dGV4dA==", "binary": "text", "regex": ".*",
    "json-pointer": "/path", "password": "password",
}  # fmt: skip
_SAMPLES = (
    "A", "a", "1", "AB", "ab", "12", "ABC", "abc", "123", "1234", "12345", "ABCD", "abcd1234", "123456", "2026-01-31",
    "+1234567890", "a-b", "A1", "example", "en", "EN", "USD", "de-DE", "1.0.0", "12:00", "#aabbcc", "user@example.com",
)  # fmt: skip
NOTHING = object()
"""A property that is left out."""


class SchemaData:
    """Makes values, and keeps notes on what it could not satisfy."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _MOST_VALUES
        self.notes: dict[str, None] = {}
        self.unmet: dict[str, None] = {}
        """The notes since the last time that this was emptied."""

    def value(self, schema: Any, place: str) -> Any:
        """A value for a request. Raises ImportProblem for a schema that is not usable."""
        self._left = _MOST_VALUES
        value = self._value(schema, place, (), required=True)
        return None if value is NOTHING else value

    def _value(self, given: Any, place: str, open_places: tuple[str, ...], *, required: bool) -> Any:
        self._left -= 1
        schema, place = self._document.resolved(given, place)
        if isinstance(schema, bool) or schema is None:
            return "text" if required else NOTHING
        if not isinstance(schema, Mapping):
            raise ImportProblem(f"{place}: {kind_of(schema)} was given; a schema is an object")
        if place in open_places or len(open_places) >= _DEEPEST or self._left < 0:
            return None if required and not _is_array(schema) else [] if required else NOTHING
        inside = (*open_places, place)
        schema = self._combined(schema, place, inside)
        found = given_value(schema)
        if found is not NOTHING:
            return found
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, place, inside)
        if kind == "array":
            return self._array(schema, place, inside)
        return self._scalar(schema, kind, place)

    def _combined(self, schema: Mapping[str, Any], place: str, inside: tuple[str, ...]) -> Mapping[str, Any]:
        """One schema of ``allOf``, and of the first of ``oneOf`` and ``anyOf`` that is not null."""
        for _ in range(_DEEPEST):
            if not any(key in schema for key in ("allOf", "oneOf", "anyOf")):
                break
            rest = {key: each for key, each in schema.items() if key not in ("allOf", "oneOf", "anyOf")}
            for key in ("allOf", "oneOf", "anyOf"):
                parts = schema.get(key)
                if not isinstance(parts, list):
                    continue
                for index, part in enumerate(parts):
                    found, where = self._document.resolved(part, f"{place}/{key}/{index}")
                    if not isinstance(found, Mapping) or (key != "allOf" and found.get("type") == "null"):
                        continue
                    if where not in inside:
                        rest = merged(rest, found)
                    if key != "allOf":
                        break
            schema = rest
        return schema

    def _object(self, schema: Mapping[str, Any], place: str, inside: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required") if isinstance(schema.get("required"), list) else []
        assert isinstance(required, Sequence)
        value: dict[str, Any] = {}
        for name, each in (properties if isinstance(properties, Mapping) else {}).items():
            target, _ = self._document.resolved(each, f"{place}/properties/{escaped_key(name)}")
            if isinstance(target, Mapping) and target.get("readOnly") is True:
                continue
            where = f"{place}/properties/{escaped_key(name)}"
            found = self._value(each, where, inside, required=name in required)
            if found is not NOTHING:
                value[str(name)] = found
        for name in required:
            if isinstance(name, str) and name not in value and not isinstance(properties, Mapping):
                value[name] = "text"
        return value

    def _array(self, schema: Mapping[str, Any], place: str, inside: tuple[str, ...]) -> list[Any]:
        least = _number(schema, "minItems") or 0
        most = _number(schema, "maxItems")
        count = min(max(1, int(least)), 1000 if most is None else int(most), 1000)
        items = schema.get("items", {})
        first = self._value(items, f"{place}/items", inside, required=least > 0)
        if first is NOTHING or count <= 0:
            return []
        values = [first]
        if count > 1 and schema.get("uniqueItems") is True:
            enum = self._document.mapping(items, place).get("enum")
            others = enum if isinstance(enum, list) else [_variant(first, number) for number in range(1, count)]
            return [*values, *(each for each in others if each != first)][:count]
        return values * count

    def _scalar(self, schema: Mapping[str, Any], kind: str, place: str) -> Any:
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return (
            number_for(schema, whole=kind == "integer") if kind in ("integer", "number") else self._text(schema, place)
        )

    def _text(self, schema: Mapping[str, Any], place: str) -> str:
        least, most = _number(schema, "minLength") or 0, _number(schema, "maxLength")
        text = _FORMATS.get(str(schema.get("format")), "text")
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            return self._for_pattern(pattern, int(least), most, place)
        if len(text) < least:
            text = (text * (int(least) // max(1, len(text)) + 1))[: min(int(least), 10_000)]
        return text if most is None else text[: max(0, int(most))]

    def _for_pattern(self, pattern: str, least: int, most: float | None, place: str) -> str:
        for sample in samples_for(pattern, least):
            if least <= len(sample) <= (math.inf if most is None else most):
                return sample
        note = f"{place}: no text for the pattern {pattern[:60]!r} was found; put one in"
        self.notes[note] = self.unmet[note] = None
        return "text"


def samples_for(pattern: str, least: int = 0) -> Iterator[str]:
    """Those of a number of usual texts that match a pattern, then one that is made for it."""
    if len(pattern) > 200:
        return
    # A repeated group may take time that doubles with each character of a text that is all the same.
    longest = 12 if re.search(r"\)[*+{]", pattern) else 40
    same = (char * length for char in "1aA" for length in range(1, longest + 1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what other dialects read in another way
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return
    # Where a repetition is in a repeated group, only short texts are tried, for the same reason.
    most = 20 if re.search(r"[*+?|,].*\)[*+{]", pattern) else _LONGEST
    samples = (*_SAMPLES, *_FORMATS.values(), *same)
    yield from (sample for sample in samples if len(sample) <= most and compiled.search(sample))
    made = text_for(pattern, least)
    if made is not None and len(made) <= most and compiled.search(made):
        yield made


def given_value(schema: Mapping[str, Any]) -> Any:
    """The example, default, constant or first allowed value of a schema; NOTHING if it has none."""
    for key in ("example", "const", "default"):
        if key in schema and not (key == "default" and schema[key] is None):
            return schema[key]
    for key in ("examples", "enum"):
        values = schema.get(key)
        if isinstance(values, list) and values:
            return next((each for each in values if each is not None), None)
    return NOTHING


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two schemas that both have to hold."""
    result = {**second, **first}
    for key in ("properties",):
        if isinstance(first.get(key), Mapping) and isinstance(second.get(key), Mapping):
            result[key] = {**second[key], **first[key]}
    for key in ("required", "allOf", "oneOf", "anyOf"):
        if isinstance(first.get(key), list) and isinstance(second.get(key), list):
            result[key] = [*first[key], *second[key]] if key in ("required", "allOf") else first[key]
    for key, choose in (("minimum", max), ("minLength", max), ("minItems", max), ("maximum", min), ("maxLength", min)):
        if isinstance(first.get(key), (int, float)) and isinstance(second.get(key), (int, float)):
            result[key] = choose(first[key], second[key])
    return result


def number_for(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """The number next to 1 that a schema allows."""
    low, high = _number(schema, "minimum"), _number(schema, "maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step: float = 1 if whole else 0.5
    # In 3.0 these two say of the others that they are exclusive; in 3.1 they are limits themselves.
    if above is True and low is not None:
        low += step
    elif isinstance(above, (int, float)) and not isinstance(above, bool):
        low = above + step if low is None else max(low, above + step)
    if below is True and high is not None:
        high -= step
    elif isinstance(below, (int, float)) and not isinstance(below, bool):
        high = below - step if high is None else min(high, below - step)
    value: float = 1
    if low is not None:
        value = max(value, low)
    if high is not None:
        value = min(value, high)
    if low is not None and high is not None and low > high:  # both exclusive, less than two steps apart
        value = (low + high) / 2
    multiple = _number(schema, "multipleOf")
    if multiple is not None and multiple > 0 and abs(value) < 1e15:
        value = math.ceil(value / multiple) * multiple
        if high is not None and value > high:
            value = math.floor(high / multiple) * multiple
    if not math.isfinite(value):
        return 1
    return math.ceil(value) if whole else value


def _number(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 else None


def _kind(schema: Mapping[str, Any]) -> str:
    given = schema.get("type")
    kinds = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)]
    kind = next((each for each in kinds if each != "null"), "null" if kinds else "")
    if kind:
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _is_array(schema: Mapping[str, Any]) -> bool:
    return _kind(schema) == "array"


def _variant(value: Any, number: int) -> Any:
    """Another value of the same kind."""
    if isinstance(value, str):
        return f"{value}{number}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value + number
    if isinstance(value, Mapping) and value:
        key, each = next(iter(value.items()))
        return {**value, key: _variant(each, number)}
    return value
