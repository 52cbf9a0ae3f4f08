"""An OpenAPI document: its text, and its references, which are followed with a limit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from pytest_ipload.importers.recording import ImportProblem
from pytest_ipload.importers.untrusted_json import kind_of, parsed

_MOST_HOPS = 50
_MOST_VALUES = 2_000_000


def is_openapi(text: str) -> bool:
    """Whether a text looks like OpenAPI or its predecessor Swagger, in JSON or YAML."""
    head = text[:20_000]
    if head.lstrip()[:1] == "{":
        return re.search(r'"(?:openapi|swagger)"\s*:\s*"', text) is not None
    return re.search(r"(?m)^[\"']?(?:openapi|swagger)[\"']?\s*:\s*[\"']?\d", head) is not None


def content_of(text: str) -> Any:
    """The content of the document. Raises ImportProblem."""
    return parsed(text) if text.lstrip()[:1] == "{" else _yaml(text)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportProblem("a document in YAML needs PyYAML: pip install 'pytest-ipload[yaml]'") from None

    class Loader(yaml.SafeLoader):
        """Without dates: an example such as 2026-01-31 is a text."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        content = yaml.load(text, Loader=Loader)  # a SafeLoader: plain values only
        if _size(content, {}) > _MOST_VALUES:
            raise ImportProblem(f"its aliases amount to more than {_MOST_VALUES} values")
        return content
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ImportProblem(f"{place}not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ImportProblem(f"not valid YAML: {str(error).splitlines()[0]}") from None
    except (RecursionError, ValueError):
        raise ImportProblem("not usable: its values are nested too deeply or are too large") from None


def _size(value: Any, known: dict[int, int]) -> int:
    """The number of values, with those that aliases repeat. Raises RecursionError for one that is in itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        inside = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(each, known) for each in inside)
    return known[id(value)]


class Document:
    """The root of a document. Its nodes are mappings and lists; places are written as JSON pointers, ``#/paths``."""

    def __init__(self, content: Any) -> None:
        if not isinstance(content, Mapping):
            raise ImportProblem(f"{kind_of(content)} was given; an OpenAPI document is an object")
        self.root: Mapping[str, Any] = content

    def version(self) -> None:
        """Raise ImportProblem unless it is OpenAPI 3."""
        version = str(self.root.get("openapi", ""))
        if "swagger" in self.root:
            raise ImportProblem(f"swagger {self.root['swagger']!s:.10} is not supported; convert it to OpenAPI 3 first")
        if not version.startswith("3."):
            raise ImportProblem(f"#/openapi: {version[:20]!r} was given; versions 3.0 and 3.1 are supported")

    def resolved(self, value: Any, place: str) -> tuple[Any, str]:
        """The value, or what its ``$ref`` refers to, and where that is. Raises ImportProblem."""
        for _ in range(_MOST_HOPS):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value, place
            reference = value["$ref"]
            found = self._at(reference, place)
            more = {key: each for key, each in value.items() if key not in ("$ref", "summary", "description")}
            value = {**found, **more} if more and isinstance(found, Mapping) else found
            place = reference
        raise ImportProblem(f"{place}: its $ref leads to itself")

    def _at(self, reference: str, place: str) -> Any:
        if not reference.startswith("#"):
            raise ImportProblem(
                f"{place}/$ref: {reference[:80]!r} is another file; bundle all files into one document first"
            )
        value: Any = self.root
        for key in reference.removeprefix("#").split("/")[1:]:
            key = unquote(key).replace("~1", "/").replace("~0", "~")
            if isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, Mapping) and key in value:
                value = value[key]
            else:
                raise ImportProblem(f"{place}/$ref: {reference[:80]!r} does not exist")
        return value

    def mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        """An object, with its ``$ref`` followed; nothing is an empty one. Raises ImportProblem."""
        found, place = self.resolved(value, place)
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            raise ImportProblem(f"{place}: {kind_of(found)} was given; it has to be an object")
        return found

    def objects(self, value: Any, place: str) -> list[Mapping[str, Any]]:
        """A list of objects, with each ``$ref`` followed. Raises ImportProblem."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise ImportProblem(f"{place}: {kind_of(value)} was given; it has to be an array")
        return [self.mapping(each, f"{place}/{index}") for index, each in enumerate(value)]


def escaped_key(key: object) -> str:
    """A key in a JSON pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")
