"""Whatever was recorded: what is written is valid, formatted, and sends the same again."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hars import check_with_ruff
from support.http_server import Hit, RecordingServer

from pytest_ipload import LoadSession
from pytest_ipload.importers.importer_table import importer_of
from pytest_ipload.importers.python_writer import write_python
from pytest_ipload.importers.recording import ImportOptions, ImportProblem, Recording
from pytest_ipload.importers.yaml_writer import write_yaml
from pytest_ipload.scenario_files.scenarios import read_scenarios
from pytest_ipload.scenario_files.script import Script

OPTIONS = ImportOptions("shop")
AWKWARD = (
    "'",
    '"',
    "\\",
    "\n",
    "${x}",
    "{y}",
    "{{",
    "}}",
    "%",
    "$",
    "#",
    " ",
    "é",
    "☃",
    "🛒",
    "\x00",
    "\x7f",
    "\u2028",
    "/",
    "- a: b",
)
# No letters and digits in a row that would look like a token, and nothing before @, which would be a password.
text = st.lists(
    st.sampled_from([*AWKWARD, "a", "7", "x y"]) | st.characters(codec="utf-8", exclude_characters="@"), max_size=6
).map("".join)
names = st.lists(st.sampled_from([*AWKWARD, "a", "b c", "class", "None"]), min_size=1, max_size=3).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
pairs = st.lists(st.tuples(names, text), max_size=3)
bodies = st.one_of(
    st.none(),
    values.map(lambda value: ("application/json", json.dumps(value))),
    pairs.map(lambda value: ("application/x-www-form-urlencoded", urlencode(value))),
    text.map(lambda value: ("text/plain; charset=utf-8", value)),
)
header_text = st.text("abc\"'{}$\\ é;=,☃", max_size=8).map(str.strip)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """A request without a reply."""
    segments = st.lists(text.filter(lambda each: each not in (".", "..")), max_size=3)
    path = "/".join(["p", *(quote(each, safe="") for each in draw(segments))])
    query = draw(st.one_of(pairs.map(urlencode), pairs.map(lambda value: urlencode(value, quote_via=quote))))
    url = f"http://shop.test/{path}" + (f"?{query}" if query else "")
    request: dict[str, Any] = {
        "method": draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])),
        "url": url,
        "headers": [{"name": "X-Note", "value": draw(header_text)}],
    }
    if (body := draw(bodies)) is not None and body[1]:
        request["postData"] = {"mimeType": body[0], "text": body[1]}
    return {"request": request, "response": {"status": 200, "headers": [], "content": {}}}


def har_of(recorded: list[dict[str, Any]]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": recorded}})


def imported(har: str) -> Recording:
    recording, _ = importer_of(har, None).read(har, "shop.har", OPTIONS)
    return recording


def meaning(method: str, target: str, mime: str, body: bytes) -> tuple[Any, ...]:
    """What a server makes of a request."""
    parts = urlsplit(f"http://h{target}")
    content: Any = body
    if mime == "application/json" and body:
        content = json.loads(body)
    elif mime.startswith("application/x-www") and body:
        content = parse_qsl(body.decode(), keep_blank_values=True)
    query = parse_qsl(parts.query, keep_blank_values=True)
    return method, unquote(parts.path), query, mime, content


def recorded_meaning(entry: dict[str, Any]) -> tuple[Any, ...]:
    request = entry["request"]
    post = request.get("postData", {"mimeType": "", "text": ""})
    target = request["url"].removeprefix("http://shop.test")
    return meaning(request["method"], target, post["mimeType"], post["text"].encode())


def seen_meaning(hit: Hit) -> tuple[Any, ...]:
    headers = {key.lower(): value for key, value in hit.headers.items()}
    return meaning(hit.method, hit.target, headers.get("content-type", ""), hit.body)


def note_of(hit: Hit) -> str:
    """The header as it was given: as Latin-1 if that is enough for it, else as UTF-8."""
    note = hit.headers.get("X-Note", "")
    try:
        return note.encode("latin-1").decode()
    except UnicodeDecodeError:
        return note


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """All modules that the tests here have made; in the end they are checked and formatted as ruff's defaults say."""
    written: list[str] = []
    yield written
    check_with_ruff(written, tmp_path_factory.mktemp("written"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(recorded=st.lists(entries(), min_size=1, max_size=3))
def test_python_sends_what_was_recorded(
    server: RecordingServer, modules: list[str], recorded: list[dict[str, Any]]
) -> None:
    recording = imported(har_of(recorded))
    module = write_python(recording, OPTIONS)
    modules.append(module)
    assert recording.variables == {}
    namespace: dict[str, Any] = {}
    exec(compile(module, "test_shop.py", "exec"), namespace)
    server.hits.clear()
    with LoadSession(base_url=server.url("")) as session:
        namespace["test_shop"](session)
    assert list(map(seen_meaning, server.hits)) == list(map(recorded_meaning, recorded))
    assert [note_of(hit) for hit in server.hits] == [each["request"]["headers"][0]["value"] for each in recorded]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(recorded=st.lists(entries(), min_size=1, max_size=3))
def test_scenario_files_send_what_was_recorded(
    server: RecordingServer, tmp_path: Path, recorded: list[dict[str, Any]]
) -> None:
    if any(each["request"]["method"] == "REPORT" or "☃" in each["request"]["headers"][0]["value"] for each in recorded):
        with pytest.raises(ImportProblem, match=r"a scenario file cannot have (the method REPORT|a header)"):
            write_yaml(imported(har_of(recorded)), OPTIONS)
        return
    written = write_yaml(imported(har_of(recorded)), OPTIONS)
    file = tmp_path / "shop.ipload.yaml"
    file.write_text(written, encoding="utf-8")
    [scenario] = read_scenarios(file, file.name, None)
    script = Script(scenario, [tmp_path])
    server.hits.clear()
    user: Any = SimpleNamespace(index=0, iteration=0, source_address=None)
    with LoadSession(base_url=server.url("")) as session:
        script.iterate(script.set_up(user, session, {}), {})
    assert list(map(grouped, map(seen_meaning, server.hits))) == list(map(grouped, map(recorded_meaning, recorded)))


def grouped(request: tuple[Any, ...]) -> tuple[Any, ...]:
    """A mapping has all values of a name together."""
    method, path, query, mime, content = request
    is_form = mime.startswith("application/x-www") and isinstance(content, list)
    by_name = operator.itemgetter(0)
    return method, path, sorted(query, key=by_name), mime, sorted(content, key=by_name) if is_form else content
