"""What a call is given: methods, bodies, parameters, headers, timeouts, hooks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidJSONError, InvalidProxyURL, ReadTimeout
from requests.structures import CaseInsensitiveDict
from support.differential import Call, Case, Stage, assert_same, call, get
from support.scripted_server import OK, Do
from urllib3 import Timeout


class Rows:
    """An iterable that knows its length."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"bc"])

    def __len__(self) -> int:
        return 3


class Name:
    """A text that is none yet."""

    def __str__(self) -> str:
        return "named"


def post_of(make: Any, method: str = "POST", **kwargs: Any) -> Call:
    """A POST whose data is made for it: a file or a generator can be read only once."""
    return lambda session, stage: session.request(method, stage.url(), data=make(), **kwargs)


def post_files(make: Any, **kwargs: Any) -> Call:
    return lambda session, stage: session.post(stage.url(), files=make(), **kwargs)


DATA: dict[str, Any] = {
    "text": "hello",
    "text, not ASCII": "grüße",
    "text, beyond latin-1": "日本",
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"hello"),
    "empty text": "",
    "empty bytes": b"",
    "empty dictionary": {},
    "empty list": [],
    "None": None,
    "dictionary": {"a": "1", "b": 2, "c": 1.5, "d": True, "e": None},
    "nested": {"a": ["1", "2"], "b": ("3",), "c": [], "d": [None, "4"]},
    "pairs": [("a", "1"), ("a", "2"), ("b", None)],
    "pairs of bytes": [(b"a", b"\xff")],
    "not ASCII": {"ä": "ö ü", "b": "&=+%"},
    "large": b"x" * 100_000,
}
JSON: dict[str, Any] = {
    "dictionary": {"a": [1, 2.5, None, True, "ä"]},
    "list": [1, 2],
    "empty dictionary": {},
    "empty list": [],
    "0": 0,
    "empty text": "",
    "False": False,
    "text": "ä",
    "None": None,
    "keys": {1: 2, None: 3},
    "surrogate": "\ud800",
}
PARAMS: dict[str, Any] = {
    "dictionary": {"a": "1", "b": 2},
    "lists": {"a": ["1", "2"], "b": (), "c": ("3", None)},
    "None": {"a": None, "b": "1"},
    "empty": {},
    "text": "a=1&b=ä c",
    "bytes": b"a=1",
    "pairs": [("a", "1"), ("a", "2")],
    "not ASCII": {"ä": "ö", "b c": "d+e&f=g/h?i"},
    "numbers": {1: 2.5, "b": False},
    "bytes in it": {b"a": b"\xff"},
    "empty text": {"a": ""},
    "empty string": "",
}
HEADERS: dict[str, Any] = {
    "new": {"X-One": "1"},
    "bytes": {b"X-One": b"1", "X-Two": b"\xff"},
    "dropped": {"User-Agent": None, "Accept": None, "Accept-Encoding": None, "Connection": None},
    "other case": {"user-agent": "own", "ACCEPT": "text/html"},
    "Host": {"Host": "other.test"},
    "host": {"host": "other.test:1"},
    "Host of nothing": {"Host": ""},
    "Connection": {"Connection": "close"},
    "Content-Length": {"Content-Length": "0"},
    "Content-Type": {"Content-Type": "text/own"},
    "empty value": {"X-One": ""},
    "latin-1": {"X-One": "grün"},
    "spaces inside": {"X-One": "a  b\tc"},
    "case-insensitive dictionary": CaseInsensitiveDict({"X-One": "1", "user-agent": "own"}),
    "none": None,
    "empty": {},
    "many": {f"X-{number}": str(number) for number in range(50)},
    "subclass of str": {"X-One": type("Own", (str,), {})("1")},
    "Accept-Encoding": {"Accept-Encoding": "identity"},
    "Transfer-Encoding": {"Transfer-Encoding": "chunked"},
    "Expect": {"Expect": "100-continue"},
    "order": {"Z": "1", "Accept": "a", "A": "2"},
}
BAD_HEADERS: dict[str, Any] = {
    "number": {"X-One": 1},
    "list": {"X-One": ["1"]},
    "line end": {"X-One": "a\r\nX-Two: b"},
    "line end in bytes": {"X-One": b"a\nb"},
    "leading space": {"X-One": " a"},
    "name with a space in front": {" X-One": "a"},
    "name with a line end": {"X\nOne": "a"},
    "name of nothing": {"": "a"},
    "name with a colon": {":X": "a"},
}
TIMEOUTS: dict[str, Any] = {
    "number": 2,
    "fraction": 2.5,
    "pair": (2, 3.5),
    "pair, no limit": (None, None),
    "pair, half a limit": (None, 2),
    "None": None,
    "urllib3's": Timeout(connect=2, read=3),
    "urllib3's total": Timeout(total=2),
    "whole as a fraction": 2.0,
}
BAD_TIMEOUTS: dict[str, Any] = {
    "nought": (0, ValueError),
    "negative": (-1, ValueError),
    "text": ("x", ValueError),
    "True": (True, ValueError),
    "triple": ((1, 2, 3), ValueError),
    "single": ((1,), ValueError),
    "list": ([1, 2], ValueError),
    "pair of texts": (("x", "y"), ValueError),
    "nought to read": ((1, 0), ValueError),
    "infinite": (float("inf"), OverflowError),
    "not a number": (float("nan"), ValueError),
}


