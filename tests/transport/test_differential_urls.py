"""URLs, as people write them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from requests.exceptions import ConnectionError, InvalidSchema, InvalidURL
from support.differential import Call, Case, Stage, assert_same, call, get
from support.scripted_server import OK
from urllib3.exceptions import LocationParseError

PATHS = [
    "",
    "/",
    "?q=1",
    "?",
    "#there",
    "/a?b=c#d",
    "//a//b",
    "/./a/../b",
    "/a/%2e%2e/b",
    "/a b",
    "/a%20b",
    "/a+b",
    "/%7Eb/%7e",
    "/%zz",
    "/100%",
    "/a%2fb?c=%2f",
    "/grün/straße?q=ü&r=%C3%BC",
    "/日本?語=1#字",
    "/a;b;c?d;e",
    "/a:b@c",
    "/[x]?y=[z]",
    '/"<>^`{|}\\',
    "/a?b?c",
    "/a?b=c&b=d&=&&",
    "/a?b='\"",
    "/a\tb",
    "/\x7f",
    "/a?q=a%20b+c",
    "/a#b#c",
    "/http://other/",
    "/" + "a" * 5000,
]
HOSTS = [
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "one.test",
    "bücher.test",
    "BÜCHER.test",
    "xn--bcher-kva.test",
    "127.1",
    "user@127.0.0.1",
    "user:pass@127.0.0.1",
    "us%40er:p%3Ass@127.0.0.1",
    ":pass@127.0.0.1",
    "user:@127.0.0.1",
]
TEMPLATES = {
    "upper-case scheme": "HTTP://127.0.0.1:{port}/",
    "mixed scheme": "hTTp://127.0.0.1:{port}/a",
    "leading space": "  http://127.0.0.1:{port}/",
    "trailing space": "http://127.0.0.1:{port}/  ",
    "leading nought in the port": "http://127.0.0.1:0{port}/",
    "line end behind": "http://127.0.0.1:{port}/\n",
}
# Without relative ones, such as "/a": a load session resolves them against its base URL, and says so where it has none.
BAD: dict[str, tuple[str, type[Exception]]] = {
    "no host": ("http://", InvalidURL),
    "no host, but a path": ("http:///a", InvalidURL),
    "asterisk": ("http://*/", InvalidURL),
    "dot": ("http://.example/", InvalidURL),
    "empty label": ("http://a..b/", LocationParseError),
    "label too long": (f"http://{'a' * 64}.test/", LocationParseError),
    "bad brackets": ("http://[::1/", InvalidURL),
    "bad IPv6": ("http://[gg]/", InvalidURL),
    "port of letters": ("http://127.0.0.1:abc/", InvalidURL),
    "port too large": ("http://127.0.0.1:65536/", InvalidURL),
    "port of nothing": ("http://127.0.0.1:1:2/", InvalidURL),
    "bad IDNA": ("http://\u2603\ufffd.test/", InvalidURL),
    "unknown name": ("http://nowhere.test/", ConnectionError),
    "nobody there": ("http://127.0.0.1:1/", ConnectionError),
    "other scheme": ("gopher://127.0.0.1/", InvalidSchema),
    "scheme only": ("mailto:a@b", InvalidSchema),
    "file": ("file:///etc/hosts", InvalidSchema),
    "space in the host": ("http://a b/", InvalidURL),
    "not ASCII, unknown": ("http://grün.nowhere.test/", ConnectionError),
    "colon without a scheme": ("localhost:1/a", InvalidSchema),
}


def template(text: str) -> Call:
    return lambda session, stage: session.get(text.format(port=stage.server.port))


def as_bytes(session: Any, stage: Stage) -> object:
    return session.get(stage.url("/bytes").encode())


class Address:
    """A URL object, such as other libraries have."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __str__(self) -> str:
        return self.url


CASES = {
    **{f"path {path[:40]!r}": Case([OK, OK], [get(path), call("POST", path, data=b"x")]) for path in PATHS},
    **{
        f"host {host!r}": Case([OK, OK], [lambda s, at, host=host: s.get(at.url("/a", host))] * 2)  # type: ignore[misc]
        for host in HOSTS
    },
    **{name: Case([OK], [template(text)]) for name, text in TEMPLATES.items()},
    **{
        f"bad: {name}": Case([], [lambda s, at, url=url: s.get(url)], [error])  # type: ignore[misc]
        for name, (url, error) in BAD.items()
    },
    "bytes": Case([OK], [as_bytes]),
    "object": Case([OK], [lambda s, at: s.get(Address(at.url("/object")))]),
    "two hosts in turn": Case([OK] * 4, [get(), lambda s, at: s.get(at.url("/", "localhost")), get()]),
    "userinfo is of one call": Case([OK, OK], [lambda s, at: s.get(at.url("/", "u:p@127.0.0.1")), get()]),
    "fragments of one URL": Case([OK] * 3, [get("/a#b"), get("/a#c"), get("/a")]),
    "cases of one URL": Case([OK] * 2, [get("/a%2f"), get("/a%2F")]),
    "IPv6": Case([OK, OK], [get("/a"), get()], host="::1"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_url_means_what_it_means_to_requests(name: str) -> None:
    if name == "IPv6" and not _has_ipv6():
        pytest.skip("this host has no IPv6")
    assert_same(name, CASES[name])


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
