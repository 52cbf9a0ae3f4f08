"""The neutral model: what every importer produces, and what both writers consume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

SAME, TEXT, NUMBER, QUOTED = "same", "text", "number", "quoted"
"""How the value of a reference is used: as it is, as a text, as an integer, percent-encoded."""
JSON, HEADER, COOKIE, INPUT, PATTERN, ADDRESS = "json", "header", "cookie", "input", "pattern", "address"
"""Where a capture finds its value: see ``Capture``."""


class ImportProblem(Exception):
    """A file cannot be imported; the text says where it is wrong, what was given, what is allowed and what to do."""


@dataclass(frozen=True)
class Reference:
    """The value of a capture or of an environment variable, in the place of a recorded one."""

    name: str
    secret: bool = False
    """True: an environment variable."""
    form: str = TEXT


@dataclass(frozen=True)
class Text:
    """A text, some parts of which may be references."""

    parts: tuple[str | Reference, ...] = ()

    @classmethod
    def of(cls, text: str) -> Text:
        """A literal text."""
        return cls((text,) if text else ())

    @property
    def literal(self) -> str | None:
        """The text, if it has no references."""
        return None if self.references else "".join(part for part in self.parts if isinstance(part, str))

    @property
    def references(self) -> list[Reference]:
        """The references in it."""
        return [part for part in self.parts if isinstance(part, Reference)]

    def with_literals(self, change: Callable[[str], Sequence[str | Reference]]) -> Text:
        """The same with each literal part replaced."""
        parts: list[str | Reference] = []
        for part in self.parts:
            parts += [part] if isinstance(part, Reference) else [each for each in change(part) if each != ""]
        return Text(tuple(parts))


Json = Union[None, bool, int, float, Text, "list[Json]", "dict[str, Json]"]


@dataclass(frozen=True)
class Place:
    """Where in a request a value is: ``path`` (its key is the segment before), ``query``, ``header``, ``form``,
    ``json`` or ``raw``, and the name it has there."""

    kind: str
    key: str


Change = Callable[[Place, Text], Text]
NumberChange = Callable[[Place, int], Json]


@dataclass(frozen=True)
class File:
    """The content of a file that is not in the recording, by its path."""

    path: str
    lines_joined: bool = False
    """Whether line breaks are removed, as curl's ``--data @FILE`` does."""


@dataclass(frozen=True)
class Part:
    """A part of a multipart body; without a file name it is a form field."""

    name: str
    content: Text | bytes | File
    filename: str | None = None
    mime: str = ""


@dataclass(frozen=True)
class JsonBody:
    """A body for ``json=``."""

    value: Json


@dataclass(frozen=True)
class FormBody:
    """A URL-encoded form."""

    fields: tuple[tuple[str, Text], ...]


