"""Requests as bytes: what is put together here is what requests prepares and urllib3 sends."""

from __future__ import annotations

import json as stdlib_json
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests import PreparedRequest
from requests.sessions import merge_setting
from requests.structures import CaseInsensitiveDict
from support.stock import StockSession

from pytest_ipload.transport.message import templates
from pytest_ipload.transport.message.templates import (
    FORM,
    JSON,
    NO_BODY,
    NONE,
    RAW,
    Body,
    Target,
    Template,
    encode_body,
    encode_form,
)

URL = "http://host.test:8080/path?query=1"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = TEXT | st.integers() | st.booleans() | st.none() | st.binary(max_size=5) | st.floats(allow_nan=True)
FORMS = st.dictionaries(TEXT, SCALARS | st.lists(SCALARS, max_size=3), max_size=3)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)

CYCLE: list[Any] = []
CYCLE.append(CYCLE)


def prepared_url(url: str) -> str | None:
    request = PreparedRequest()
    request.prepare_url(url, None)
    return request.url


# --- targets -------------------------------------------------------------------------------------------------------


def assert_like_requests(url: str) -> None:
    """The target of a URL is what requests prepares and sends; a URL that requests refuses may only fail later."""
    try:
        expected = prepared_url(url)
        sent, _ = StockSession().send_and_catch("GET", url)
    except requests.RequestException as error:
        with pytest.raises(type(error)):
            Template.make("GET", Target.of(url), CaseInsensitiveDict(), None, NONE)
        return
    target = Target.of(url)
    assert target.url == expected
    assert sent.split(b" ")[1] == target.target
    assert target.url.startswith(target.origin)
    assert target.where == target.origin + target.path


@settings(deadline=None)
@given(st.from_regex(templates._UNTOUCHED, fullmatch=True))
@example("http://h/a?")
@example("http://h//a")
@example("http://h/a//")
@example("http://h/%41")
@example("http://h:80/")
@example("https://h:443/")
@example("http://h:65536/")
@example("http://127.0.0.1:8000/a;b=c/d,e?f=g&h")
def test_a_url_that_is_taken_as_it_is_is_one_that_requests_leaves_alone(url: str) -> None:
    assert_like_requests(url)


@settings(deadline=None)
@given(
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["h", "Host.Test", "127.0.0.1", "[::1]", "b\xfccher.test", "h:80", "h:8080", "h:0080", "a.b."]),
    st.text(st.sampled_from("/.%aA0 ~?#&=;:@\xe4[]'\"\\|"), max_size=8),
)
def test_any_other_url_is_left_to_requests(scheme: str, host: str, rest: str) -> None:
    assert_like_requests(f"{scheme}://{host}/{rest}")


@pytest.mark.parametrize(
    ("url", "origin", "path", "target"),
    [
        ("http://h", "http://h", "/", b"/"),
        ("http://H/a b?c d#e", "http://h", "/a%20b", b"/a%20b?c%20d"),
        ("http://h/a/../b", "http://h", "/b", b"/b"),
        ("https://h:444/a?b", "https://h:444", "/a", b"/a?b"),
    ],
)
def test_a_target_has_its_parts(url: str, origin: str, path: str, target: bytes) -> None:
    made = Target.of(url)
    assert (made.origin, made.path, made.target) == (origin, path, target)


@pytest.mark.parametrize("url", ["http://", "h", "http://*/", "http://[::1"])
def test_a_url_that_cannot_be_used_raises_what_requests_raises(url: str) -> None:
    with pytest.raises(requests.RequestException):
        Target.of(url)


# --- bodies --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(FORMS)
def test_a_form_is_encoded_as_requests_encodes_it(data: dict[Any, Any]) -> None:
    assert encode_form(data) == PreparedRequest._encode_params(data)


@pytest.mark.parametrize("data", [{1: "a"}, {b"a": "b"}, {"a": ("b", "c")}, {"a": {"b": "c"}}, {"a": [["b"]]}])
def test_a_form_of_other_things_is_left_to_requests(data: dict[Any, Any]) -> None:
    assert encode_form(data) is None
    assert encode_body(data, None) is None


def prepared_body(data: Any, json: Any) -> tuple[Any, Any]:
    request = PreparedRequest()
    request.headers = CaseInsensitiveDict()
    request.method = "POST"
    request.prepare_body(data, None, json)
    return request.body, request.headers.get("Content-Length")


