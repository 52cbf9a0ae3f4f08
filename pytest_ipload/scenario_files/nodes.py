"""What a document consists of: values, each with its place in the file."""

from __future__ import annotations

from typing import Any, NamedTuple

from pytest_ipload.base.errors import ScenarioFileError

Scalar = str | int | float | bool | None


class Place(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"

    def fault(self, problem: str) -> ScenarioFileError:
        """The error that something is wrong here."""
        return ScenarioFileError(f"{self}: {problem}")


class Entry(NamedTuple):
    """The place of a key, and its value."""

    place: Place
    node: Node


class Node:
    """A scalar, a list of nodes, or a mapping from text to nodes. One that aliases refer to is in several places."""

    __slots__ = ("place", "size", "value")

    def __init__(self, value: Scalar | list[Node] | dict[str, Entry], place: Place, size: int = 1) -> None:
        """``size`` is the number of nodes in it, itself included, with those that aliases repeat."""
        self.value = value
        self.place = place
        self.size = size

    @property
    def kind(self) -> str:
        """What it is, in words."""
        value = self.value
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return f"the number {value}"
        if isinstance(value, str):
            return f"the text {value!r:.80}"
        return "a list" if isinstance(value, list) else "a mapping"

    def fault(self, problem: str) -> ScenarioFileError:
        """The error that something is wrong with this value."""
        return self.place.fault(problem)

    def mapping(self, what: str) -> dict[str, Entry]:
        """Its entries. Raises ScenarioFileError if it is not a mapping."""
        if not isinstance(self.value, dict):
            raise self.fault(f"{what} must be a mapping (key: value), not {self.kind}")
        return self.value

    def items(self, what: str) -> list[Node]:
        """Its nodes. Raises ScenarioFileError if it is not a list."""
        if not isinstance(self.value, list):
            raise self.fault(f"{what} must be a list (lines that begin with '- '), not {self.kind}")
        return self.value

    def text(self, what: str) -> str:
        """Its text. Raises ScenarioFileError if it is not a text, or has nothing in it."""
        if not isinstance(self.value, str) or not self.value.strip():
            quoted = "; put it in quotes" if isinstance(self.value, (int, float)) else ""
            raise self.fault(f"{what} must be a text, not {self.kind}{quoted}")
        return self.value

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value