@dataclass(frozen=True)
class MultipartBody:
    """A form in parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class RawBody:
    """A body that is sent as it is."""

    content: Text | bytes | File


Body = JsonBody | FormBody | MultipartBody | RawBody | None


@dataclass(frozen=True)
class Capture:
    """A value that a reply hands out.

    ``json``: ``path`` leads to it in the body. ``header``: ``key``, and ``pattern`` if it is only a part of it.
    ``cookie``: ``key``. ``input``: ``pattern`` finds it in an attribute of an HTML tag. ``pattern``: its first group
    finds it in the body. ``address``: its first group finds it in the URL that the last redirect led to.
    """

    name: str
    kind: str
    key: str = ""
    path: tuple[str | int, ...] = ()
    pattern: str = ""
    index: int = 0
    """How many matches of the pattern come before the right one."""
    number: bool = False
    encoded: bool = False
    """Whether the value is encoded there: in an attribute of HTML with entities, else with percent signs."""


@dataclass(frozen=True)
class Step:
    """One request."""

    method: str
    origin: str
    """Scheme, host and port; empty: those of the base URL."""
    path: tuple[Text, ...]
    """The segments between the slashes, percent-encoded as they were recorded."""
    query: tuple[tuple[str, Text], ...] = ()
    raw_query: str = ""
    """The query as it was recorded."""
    headers: tuple[tuple[str, Text], ...] = ()
    body: Body = None
    auth: tuple[Text, Text] | None = None
    proxy: Text | None = None
    expect: tuple[int | str, ...] = ()
    """The statuses that count as success, if they are not the usual ones."""
    follow: bool = True
    """Whether redirects are followed."""
    timeout: float | None = None
    captures: tuple[Capture, ...] = ()
    pause_s: float = 0.0
    """The think time before it."""
    label: str | None = None
    """Its name in reports, if the importer has a better one than its path gives."""

    def changed(self, change: Change, change_number: NumberChange = lambda place, number: number) -> Step:
        """The same with ``change`` applied to each text in it, and ``change_number`` to each integer of a JSON body."""
        before = ["", *(segment.literal or "" for segment in self.path)]
        return replace(
            self,
            path=tuple(change(Place("path", key), each) for key, each in zip(before, self.path, strict=False)),
            query=tuple((key, change(Place("query", key), each)) for key, each in self.query),
            headers=tuple((key, change(Place("header", key), each)) for key, each in self.headers),
            body=_changed_body(self.body, change, change_number),
        )

    def references(self) -> set[Reference]:
        """All references in it."""
        found: set[Reference] = set()

        def collect(place: Place, text: Text) -> Text:
            found.update(text.references)
            return text

        self.changed(collect)
        for text in (*(self.auth or ()), *([self.proxy] if self.proxy else [])):
            found.update(text.references)
        return found


def _changed_body(body: Body, change: Change, change_number: NumberChange) -> Body:
    if isinstance(body, JsonBody):
        return JsonBody(_changed_json(body.value, "", change, change_number))
    if isinstance(body, FormBody):
        return FormBody(tuple((key, change(Place("form", key), each)) for key, each in body.fields))
    if isinstance(body, MultipartBody):
        return MultipartBody(
            tuple(
                replace(part, content=change(Place("form", part.name), part.content))
                if isinstance(part.content, Text)
                else part
                for part in body.parts
            )
        )
    if isinstance(body, RawBody) and isinstance(body.content, Text):
        return RawBody(change(Place("raw", ""), body.content))
    return body


def _changed_json(value: Json, key: str, change: Change, change_number: NumberChange) -> Json:
    if isinstance(value, Text):
        return change(Place("json", key), value)
    if isinstance(value, dict):
        return {name: _changed_json(each, name, change, change_number) for name, each in value.items()}
    if isinstance(value, list):
        return [_changed_json(each, key, change, change_number) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return change_number(Place("json", key), value)
    return value


def json_of(value: object) -> Json:
    """A plain value, as ``json`` makes them, in the model."""
    if isinstance(value, str):
        return Text.of(value)
    if isinstance(value, Mapping):
        return {str(key): json_of(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_of(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(type(value).__name__)


@dataclass(frozen=True)
class Scenario:
    """One load test."""

    name: str
    steps: tuple[Step, ...]
    about: str = ""
    new_visitor: bool = False
    """Whether each iteration begins without cookies."""
    open_places: tuple[str, ...] = ()
    """What the reader has to put in, as comments."""


@dataclass
class Recording:
    """What a file comes to: the load tests, what they need, and what was left out of them."""

    source: str
    base_url: str
    scenarios: list[Scenario]
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables, and what each one is."""
    notes: list[str] = field(default_factory=list)
    """What the reader has to know: what was left out, what cannot be the same."""

    def steps(self) -> Iterator[Step]:
        """The requests of all scenarios."""
        for scenario in self.scenarios:
            yield from scenario.steps

    def reads_files(self) -> bool:
        """Whether a body has the content of a file of the disk."""
        bodies = [step.body for step in self.steps()]
        contents = [part.content for body in bodies if isinstance(body, MultipartBody) for part in body.parts]
        contents += [body.content for body in bodies if isinstance(body, RawBody)]
        return any(isinstance(each, File) for each in contents)


@dataclass(frozen=True)
class ImportOptions:
    """What the command line says about an import."""

    name: str
    """Of the load test, and the beginning of the names of environment variables."""
    base_url: str | None = None
    hosts: tuple[str, ...] = ()
    static: bool = False
    think_times: bool = False
    headers: frozenset[str] = frozenset()
    """Names, in lower case, of headers to keep that would be left out."""
    can_capture: Callable[[Capture], bool] = lambda capture: True
    """Whether the writer can express a capture."""
    basic_auth: bool = True
    """Whether the writer has a way to give user and password."""