def with_kwargs_kept(session: Any, stage: Stage) -> object:
    """What the caller hands over stays the caller's."""
    given: dict[str, Any] = {
        "params": {"a": ["1"]},
        "headers": {"X-One": "1"},
        "cookies": {"c": "1"},
        "hooks": {"response": []},
        "proxies": {},
        "data": {"d": ["2"]},
    }
    response = session.post(stage.url(), **given)
    return given, response


def prepared(session: Any, stage: Stage) -> object:
    request = requests.Request("PUT", stage.url("/p?q=1"), data={"a": "1"}, headers={"X-One": "1"}, params={"r": "2"})
    ready = session.prepare_request(request)
    ready.headers["X-Two"] = "2"
    ready.body = "b=2"
    return session.send(ready)


def prepared_alone(session: Any, stage: Stage) -> object:
    """Prepared without a session: none of its headers."""
    return session.send(requests.Request("GET", stage.url()).prepare(), timeout=2, allow_redirects=False)


def odd_target(session: Any, stage: Stage) -> object:
    """A URL set by hand goes out as it is."""
    ready = session.prepare_request(requests.Request("GET", stage.url()))
    ready.url = stage.url("/a b/../ä?x=[1]")
    return session.send(ready)


def with_hook(**hooks: Any) -> Call:
    return get(hooks=hooks)


# Hooks look at the body: before it is read, with requests, a reply is not over. A load session has read it by then.


