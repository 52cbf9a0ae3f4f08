"""Shapes: what a value of a scenario file may be. Each one reads nodes, and describes itself as JSON Schema.

``read`` raises ScenarioFileError with the place of what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from pytest_ipload.base.errors import IploadError
from pytest_ipload.scenario_files.key_hints import key_hint
from pytest_ipload.scenario_files.nodes import Node, Place
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.values import getter_of, template, tree

Schema = dict[str, Any]


class Shape(Protocol):
    """What a value may be."""

    def read(self, node: Node, what: str) -> Any:
        """The value of a node, checked; ``what`` names it in errors."""

    def schema(self) -> Schema:
        """The same as JSON Schema."""


class Key(NamedTuple):
    """A key of a mapping: what its value is, and what it means."""

    shape: Shape
    help: str
    required: bool = False


Keys = Mapping[str, Key]


class Text:
    """A text without values in it."""

    def read(self, node: Node, what: str) -> str:
        """The text."""
        text = node.text(what)
        if "${" in text:
            raise node.fault(f"{what} cannot have values (${{...}}) in it: it is needed before there are any")
        return text

    def schema(self) -> Schema:
        """A text."""
        return {"type": "string", "minLength": 1}


class TextWithValues:
    """A text that may have values in it."""

    def read(self, node: Node, what: str) -> Any:
        """The text or its template."""
        return template(node.text(what), node.place)

    def schema(self) -> Schema:
        """A text."""
        return {"type": "string", "minLength": 1}


class AnyValue:
    """Any value, with values in its texts."""

    def read(self, node: Node, what: str) -> Any:
        """The tree."""
        return tree(node)

    def schema(self) -> Schema:
        """Anything."""
        return {}


class Simple(AnyValue):
    """A text, a number, true, false or nothing."""

    def read(self, node: Node, what: str) -> Any:
        """The value or its template."""
        if isinstance(node.value, (dict, list)):
            raise node.fault(f"{what} must be a text or a number, not {node.kind}")
        return tree(node)

    def schema(self) -> Schema:
        """One of these."""
        return {"type": ["string", "number", "boolean", "null"]}


class MapOf:
    """A mapping with any keys."""

    def __init__(self, shape: Shape, *, filled: bool = False) -> None:
        """Its values have a ``shape``. If it has to be ``filled``, there is at least one."""
        self._shape = shape
        self._filled = filled

    def read(self, node: Node, what: str) -> dict[str, Any]:
        """The values by their keys."""
        entries = node.mapping(what)
        if self._filled and not entries:
            raise node.fault(f"{what} is empty")
        return {key: self._shape.read(entry.node, f"{what}.{key}") for key, entry in entries.items()}

    def schema(self) -> Schema:
        """An object."""
        return {
            "type": "object",
            "additionalProperties": self._shape.schema(),
            **({"minProperties": 1} if self._filled else {}),
        }


class ListOf:
    """A list, or with ``or_one`` a single value in its place."""

    def __init__(self, shape: Shape, *, or_one: bool = False) -> None:
        self._shape = shape
        self._or_one = or_one

    def read(self, node: Node, what: str) -> list[Any]:
        """The values."""
        if self._or_one and not isinstance(node.value, list):
            return [self._shape.read(node, what)]
        return [self._shape.read(each, f"{what}[{number}]") for number, each in enumerate(node.items(what))]

    def schema(self) -> Schema:
        """An array."""
        array: Schema = {"type": "array", "items": self._shape.schema()}
        return {"anyOf": [self._shape.schema(), array]} if self._or_one else array


class Static(NamedTuple):
    """A setting: it is needed before there are users, so only variables and the environment may be in it."""

    value: Any
    place: Place
    parse: Callable[[Any], Any]
    what: str

    def resolved(self, scope: Scope) -> Any:
        """The value, parsed. Raises ScenarioFileError; ScenarioFailed if a value is not there."""
        value = getter_of(self.value)(scope)
        try:
            return self.parse(value)
        except (ValueError, IploadError) as error:
            text = str(error)
            raise self.place.fault(text if text.startswith(self.what) else f"{self.what}: {text}") from None


class Setting:
    """A setting with its parser."""

    def __init__(self, parse: Callable[[Any], Any], schema: Schema) -> None:
        self._parse = parse
        self._schema = schema

    def read(self, node: Node, what: str) -> Static:
        """The setting; parsed when what its values refer to is known."""
        return Static(tree(node), node.place, self._parse, what.rpartition(".")[2])

    def schema(self) -> Schema:
        """As given."""
        return dict(self._schema)


class Fields(dict[str, Any]):
    """The values of a mapping with known keys."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}
        """Of the keys."""


class Record:
    """A mapping with known keys."""

    def __init__(self, keys: Keys, *, what: str = "") -> None:
        """``what`` names it in errors, where its place in the file does not."""
        self.keys = keys
        self._what = what

    def read(self, node: Node, what: str) -> Fields:
        """The values by their keys; unknown keys are refused."""
        what = self._what or what
        entries = node.mapping(what)
        fields = Fields(node.place)
        for key, (place, _) in entries.items():
            if key not in self.keys:
                raise place.fault(
                    f"unknown key {key!r:.80}{key_hint(key, self.keys)} in {what}; allowed: {', '.join(self.keys)}"
                )
        for key, (place, value) in entries.items():
            fields.places[key] = place
            fields[key] = self.keys[key].shape.read(value, key)
        for key, each in self.keys.items():
            if each.required and key not in entries:
                raise node.fault(f"{what} needs the key {key!r:.80}: {each.help}")
        return fields

    def schema(self) -> Schema:
        """An object without other properties."""
        required = [key for key, each in self.keys.items() if each.required]
        return {
            "type": "object",
            "properties": {key: described(each) for key, each in self.keys.items()},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }


def described(key: Key) -> Schema:
    """The schema of a key, with what it means."""
    return {"description": key.help, **key.shape.schema()}