@settings(deadline=None)
@given(st.none() | st.binary(max_size=20) | TEXT | FORMS, st.none() | JSONS)
def test_a_body_is_the_one_that_requests_makes(data: Any, json: Any) -> None:
    body = encode_body(data, json)
    shown, length = prepared_body(data, json)
    if body is None:
        assert (shown, length) == ("", None)  # a form that is empty after all; it is sent in chunks
        return
    assert (body.shown, type(body.shown)) == (shown, type(shown))
    assert str(len(body.encoded)) == length
    assert body.encoded == (shown.encode() if isinstance(shown, str) else shown or b"")


@pytest.mark.parametrize(
    ("data", "json", "kind"),
    [
        (None, None, NONE), (b"", None, NONE), ({}, None, NONE), ("", None, NONE), (b"a", {"b": 1}, RAW),
        ("a", None, RAW), ({"a": "b"}, None, FORM), ({"a": "b"}, [1], FORM), ({}, [1], JSON), (None, {}, JSON),
        (None, 0, JSON),
    ],
)  # fmt: skip
def test_the_kind_of_a_body_is_that_of_its_content_type(data: Any, json: Any, kind: str) -> None:
    body = encode_body(data, json)
    assert body is not None
    assert body.kind == kind


@pytest.mark.parametrize(
    "data", [{"a": None}, {"a": []}, [("a", "b")], (), [], iter([b"a"]), bytearray(b"a"), 5, CaseInsensitiveDict(a="b")]
)
def test_other_data_are_left_to_requests(data: Any) -> None:
    assert encode_body(data, None) is None
    assert encode_body(data, {"a": 1}) is None


@pytest.mark.parametrize(
    ("data", "json", "error"),
    [
        (None, float("nan"), ValueError), (None, {1, 2}, TypeError), ("\udc80", None, ValueError),
        (None, CYCLE, ValueError), (None, {(1, 2): 3}, TypeError),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded_raises(data: Any, json: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_body(data, json)


def test_what_python_was_taught_to_write_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_json.JSONEncoder, "default", lambda self, each: sorted(each))
    assert encode_body(None, {"a": {2, 1}}) == Body(JSON, *[b'{"a": [1, 2]}'] * 2)
    monkeypatch.setattr(stdlib_json, "dumps", lambda content, allow_nan: "own")
    assert encode_body(None, {}) == Body(JSON, b"own", b"own")


# --- templates -----------------------------------------------------------------------------------------------------

FIELDS = st.dictionaries(
    st.sampled_from(
        ["X-A", "x-b", "Accept", "Accept-Encoding", "User-Agent", "Connection", "Content-Type", "Authorization", "Host",
         "Cookie", "accept"]
    ),
    st.sampled_from(["one", "two; three", "\xe4", "", None]),
    max_size=4,
)  # fmt: skip
COOKIES = st.dictionaries(st.sampled_from("abc"), st.text("xyz", max_size=3), max_size=3)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "PURGE"])
BODIES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"json": JSONS}),
    st.fixed_dictionaries({"data": st.binary(min_size=1, max_size=20) | TEXT.filter(bool) | FORMS}),
)


@settings(deadline=None)
@given(
    METHODS,
    st.sampled_from([URL, "https://host.test/", "http://host.test:80/a", "https://127.0.0.1:444/a?b=c"]),
    FIELDS,
    COOKIES,
    st.none() | st.tuples(TEXT, st.just("secret")),
    BODIES,
)
def test_a_request_is_sent_and_shown_as_by_requests(
    method: str,
    url: str,
    headers: dict[str, str | None],
    cookies: dict[str, str],
    auth: tuple[str, str] | None,
    body: dict[str, Any],
) -> None:
    try:
        sent, expected = StockSession().send_and_catch(method, url, headers=headers, cookies=cookies, auth=auth, **body)
    except UnicodeEncodeError:
        return
    encoded = encode_body(body.get("data"), body.get("json"))
    if encoded is None:
        assert b"Transfer-Encoding: chunked" in sent
        return
    target = Target.of(url)
    header = merge_setting(headers, requests.Session().headers, dict_class=CaseInsensitiveDict)
    template = Template.make(method, target, header, auth, encoded.kind)
    assert template is not None
    line = expected.headers["Cookie"] if cookies and not template.has_own_cookies else None
    assert isinstance(line, (str, type(None)))
    assert template.with_body(template.head(target, line), encoded) == sent
    assert_same_request(template.request(target, line, encoded), expected)