def counting(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    response.headers["X-Hook"] = f"{response.status_code} {args} {sorted(kwargs)} {len(response.content)}"


def replacing(response: requests.Response, *args: Any, **kwargs: Any) -> requests.Response:
    assert response.content
    other = requests.Response()
    other.status_code, other._content, other.request, other.raw = 299, b"other", response.request, response.raw
    other.connection = response.connection
    return other


def failing(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    assert response.content
    raise LookupError("the hook failed")


def patched(target: object, name: str) -> Call:
    """As the libraries do that stand in for servers."""

    def answer(*args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response._content = 298, b"mocked"
        response.raw, response.request = (
            mock.Mock(_original_response=None),
            requests.Request("GET", "http://x/").prepare(),
        )
        return response

    def run(session: Any, stage: Stage) -> object:
        with mock.patch.object(target, name, answer):
            response = session.get(stage.url())
        return response.status_code, response.content

    return run


def patched_adapter(session: Any, stage: Stage) -> object:
    class Answering(HTTPAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
            request.headers["X-Adapter"] = "1"
            return super().send(request, *args, **kwargs)

    with mock.patch.object(requests.Session, "get_adapter", return_value=Answering()):
        return session.get(stage.url())


def through_proxy(session: Any, stage: Stage) -> object:
    return session.get("http://elsewhere.test/a?b=c", proxies={"http": stage.url("")})


CASES = {
    **{name: Case([OK], [call(name)]) for name in ("GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH")},
    **{
        f"method {method!r}": Case([OK], [lambda s, at, method=method: s.request(method, at.url())])  # type: ignore[misc]
        for method in ("get", "Post", "TRACE", "PROPFIND", "X-OWN", "BREW")
    },
    **{f"data {name}": Case([OK, OK], [call("POST", data=data), get()]) for name, data in DATA.items()},
    **{f"data of GET, {name}": Case([OK], [get(data=DATA[name])]) for name in ("text", "dictionary", "empty text")},
    **{
        f"data of {name}": Case([OK], [call(name, data=b"x")]) for name in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
    },
    "data of a file": Case([OK], [post_of(lambda: io.BytesIO(b"from a file"))]),
    "data of an empty file": Case([OK], [post_of(lambda: io.BytesIO(b""))]),
    "data of a file of text": Case([OK], [post_of(lambda: io.StringIO("from a file"))]),
    "data of a generator": Case([OK, OK], [post_of(lambda: iter([b"a", b"", b"bc"])), get()]),
    "data of a generator of text": Case([OK], [post_of(lambda: iter(["ä", "bc"]))]),
    "data of an empty generator": Case([OK], [post_of(lambda: iter([]))]),
    "data that knows its length": Case([OK], [post_of(Rows)]),
    "data with a length given": Case([OK], [call("POST", data=b"abc", headers={"Content-Length": "3"})]),
    "data with a type given": Case([OK], [call("POST", data={"a": "1"}, headers={"content-type": "text/own"})]),
    **{f"JSON {name}": Case([OK, OK], [call("POST", json=data), get()]) for name, data in JSON.items()},
    "data of a number": Case([], [call("POST", data=5)], [TypeError]),
    "JSON of PUT": Case([OK], [call("PUT", json={"a": 1})]),
    "JSON of GET": Case([OK], [get(json={"a": 1})]),
    "JSON with a type given": Case([OK], [call("POST", json={}, headers={"Content-Type": "application/own+json"})]),
    "JSON and data": Case([OK], [call("POST", json={"a": 1}, data={"b": "2"})]),
    "JSON and empty data": Case([OK], [call("POST", json={"a": 1}, data={})]),
    "JSON not a number": Case([], [call("POST", json=float("nan"))], [InvalidJSONError]),
    "JSON infinite": Case([], [call("POST", json=[float("inf")])], [InvalidJSONError]),
    "JSON of a set": Case([], [call("POST", json={1})], [TypeError]),
    "JSON of a decimal": Case([], [call("POST", json=Decimal(1))], [TypeError]),
    **{f"params {name}": Case([OK, OK], [get("/", params=params), get()]) for name, params in PARAMS.items()},
    **{
        f"params {name}, behind others": Case([OK], [get("/p?q=1&r=ä#frag", params=each)])
        for name, each in PARAMS.items()
    },
    "params of POST": Case([OK], [call("POST", params={"a": "1"}, data=b"x")]),
    **{f"headers {name}": Case([OK, OK], [get(headers=headers), get()]) for name, headers in HEADERS.items()},
    **{
        f"headers {name} of POST": Case([OK], [call("POST", data=b"abc", headers=each)])
        for name, each in HEADERS.items()
        if name != "Transfer-Encoding"  # which would not be true
    },
    **{f"bad header, {name}": Case([], [get(headers=each)], [InvalidHeader]) for name, each in BAD_HEADERS.items()},
    **{f"timeout {name}": Case([OK, OK], [get(timeout=timeout), get()]) for name, timeout in TIMEOUTS.items()},
    **{f"bad timeout, {name}": Case([], [get(timeout=each)], [error]) for name, (each, error) in BAD_TIMEOUTS.items()},
    "timeout, then none": Case([OK, (Do.STALL,), OK], [get(timeout=1), get(timeout=0.1), get()], [ReadTimeout]),
    "timeout of POST": Case([(Do.STALL,)], [call("POST", data=b"x", timeout=0.1)], [ReadTimeout]),
    "files": Case([OK], [post_files(lambda: {"f": io.BytesIO(b"content")})]),
    "files with names": Case([OK], [post_files(lambda: {"f": ("näme.txt", b"content", "text/plain", {"X-One": "1"})})]),
    "files and data": Case([OK], [post_files(lambda: [("f", b"1"), ("f", "2")], data={"a": ["1", "2"]})]),
    "no files": Case([OK], [post_files(dict, data={"a": "1"})]),
    "hook": Case([OK, OK], [with_hook(response=counting), get()]),
    "hooks": Case([OK], [with_hook(response=[counting, counting])]),
    "hook that replaces": Case([OK], [with_hook(response=replacing)]),
    "hook that fails": Case([OK], [with_hook(response=failing)], [LookupError]),
    "hooks of nothing": Case([OK], [with_hook(response=[])]),
    "unknown hook": Case([], [with_hook(request=counting)], [ValueError]),
    "verify": Case([OK], [get(verify="/no/such/file")]),
    "not verified": Case([OK], [get(verify=False)]),
    "certificate": Case([], [get(cert=("/no/such", "/file"))], [OSError]),
    "proxy": Case([OK, OK], [through_proxy, get()]),
    "proxy for others": Case([OK], [get(proxies={"https": "http://127.0.0.1:1"})]),
    "proxy of nothing": Case([], [get(proxies={"http": "http://"})], [InvalidProxyURL]),
    "positional": Case(
        [OK], [lambda s, at: s.request("POST", at.url(), {"q": "1"}, b"data", {"X-A": "b"}, {"c": "d"})]
    ),
    "unknown keyword": Case([], [get(tiemout=1)], [TypeError]),
    "arguments stay": Case([OK], [with_kwargs_kept]),
    "prepared": Case([OK], [prepared]),
    "prepared alone": Case([OK], [prepared_alone]),
    "prepared with an odd target": Case([OK], [odd_target]),
    "not prepared": Case([], [lambda s, at: s.send(requests.Request("GET", at.url()))], [ValueError]),
    "session's send patched": Case([], [patched(requests.Session, "send")]),
    "session's get_adapter patched": Case([OK], [patched_adapter]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_call_does_what_it_does_with_requests(name: str) -> None:
    assert_same(name, CASES[name])


def test_an_adapter_whose_send_is_patched_answers() -> None:
    assert_same("patched", Case([], [patched(HTTPAdapter, "send")]), "cold")
