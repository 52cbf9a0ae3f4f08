"""Writes a recording as a Python module with load tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from pytest_ipload.importers.path_names import default_label, label_of
from pytest_ipload.importers.python_code import (
    WIDTH,
    Expression,
    Group,
    Named,
    byte_string,
    formatted,
    pattern,
    string,
    written,
)
from pytest_ipload.importers.recording import (
    ADDRESS,
    COOKIE,
    HEADER,
    INPUT,
    JSON,
    NUMBER,
    PATTERN,
    QUOTED,
    SAME,
    Body,
    Capture,
    File,
    FormBody,
    ImportOptions,
    Json,
    JsonBody,
    MultipartBody,
    Part,
    RawBody,
    Recording,
    Reference,
    Scenario,
    Step,
    Text,
)
from pytest_ipload.importers.tokens import Names, identifier

_METHODS = frozenset(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
_FIND = '''def find(pattern: str, text: str) -> str:
    """Return what the first group of a pattern matches in a reply."""
    found = re.search(pattern, text)
    assert found, f"nothing in the reply matches {pattern}"
    return found[1]
'''
_FIND_ONE_OF = '''def find_one_of(index: int, pattern: str, text: str) -> str:
    """Return what the first group of a pattern finds in its match with an index."""
    found = re.findall(pattern, text)
    assert index < len(found), f"only {len(found)} in the reply match {pattern}"
    return str(found[index])
'''
_CHECK = '''

@pytest.fixture(scope="module", autouse=True)
def environment_variables() -> None:
    """Fail before the load if an environment variable is missing."""
    NAMES
    missing = [name for name in needed if name not in os.environ]
    if missing:
        pytest.fail(f"set the environment variable {', '.join(missing)}", pytrace=False)
'''
_QUOTED = '''def quoted(value: object) -> str:
    """Return a value as a segment of a URL."""
    return quote(str(value), safe="")
'''


def write_python(recording: Recording, options: ImportOptions) -> str:
    """The module."""
    return _Module(recording, options).text()


def notes_on(recording: Recording) -> list[str]:
    """What the reader has to know of the module."""
    return ["files to send are read from the folder that pytest is started in"] if recording.reads_files() else []


class _Module:
    def __init__(self, recording: Recording, options: ImportOptions) -> None:
        self._recording = recording
        self._think_times = options.think_times
        names = Names()
        self._tests = [
            _Function(scenario, names.unique(f"test_{identifier(scenario.name, 'imported').rstrip('_')}"), self)
            for scenario in recording.scenarios
        ]

    def text(self) -> str:
        bodies = [line for test in self._tests for line in ["", "", *test.lines(self._think_times)]]
        code = "\n".join(bodies) + "\n"
        uses_find, uses_quoted = "find(" in code, "{quoted(" in code
        uses_index = "find_one_of(" in code
        parts = ((_FIND, uses_find), (_FIND_ONE_OF, uses_index), (_QUOTED, uses_quoted))
        helpers = "".join(f"\n\n{part}" for part, used in parts if used)
        imports = self._imports(code, find=uses_find or uses_index, quoted=uses_quoted)
        constants = self._constants()
        return f"{self._docstring()}\n{imports}{constants and chr(10)}{constants}{self._check()}{helpers}{code}"

    def _imports(self, code: str, *, find: bool, quoted: bool) -> str:
        standard = [
            ("import html", "html.unescape(" in code),
            ("import os", bool(self._recording.variables)),
            ("import re", find),
            ("from pathlib import Path", "Path(" in code),
        ]
        names = [name for name, used in (("quote", quoted), ("unquote", "unquote(" in code)) if used]
        lines = [line for line, used in standard if used]
        lines += [f"from urllib.parse import {', '.join(names)}"] if names else []
        third = ["import pytest"] if self._recording.base_url or self._recording.variables else []
        user = ", VirtualUser" if "ipload_user" in code else ""
        third += [f"from pytest_ipload import LoadSession{user}"]
        blocks = ["\n".join(lines), "\n".join(third)]
        return "".join(f"\n{block}\n" for block in blocks if block).lstrip("\n")

    def _docstring(self) -> str:
        recording = self._recording
        requests = sum(len(scenario.steps) for scenario in recording.scenarios)
        count = f"{requests} request{'s' * (requests != 1)}"
        to = f" to {_plain(recording.base_url)}" if recording.base_url else ""
        lines = [f'"""Load test imported from {_plain(recording.source)}: {count}{to}.']
        lines += ["", "Run it with more users: pytest FILE --ipload-users=20 --ipload-duration=30s"]
        if recording.variables:
            lines += ["", "Environment variables that it needs:"]
            lines += [f"  {name}: {_plain(what)}" for name, what in recording.variables.items()]
        return "\n".join([*lines, '"""', ""])

    def _constants(self) -> str:
        lines = [f"BASE_URL = {string(self._recording.base_url)}"] if self._recording.base_url else []
        lines += [f'{name} = os.environ.get({string(name)}, "")' for name in self._recording.variables]
        return "".join(f"{line}\n" for line in lines)

    def _check(self) -> str:
        """A fixture, so that a missing variable is an error of these tests and not of the whole collection."""
        if not self._recording.variables:
            return ""
        names = Group("[", tuple(map(string, self._recording.variables)), "]")
        return _CHECK.replace("NAMES", written(names, 4, "needed = "))

    @property
    def marker(self) -> list[str]:
        """The marker of each test."""
        return ["@pytest.mark.ipload(base_url=BASE_URL)"] if self._recording.base_url else []


