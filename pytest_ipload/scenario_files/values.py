"""Values with ``${...}`` in them: parsed once, then functions of a user's scope.

::

    reference = "${" name { "." key | "[" index "]" } [ ":-" default ] "}"        "$${" is the text "${"

A value that is exactly one reference keeps its type; in a longer text it becomes text, as JSON writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.scenario_files.json_paths import JsonPath, find, parse_path, written
from pytest_ipload.scenario_files.nodes import Node, Place
from pytest_ipload.scenario_files.scope import Scope

Getter = Callable[[Scope], Any]
USER_VALUES = ("index", "source_address")

_OPENING = re.compile(r"\$?\$\{")
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*)(?P<path>(?:[.\[](?:(?!:-)[^}])*)?)(?::-(?P<default>.*))?\Z", re.DOTALL
)
_HELP = "write it as in ${name}, ${row.column}, ${captured.items[0].id}, ${user.index} or ${env.NAME:-default}"


class Reference(NamedTuple):
    """What stands between ``${`` and ``}``."""

    name: str
    path: JsonPath
    default: str | None

    @property
    def text(self) -> str:
        """As it is written, without the default."""
        path = written(self.path)
        return f"{self.name}{'.' if path and not path.startswith('[') else ''}{path}"

    def getter(self) -> Getter:
        """The value as a function of the scope, which raises ScenarioFailed if there is none."""
        look_up = self._look_up()
        default, text = self.default, self.text
        if default is not None:

            def with_default(scope: Scope) -> Any:
                try:
                    return look_up(scope)
                except LookupError:
                    return default

            return with_default

        def get(scope: Scope) -> Any:
            try:
                return look_up(scope)
            except LookupError as error:
                why = "it has no value here" if isinstance(error, KeyError) else str(error)
                raise ScenarioFailed(f"${{{text}}}: {why}") from None

        return get

    def _look_up(self) -> Getter:
        name, path = self.name, self.path
        if name == "iteration":
            return lambda scope: scope.user.iteration
        if name == "user":
            attribute = str(path[0])
            return lambda scope: getattr(scope.user, attribute)
        if name == "env":
            variable = str(path[0])
            return lambda scope: scope.environ[variable]
        if not path:
            return lambda scope: scope.values[name]
        if len(path) == 1 and isinstance(key := path[0], str):

            def get_key(scope: Scope) -> Any:
                value = scope.values[name]
                return value[key] if type(value) is dict and key in value else _inside(value, path)

            return get_key
        return lambda scope: _inside(scope.values[name], path)


def _inside(value: Any, path: JsonPath) -> Any:
    """A part of a value. Objects of fixtures show their public attributes."""
    for index, key in enumerate(path):
        is_data = isinstance(value, (Mapping, Sequence, str, int, float, bool, type(None)))
        if is_data or not isinstance(key, str) or key.startswith("_") or not hasattr(value, key):
            return find(value, path[index:])
        value = getattr(value, key)
    return value


class Template:
    """A text with references in it."""

    __slots__ = ("parts", "place")

    def __init__(self, parts: tuple[str | Reference, ...], place: Place) -> None:
        self.parts = parts
        self.place = place

    @property
    def references(self) -> Iterator[Reference]:
        """Those in it."""
        return (part for part in self.parts if isinstance(part, Reference))

    def getter(self) -> Getter:
        """The value as a function of the scope."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Reference):
            return self.parts[0].getter()
        first, last = self.parts[0], self.parts[-1]
        if len(self.parts) == 2 and isinstance(first, str) and isinstance(last, Reference):  # as most URLs
            before, get = first, last.getter()
            return lambda scope: before + as_text(get(scope))
        pieces = [part.getter() if isinstance(part, Reference) else part for part in self.parts]
        return lambda scope: "".join([each if isinstance(each, str) else as_text(each(scope)) for each in pieces])

    def __str__(self) -> str:
        """As it is written, without defaults: the values may be secrets."""
        return "".join(part if isinstance(part, str) else f"${{{part.text}}}" for part in self.parts)

    @property
    def is_reference(self) -> bool:
        """Whether there is nothing but one reference."""
        return len(self.parts) == 1

    def shown(self) -> str:
        """The text as a name: ``GET /items/{id}``."""
        return "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in self.parts)


