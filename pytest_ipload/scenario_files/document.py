"""YAML to nodes with their places.

Scalars are those of YAML 1.2, as far as JSON has them: ``on`` and ``no`` are texts, and so are ``12:30``, ``012`` and
dates. Whatever can be misread is refused: a key that comes twice, keys that are not texts, tags. The size of a document
is limited, and so are its depth and what its aliases amount to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.errors import ScenarioFileError
from pytest_ipload.scenario_files.nodes import Entry, Node, Place, Scalar

if TYPE_CHECKING:
    import yaml

LARGEST = 1 << 20
"""Bytes of a file."""
_DEEPEST = 50
_MOST_NODES = 50_000
"""Of a document, those that aliases repeat included."""

_CONSTANTS: dict[str, Scalar] = {"": None, "~": None}
for _word, _value in (("null", None), ("true", True), ("false", False)):
    _CONSTANTS |= dict.fromkeys((_word, _word.title(), _word.upper()), _value)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})\Z")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")


def read_document(path: Path, shown: str) -> Node:
    """The document in a file, which is ``shown`` by this name. Raises ScenarioFileError."""
    start = Place(shown, 1, 1)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise start.fault(f"the file cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise start.fault(f"the file is larger than {LARGEST // 1024} KiB; put test data into a file of its own")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(shown, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise place.fault(f"not UTF-8 (byte {content[error.start]:#04x}); save the file as UTF-8") from None
    return parse(text, shown)


def parse(text: str, shown: str) -> Node:
    """The document in a text. Raises ScenarioFileError."""
    yaml = _yaml(shown)
    try:
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader), shown).document()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(shown, before.count("\n") + 1, error.position - before.rfind("\n"))
        character = chr(int(error.character)).encode("unicode_escape").decode()
        raise place.fault(f"the character {character} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown, 1, 1)
        context = f" {error.context}" if error.context else ""
        raise place.fault(f"not valid YAML:{context} {error.problem}{_hint(text, place.line, error)}") from None


def _yaml(shown: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ScenarioFileError(f"{shown}: scenario files need PyYAML: pip install 'pytest-ipload[yaml]'") from None
    return yaml


def _hint(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    """What to do about the usual slips."""
    lines = text.splitlines()
    around = "\n".join(lines[max(0, line - 2) : line])
    if "'\\t'" in str(error.problem) or re.search(r"^ *\t", around, re.MULTILINE):
        return "; indent with spaces, not with tabs"
    if re.search(r"[\[{].*(?:\$\{|\w[\[{])", around):
        return (
            "; inside of {...} and [...], put texts with brackets in quotes, as in '${name}', 'body.items[0].id' and "
            "'p95{GET /} < 1s'"
        )
    if "mapping values" in str(error.problem):
        return "; put a text that has ': ' in it in quotes"
    return ""


class _Reader:
    """Builds nodes from the events of PyYAML's parser, which come one by one."""

    def __init__(self, events: Iterator[Any], shown: str) -> None:
        self._events = events
        self._shown = shown
        self._anchors: dict[str, Node | None] = {}
        """None while the value is being read."""
        self._nodes = 0

    def document(self) -> Node:
        """The only document."""
        import yaml

        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise Place(self._shown, 1, 1).fault("the file is empty; it needs the key 'scenarios'")
        root = self._node(next(self._events), 0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._place(after).fault("a second document begins here; a scenario file has one document")
        return root

    def _place(self, event: Any) -> Place:
        return Place(self._shown, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        import yaml

        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        self._count(1, place)
        if event.tag is not None:
            raise place.fault(f"tags such as {event.tag:.60} are not supported; write a text in quotes instead")
        if depth > _DEEPEST:
            raise place.fault(f"nested more than {_DEEPEST} levels deep")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before = self._nodes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event.value) if event.implicit[0] else _whole(event.value, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.append(self._node(item, depth + 1))
        else:
            value = self._mapping(depth)
        node = Node(value, place, 1 + self._nodes - before)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, depth: int) -> dict[str, Entry]:
        import yaml

        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            is_plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key.value, str):
                raise key.fault(f"a key must be a text, not {key.kind}; put it in quotes")
            if key.value == "<<" and is_plain:
                merged = {**self._merged(value), **merged}
                continue
            if key.value in entries:
                first = entries[key.value].place.line
                raise key.fault(f"the key {key.value!r:.80} comes twice, here and in line {first}; remove one of them")
            entries[key.value] = Entry(key.place, value)
        return {**merged, **entries} if merged else entries

    def _merged(self, value: Node) -> dict[str, Entry]:
        """The entries that ``<<`` adds: of a mapping, or of several, the first one winning."""
        entries: dict[str, Entry] = {}
        for node in value.value if isinstance(value.value, list) else [value]:
            entries = {**node.mapping("what << merges"), **entries}
        return entries

    def _alias(self, name: str, place: Place) -> Node:
        if name not in self._anchors:
            raise place.fault(f"the alias *{name:.60} refers to an anchor &{name:.60} that does not exist before it")
        node = self._anchors[name]
        if node is None:
            raise place.fault(f"the alias *{name:.60} is inside of what it refers to")
        self._count(node.size, place)
        return node

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > _MOST_NODES:
            raise place.fault(f"more than {_MOST_NODES} values, those that aliases repeat included")


def _scalar(text: str) -> Scalar:
    """The value of a scalar without quotes."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text) and math.isfinite(number := float(text)):
        return number
    return text


def _whole(text: str, place: Place) -> str:
    """The text with characters in the place of the surrogates that PyYAML makes of their escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise place.fault("a text with half a surrogate pair in it, such as \\ud800, cannot be sent") from None
    return text
