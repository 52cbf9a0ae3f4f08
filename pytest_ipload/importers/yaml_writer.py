"""Writes a recording as a scenario file, ``*.ipload.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from urllib.parse import urlencode

from pytest_ipload.importers.path_names import default_label, label_of
from pytest_ipload.importers.recording import (
    ADDRESS,
    COOKIE,
    HEADER,
    JSON,
    NUMBER,
    Body,
    Capture,
    File,
    FormBody,
    ImportOptions,
    ImportProblem,
    Json,
    JsonBody,
    MultipartBody,
    Part,
    RawBody,
    Recording,
    Scenario,
    Step,
    Text,
)
from pytest_ipload.importers.tokens import Names, identifier
from pytest_ipload.importers.yaml_text import Comment, lines_of

_METHODS = frozenset(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
_LARGEST = 1 << 20
_BOUNDARY = "----pytest-ipload"


def can_capture(capture: Capture) -> bool:
    """Whether ``capture`` of a scenario file can express it: it decodes nothing, and looks into bodies only."""
    if capture.kind == ADDRESS or (capture.kind == HEADER and capture.pattern) or capture.encoded or capture.index:
        return False
    return not any(isinstance(key, str) and re.search(r"['\"]", key) for key in capture.path)


def write_yaml(recording: Recording, options: ImportOptions) -> str:
    """The scenario file. Raises ImportProblem for what none can have."""
    names = Names()
    scenarios = {names.unique(_name(scenario.name)): _scenario(scenario, options) for scenario in recording.scenarios}
    document = {**({"base_url": recording.base_url} if recording.base_url else {}), "scenarios": scenarios}
    text = "\n".join([*_head(recording), *lines_of(document)]) + "\n"
    if len(text.encode("utf-8", "surrogatepass")) > _LARGEST:
        raise _problem("so much: it would be larger than 1 MiB")
    return text


def notes_on(recording: Recording) -> list[str]:
    """What is not the same in a scenario file."""
    notes = []
    if find_spec("yaml") is None:
        notes.append("to run a scenario file, PyYAML is needed: pip install 'pytest-ipload[yaml]'")
    if recording.reads_files():
        notes.append("files to send are read from the folder of the scenario file, else from pytest's rootdir")
    if any(scenario.new_visitor for scenario in recording.scenarios):
        notes.append("in a scenario file, a user keeps its cookies from one iteration to the next")
    if any(not step.follow and step.method != "HEAD" for step in recording.steps()):
        notes.append("in a scenario file, redirects are always followed, also those that were not")
    if any(reference.form == NUMBER for step in recording.steps() for reference in step.references()):
        notes.append("in a scenario file, a number that comes from a text or a variable is sent as a text")
    return notes


def _name(name: str) -> str:
    """A name that a scenario can have; some mean something else to pytest."""
    found = identifier(name, "imported").rstrip("_")
    return f"scenario_{found}" if found.startswith(("pytest", "setup_", "teardown_")) else found


def _head(recording: Recording) -> list[str]:
    count = sum(len(scenario.steps) for scenario in recording.scenarios)
    lines = [f"# Load test imported from {_plain(recording.source)}: {count} request{'s' * (count != 1)}."]
    lines += ["# Environment variables that it needs:"] if recording.variables else []
    return lines + [f"#   {name}: {_plain(what)}" for name, what in recording.variables.items()]


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _problem(what: str) -> ImportProblem:
    return ImportProblem(f"a scenario file cannot have {what}; use --as python")


def _scenario(scenario: Scenario, options: ImportOptions) -> dict[str, object]:
    steps: list[object] = [Comment(_plain(each)) for each in scenario.open_places]
    for step in scenario.steps:
        if step.pause_s:
            pause = f"{step.pause_s:g}s"
            steps.append({"think": pause} if options.think_times else Comment(f"{step.pause_s} s later"))
        steps.append(_step(step))
    return {"steps": steps}


def _step(step: Step) -> dict[str, object]:
    if step.method not in _METHODS:
        raise _problem(f"the method {step.method}")
    if step.proxy is not None:
        raise _problem("a proxy")
    in_url = _query_in_url(step)
    url = step.origin.replace("${", "$${") + "".join(f"/{_text(segment)}" for segment in step.path)
    shown: dict[str, object] = {step.method.lower(): f"{url}?{_literal(step.raw_query)}" if in_url else url}
    if (label := label_of(step)) != default_label(step):
        shown["name"] = _literal(label)
    if step.query and not in_url:
        shown["params"] = _fields(step.query)
    body, mime = _body(step.body)
    headers = {key: _text(value) for key, value in step.headers}
    if mime:
        headers["Content-Type"] = mime
    if any(char > "\xff" for value in headers.values() for char in value):
        raise _problem("a header with other characters than those of Latin-1")
    if headers:
        shown["headers"] = headers
    shown.update(body)
    if step.timeout is not None:
        shown["timeout"] = f"{step.timeout:g}s"
    if step.expect:
        shown["expect"] = step.expect[0] if len(step.expect) == 1 else list(step.expect)
    if step.captures:
        shown["capture"] = {capture.name: _source(capture) for capture in step.captures}
    return shown


def _query_in_url(step: Step) -> bool:
    """Whether the query has to stand in the URL, because its parameters would be written in another way."""
    pairs = [(key, text.literal) for key, text in step.query]
    if any(value is None for _, value in pairs):
        return False
    keys = [key for key, _ in pairs]
    in_order = keys == sorted(keys, key=keys.index)  # a list takes all values of a name together
    return bool(step.raw_query) and not (in_order and urlencode([(k, v or "") for k, v in pairs]) == step.raw_query)


def _literal(text: str) -> str:
    return text.replace("${", "$${")


def _text(text: Text) -> str:
    shown, before = [], ""
    for part in text.parts:
        if isinstance(part, str):
            shown.append(_literal(part))
        else:
            # A dollar sign before a value would be taken for an escape.
            if before.endswith("$"):
                raise _problem("a dollar sign in front of a value")
            shown.append(f"${{{'env.' if part.secret else ''}{part.name}}}")
        before = shown[-1]
    return "".join(shown)


def _fields(pairs: Sequence[tuple[str, Text]]) -> dict[str, object]:
    """Values by their names; of a name that is there several times, a list."""
    values: dict[str, list[str]] = {}
    for key, text in pairs:
        values.setdefault(key, []).append(_text(text))
    return {key: each[0] if len(each) == 1 else each for key, each in values.items()}


def _body(body: Body) -> tuple[dict[str, object], str]:
    """The keys of a body, and the content type that has to be given with them."""
    if isinstance(body, JsonBody):
        return {"json": _json(body.value, 0)}, ""
    if isinstance(body, FormBody):
        return {"data": _fields(body.fields)}, ""
    if isinstance(body, MultipartBody):
        return _multipart(body.parts)
    if isinstance(body, RawBody):
        if not isinstance(body.content, Text):
            raise _problem("a file or binary data as a body")
        return {"data": _text(body.content)}, ""
    return {}, ""


def _multipart(parts: Sequence[Part]) -> tuple[dict[str, object], str]:
    """Files by their paths; a form without files of the disk is written out."""
    files = [part for part in parts if isinstance(part.content, File)]
    if files:
        fields = [(part.name, part.content) for part in parts if isinstance(part.content, Text)]
        if len({part.name for part in files}) != len(files) or len(fields) + len(files) != len(parts):
            raise _problem("two files under one name, or binary data, in a form")
        uploads = {part.name: _upload(part) for part in files}
        return {**({"data": _fields(fields)} if fields else {}), "files": uploads}, ""
    lines = []
    for part in parts:
        if not isinstance(part.content, Text):
            raise _problem("binary data in a form")
        filename = f'; filename="{_quoted(part.filename)}"' if part.filename is not None else ""
        lines.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(part.name)}"{filename}\r\n')
        lines.append(f"Content-Type: {_literal(part.mime)}\r\n" if part.mime else "")
        lines.append(f"\r\n{_text(part.content)}\r\n")
    return {"data": f"{''.join(lines)}--{_BOUNDARY}--\r\n"}, f"multipart/form-data; boundary={_BOUNDARY}"


def _upload(part: Part) -> object:
    assert isinstance(part.content, File)
    shown = {"file": _literal(part.content.path)}
    if part.filename is not None:
        shown["name"] = _literal(part.filename)
    if part.mime:
        shown["type"] = _literal(part.mime)
    return shown


def _quoted(name: str) -> str:
    """As browsers escape names in the head of a part."""
    return _literal(name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A"))


def _json(value: Json, depth: int) -> object:
    if depth > 40:
        raise _problem("JSON that is nested more than 40 levels deep")
    if isinstance(value, Text):
        return _text(value)
    if isinstance(value, dict):
        return {key: _json(each, depth + 1) for key, each in value.items()}
    return [_json(each, depth + 1) for each in value] if isinstance(value, list) else value


def _source(capture: Capture) -> str:
    if capture.kind == JSON:
        return f"body{''.join(map(_key, capture.path))}"
    if capture.kind == HEADER:
        return f"header.{capture.key}"
    return f"cookie.{capture.key}" if capture.kind == COOKIE else f"regex:{capture.pattern}"


def _key(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch(r"[^.\[\]\s'\"]+", key) else f'["{key}"]'