def as_text(value: Any) -> str:
    """A value inside of a longer text, as JSON writes it; a text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, dict, list)) or value is None:
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def template(text: str, place: Place) -> str | Template:
    """A text, parsed; a plain ``str`` if there are no references in it. Raises ScenarioFileError."""
    parts: list[str | Reference] = []
    plain, position = "", 0
    while (opening := _OPENING.search(text, position)) is not None:
        plain += text[position : opening.start()]
        if opening[0].startswith("$$"):
            plain += "${"
            position = opening.end()
            continue
        end = text.find("}", opening.end())
        if end < 0:
            raise place.fault(f"'${{' without its '}}' in {text!r:.80}; {_HELP}; the text '${{' itself is written $${{")
        if plain:
            parts.append(plain)
            plain = ""
        parts.append(reference(text[opening.end() : end], place))
        position = end + 1
    plain += text[position:]
    if plain:
        parts.append(plain)
    return Template(tuple(parts), place) if any(isinstance(part, Reference) for part in parts) else plain


def reference(text: str, place: Place) -> Reference:
    """What stands between the braces. Raises ScenarioFileError."""
    match = _REFERENCE.match(text)
    if match is None:
        raise place.fault(f"${{{text:.80}}} is not a valid value; {_HELP}")
    name, default = match["name"], match["default"]
    if default is not None and "${" in default:
        raise place.fault(f"${{{text:.80}}}: a default is a plain text, without values in it; {_HELP}")
    try:
        path = parse_path(match["path"].removeprefix("."))
    except ValueError as error:
        raise place.fault(f"${{{text:.80}}}: {error}") from None
    if name == "user" and (len(path) != 1 or path[0] not in USER_VALUES):
        raise place.fault(f"${{{text:.80}}}: known of a user: {', '.join(f'${{user.{each}}}' for each in USER_VALUES)}")
    if name == "env" and len(path) != 1:
        raise place.fault(f"${{{text:.80}}}: name the variable of the environment, as in ${{env.TOKEN}}")
    if name == "iteration" and path:
        raise place.fault(f"${{{text:.80}}}: the iteration is a number; write ${{iteration}}")
    return Reference(name, path, default)


def tree(node: Node) -> Any:
    """A whole value: the same dicts and lists, with a ``Template`` where a text has references."""
    if isinstance(node.value, dict):
        return {key: tree(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [tree(each) for each in node.value]
    return template(node.value, node.place) if isinstance(node.value, str) else node.value


def as_written(value: Any) -> Any:
    """A tree with the texts of its templates."""
    if isinstance(value, dict):
        return {key: as_written(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_written(each) for each in value]
    return str(value) if isinstance(value, Template) else value


def templates_in(value: Any) -> Iterator[Template]:
    """All templates of a tree."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from templates_in(each)


def compiled(value: Any) -> Getter | None:
    """A tree as a function of the scope; None if it is the same in each scope."""
    if isinstance(value, Template):
        return value.getter()
    if isinstance(value, dict):
        getters = {key: compiled(each) for key, each in value.items()}
        if not any(getters.values()):
            return None
        pairs = [(key, getter, value[key]) for key, getter in getters.items()]
        return lambda scope: {key: plain if get is None else get(scope) for key, get, plain in pairs}
    if isinstance(value, list):
        each_one = [(compiled(each), each) for each in value]
        if not any(get for get, _ in each_one):
            return None
        return lambda scope: [plain if get is None else get(scope) for get, plain in each_one]
    return None


def getter_of(value: Any) -> Getter:
    """The same, as a function in any case."""
    return compiled(value) or (lambda scope: value)