class _Function:
    def __init__(self, scenario: Scenario, name: str, module: _Module) -> None:
        self._scenario = scenario
        self._name = name
        self._module = module
        self._captured = {capture.name: capture for step in scenario.steps for capture in step.captures}

    def lines(self, think_times: bool) -> Iterator[str]:
        """The lines of the function."""
        yield from self._module.marker
        pauses = think_times and any(step.pause_s for step in self._scenario.steps)
        arguments = "ipload_session: LoadSession" + (", ipload_user: VirtualUser" if pauses else "")
        yield from self._head(arguments)
        if self._scenario.about:
            yield f'    """{_plain(self._scenario.about)}"""'
        if self._scenario.new_visitor:
            yield "    ipload_session.cookies.clear()  # each iteration is a new visitor"
        yield from (f"    # {_printable(each)}" for each in self._scenario.open_places)
        for step in self._scenario.steps:
            if step.pause_s:
                yield f"    ipload_user.pause({step.pause_s})" if think_times else f"    # {step.pause_s} s later"
            yield "    " + written(self._call(step), 4, "response = " if _uses_response(step) else "")
            for capture in step.captures:
                yield "    " + written(_capture(capture), 4, f"{capture.name} = ")

    def _head(self, arguments: str) -> list[str]:
        line = f"def {self._name}({arguments}) -> None:"
        if len(line) <= WIDTH:
            return [line]
        return [f"def {self._name}(", *(f"    {each}," for each in arguments.split(", ")), ") -> None:"]

    def _call(self, step: Step) -> Expression:
        known = step.method in _METHODS
        head = f"ipload_session.{step.method.lower() if known else 'request'}("
        items: list[Expression] = [] if known else [string(step.method)]
        items.append(self._url(step))
        if step.query and not _query_in_url(step):
            items.append(Named("params=", self._pairs(step.query)))
        if step.headers:
            items.append(Named("headers=", self._pairs(step.headers, header=True)))
        items += self._body(step.body)
        if step.auth:
            items.append(Named("auth=", Group("(", tuple(map(self._text, step.auth)), ")")))
        if step.proxy:
            proxies = [Named(f'"{scheme}": ', self._text(step.proxy)) for scheme in ("http", "https")]
            items.append(Named("proxies=", Group("{", tuple(proxies), "}")))
        if step.follow == (step.method == "HEAD"):  # requests follows redirects unless it is a HEAD request
            items.append(f"allow_redirects={step.follow}")
        if step.timeout is not None:
            items.append(f"timeout={step.timeout:g}")
        if (label := label_of(step)) != default_label(step):
            items.append(f"name={string(label)}")
        if step.expect:
            statuses = [str(each) if isinstance(each, int) else string(each) for each in step.expect]
            items.append(Named("expect=", statuses[0] if len(statuses) == 1 else Group("[", tuple(statuses), "]")))
        return Group(head, tuple(items), ")")

    def _url(self, step: Step) -> str:
        parts: list[str | Reference] = [step.origin]
        for segment in step.path:
            parts += ["/", *segment.parts]
        if _query_in_url(step):
            parts.append(f"?{step.raw_query}")
        return self._text(Text(tuple(part for part in parts if part)))

    def _text(self, text: Text) -> str:
        if text.literal is not None:
            return string(text.literal)
        if len(text.parts) == 1 and isinstance(text.parts[0], Reference) and text.parts[0].form != QUOTED:
            return self._value(text.parts[0])
        return formatted([part if isinstance(part, str) else (self._in_braces(part),) for part in text.parts])

    def _value(self, reference: Reference) -> str:
        if reference.form == NUMBER:
            return f"int({reference.name})"
        capture = self._captured.get(reference.name)
        is_number = capture is not None and capture.number and not reference.secret
        return f"str({reference.name})" if is_number and reference.form != SAME else reference.name

    def _in_braces(self, reference: Reference) -> str:
        return f"quoted({reference.name})" if reference.form == QUOTED else reference.name

    def _pairs(self, pairs: Sequence[tuple[str, Text]], *, header: bool = False) -> Expression:
        """A dictionary; a list of tuples if a name is there twice."""
        values = [self._header(text) if header else self._text(text) for _, text in pairs]
        if header or len({key for key, _ in pairs}) == len(pairs):
            items = [Named(f"{string(key)}: ", value) for (key, _), value in zip(pairs, values, strict=True)]
            return Group("{", tuple(items), "}")
        tuples = [Group("(", (string(key), value), ")") for (key, _), value in zip(pairs, values, strict=True)]
        return Group("[", tuple(tuples), "]")

    def _header(self, text: Text) -> str:
        """http.client sends a text as Latin-1; any other one has to be given in bytes."""
        literal = "".join(part for part in text.parts if isinstance(part, str))
        latin = all(char <= "\xff" for char in literal)
        return self._text(text) if latin else f"{self._text(text)}.encode()"

    def _body(self, body: Body) -> list[Expression]:
        if isinstance(body, JsonBody):
            return [Named("json=", self._json(body.value))]
        if isinstance(body, FormBody):
            return [Named("data=", self._pairs(body.fields))]
        if isinstance(body, MultipartBody):
            parts = [Group("(", (string(part.name), self._part(part)), ")") for part in body.parts]
            return [Named("files=", Group("[", tuple(parts), "]"))]
        return [Named("data=", self._content(body.content))] if isinstance(body, RawBody) else []

    def _part(self, part: Part) -> Expression:
        filename = "None" if part.filename is None else string(part.filename)
        mime = [string(part.mime)] if part.mime else []
        return Group("(", (filename, self._content(part.content), *mime), ")")

    def _content(self, content: Text | bytes | File) -> str:
        if isinstance(content, File):
            text = f"Path({string(content.path)}).read_bytes()"
            return f'{text}.replace(b"\\r", b"").replace(b"\\n", b"")' if content.lines_joined else text
        if isinstance(content, bytes):
            return byte_string(content)
        literal = "".join(part for part in content.parts if isinstance(part, str))
        return self._text(content) if literal.isascii() else f"{self._text(content)}.encode()"

    def _json(self, value: Json) -> Expression:
        if isinstance(value, Text):
            return self._text(value)
        if isinstance(value, dict):
            return Group("{", tuple(Named(f"{string(key)}: ", self._json(each)) for key, each in value.items()), "}")
        if isinstance(value, list):
            return Group("[", tuple(map(self._json, value)), "]")
        return repr(value).replace("e+", "e")