def assert_same_request(request: PreparedRequest, expected: PreparedRequest) -> None:
    assert (request.method, request.url) == (expected.method, expected.url)
    assert list(request.headers.items()) == list(expected.headers.items())
    assert request.body == expected.body
    assert type(request.body) is type(expected.body)
    assert request.hooks == expected.hooks


def template(method: str = "GET", kind: str = NONE, **header: str) -> Template:
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in header.items()})
    made = Template.make(method, Target.of(URL), named, None, kind)
    assert made is not None
    return made


def test_one_template_serves_other_targets_cookies_and_bodies() -> None:
    made = template("POST", JSON, X_A="b")
    for path, cookies, content in (("/a", None, [1]), ("/b?c=d", "e=f; g=h", {"x": "y" * 100}), ("/", "e=", "z")):
        target = Target.of(f"http://host.test:8080{path}")
        encoded = encode_body(None, content)
        assert encoded is not None
        data = made.with_body(made.head(target, cookies), encoded)
        lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        assert lines[0] == f"POST {path} HTTP/1.1"
        assert f"Content-Length: {len(encoded.encoded)}" in lines
        assert [line for line in lines if line.startswith("Cookie")] == ([f"Cookie: {cookies}"] if cookies else [])
        assert stdlib_json.loads(data.partition(b"\r\n\r\n")[2]) == content
        request = made.request(target, cookies, encoded)
        assert (request.url, request.body) == (target.url, encoded.encoded)
        assert request.headers.get("Cookie") == cookies


def test_a_request_can_be_changed_without_harm_to_the_next() -> None:
    made, target = template(X_A="b"), Target.of(URL)
    first = made.request(target, None, NO_BODY)
    first.headers["X-Mine"] = "1"
    first.hooks["response"].append(print)
    second = made.request(target, None, NO_BODY)
    assert "X-Mine" not in second.headers
    assert second.hooks["response"] == []


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "Transfer-Encoding"])
def test_a_header_that_fixes_the_length_is_left_to_requests(name: str) -> None:
    assert Template.make("POST", Target.of(URL), CaseInsensitiveDict({name: "1"}), None, RAW) is None


def test_a_user_in_the_url_is_left_to_requests() -> None:
    assert Template.make("GET", Target.of("http://a:b@host.test/"), CaseInsensitiveDict(), None, NONE) is None


@pytest.mark.parametrize(
    ("method", "header", "error"),
    [
        ("GET\r\n", {}, ValueError),
        ("GET", {"X-A": "a\r\nb"}, requests.exceptions.InvalidHeader),
        ("GET", {"X-A": 5}, requests.exceptions.InvalidHeader),
    ],
)
def test_what_requests_refuses_raises(method: str, header: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Template.make(method, Target.of(URL), CaseInsensitiveDict(header), None, NONE)


def test_a_method_that_requests_would_change_is_left_to_it() -> None:
    assert Template.make("get", Target.of(URL), CaseInsensitiveDict(), None, NONE) is None


@pytest.mark.parametrize("cookies", ["a=b\r\nX-Injected: 1", "a=\n", "a=\r", "a=\u20ac"])
def test_cookies_that_http_client_refuses_raise(cookies: str) -> None:
    with pytest.raises(ValueError):  # the text is http.client's to say
        template().head(Target.of(URL), cookies)


def test_cookies_depend_on_url_and_host_field() -> None:
    target = Target.of(URL)
    assert template().where(target) == "http://host.test:8080/path"
    assert template(Host="a").where(target) != template(Host="b").where(target) != template().where(target)


def test_a_body_without_content_is_one_without_length() -> None:
    assert Body(NONE, None, b"") == NO_BODY
    made, target = template("GET"), Target.of(URL)
    assert made.with_body(made.head(target, None), NO_BODY) == made.head(target, None)
    assert b"Content-Length" not in made.head(target, None)
    assert b"\r\nContent-Length: 0\r\n" in template("POST").head(target, None)