def _uses_response(step: Step) -> bool:
    """Whether a capture reads the response; cookies are the session's."""
    return any(capture.kind != COOKIE for capture in step.captures)


def _query_in_url(step: Step) -> bool:
    """Whether the query has to stand in the URL, because requests would write its parameters in another way."""
    literals = [(key, text.literal) for key, text in step.query]
    if any(value is None for _, value in literals):
        return False
    return bool(step.raw_query) and urlencode([(key, value or "") for key, value in literals]) != step.raw_query


def _capture(capture: Capture) -> Expression:
    found = _source(capture)
    if capture.pattern:
        given = (pattern(capture.pattern), found)
        found = (
            Group("find_one_of(", (str(capture.index), *given), ")") if capture.index else Group("find(", given, ")")
        )
    if capture.kind == INPUT or (capture.kind == PATTERN and capture.encoded):
        return Group("html.unescape(", (found,), ")")
    return Group("unquote(", (found,), ")") if capture.encoded else found


def _source(capture: Capture) -> Expression:
    if capture.kind == JSON:
        keys = [f"[{key if isinstance(key, int) else string(key)}]" for key in capture.path]
        return f"response.json(){''.join(keys)}"
    if capture.kind == HEADER:
        return f"response.headers[{string(capture.key)}]"
    if capture.kind == COOKIE:
        cookie = f"ipload_session.cookies[{string(capture.key)}]"
        return f"str({cookie})" if capture.encoded else cookie
    return "response.url" if capture.kind == ADDRESS else "response.text"


def _printable(text: str) -> str:
    """A text that can stand in a comment."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _plain(text: str) -> str:
    """A text that can stand in a docstring."""
    return _printable(text).replace("\\", "/").replace('"', "'")
