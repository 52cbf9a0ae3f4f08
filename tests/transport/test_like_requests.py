"""The same calls through a stock session and a load session: all that a user can see is equal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from support.http_server import RecordingServer

from pytest_ipload.transport.session import LoadSession

Act = Callable[[requests.Session, RecordingServer], requests.Response]


def numbers() -> Iterator[bytes]:
    for number in range(3):
        yield b"%d," % number


def prepared(session: requests.Session, server: RecordingServer) -> requests.Response:
    request = requests.Request("PUT", server.url("/echo"), data={"a": "1"}, headers={"X-One": "1"})
    return session.send(session.prepare_request(request))


def with_hook(session: requests.Session, server: RecordingServer) -> requests.Response:
    def hook(response: requests.Response, **kwargs: Any) -> None:
        response.headers["X-Hooked"] = f"{sorted(kwargs)} {response.text}"

    return session.get(server.url("/hello"), hooks={"response": hook})


def streamed(session: requests.Session, server: RecordingServer) -> requests.Response:
    with session.get(server.url("/gzip"), stream=True) as response:
        response.headers["X-Read"] = response.raw.read(10, decode_content=True).decode()
    return response


def next_of(session: requests.Session, server: RecordingServer) -> requests.Response:
    response = session.get(server.url("/redirect/1"), allow_redirects=False)
    assert response.next is not None
    return session.send(response.next)


def too_many_redirects(session: requests.Session, server: RecordingServer) -> requests.Response:
    session.max_redirects = 1
    return session.get(server.url("/redirect/5"))


def own_adapter(session: requests.Session, server: RecordingServer) -> requests.Response:
    session.mount(server.url("/hello"), HTTPAdapter(max_retries=1))
    return session.get(server.url("/hello"))


def session_state(session: requests.Session, server: RecordingServer) -> requests.Response:
    session.headers.update({"X-Session": "s", "Accept": None})  # type: ignore[dict-item]  # None removes it
    session.params = {"p": "1"}
    session.auth = ("user", "pass")
    session.cookies.set("jar", "full")
    return session.get(server.url("/echo?q=2"), params={"r": "3"}, cookies={"call": "only"})


ACTS: dict[str, Act] = {
    "get": lambda s, v: s.get(v.url("/hello?x=1")),
    "head": lambda s, v: s.head(v.url("/hello")),
    "options": lambda s, v: s.options(v.url("/hello")),
    "delete": lambda s, v: s.delete(v.url("/echo"), data="x"),
    "post form": lambda s, v: s.post(v.url("/echo"), data={"a": ["1", "2"]}),
    "post json": lambda s, v: s.post(v.url("/echo"), json={"a": 1}),
    "post file object": lambda s, v: s.post(v.url("/echo"), data=io.BytesIO(b"from a file")),
    "post generator": lambda s, v: s.post(v.url("/echo"), data=numbers()),
    "patch": lambda s, v: s.patch(v.url("/echo"), b"\x00\xff"),
    "positional": lambda s, v: s.request("POST", v.url("/echo"), {"q": "1"}, b"data", {"X-A": "b"}, {"c": "d"}),
    "prepared": prepared,
    "error status": lambda s, v: s.get(v.url("/status/503")),
    "no content": lambda s, v: s.get(v.url("/status/204")),
    "not found": lambda s, v: s.get(v.url("/nowhere")),
    "redirects": lambda s, v: s.get(v.url("/redirect/2")),
    "redirect after post": lambda s, v: s.post(v.url("/redirect-to?url=/echo"), data="x"),
    "307 keeps the body": lambda s, v: s.post(v.url("/redirect-to?url=/echo&status=307"), data="x"),
    "no redirects": lambda s, v: s.get(v.url("/redirect/2"), allow_redirects=False),
    "next": next_of,
    "too many redirects": too_many_redirects,
    "cookies": lambda s, v: (s.get(v.url("/cookies/set/a/1")), s.get(v.url("/cookies/set/b/2")))[1],
    "session state": session_state,
    "gzip": lambda s, v: s.get(v.url("/gzip")),
    "deflate": lambda s, v: s.get(v.url("/deflate")),
    "br": lambda s, v: s.get(v.url("/br")),
    "chunked": lambda s, v: s.get(v.url("/chunked")),
    "stream": streamed,
    "close": lambda s, v: (s.get(v.url("/close")), s.get(v.url("/close")))[1],
    "until close": lambda s, v: s.get(v.url("/until-close")),
    "basic auth": lambda s, v: s.get(v.url("/basic"), auth=("user", "pass")),
    "digest auth": lambda s, v: s.get(v.url("/digest"), auth=HTTPDigestAuth("user", "pass")),
    "hook": with_hook,
    "own adapter": own_adapter,
    "read timeout": lambda s, v: s.get(v.url("/silent"), timeout=0.05),
    "pair of timeouts": lambda s, v: s.get(v.url("/silent"), timeout=(1, 0.05)),
    "bad timeout": lambda s, v: s.get(v.url("/"), timeout=(1, 2, 3)),  # type: ignore[arg-type]  # the mistake
    "dropped": lambda s, v: s.get(v.url("/dropped")),
    "truncated": lambda s, v: s.get(v.url("/truncated")),
    "broken gzip": lambda s, v: s.get(v.url("/broken-gzip")),
    "refused": lambda s, v: s.get("http://127.0.0.1:1/"),
    "invalid url": lambda s, v: s.get("http://*:80/"),
    "no adapter": lambda s, v: s.get("gopher://127.0.0.1/"),
    "invalid header": lambda s, v: s.get(v.url("/"), headers={"X": "a\nb"}),
}


def seen_from(act: Act, session: requests.Session) -> str:
    """What a user sees, without what differs from run to run: ports, object addresses and digest's random part."""
    with RecordingServer() as server:
        port = str(server.port)
        try:
            result = describe(act(session, server))
        except Exception as error:
            result = {"error": type(error), "text": str(error)}
        result["jar"] = sorted((cookie.name, cookie.value) for cookie in session.cookies)
        result["hits"] = [(hit.method, hit.target, hit.headers, hit.body) for hit in server.hits]
        result["connections"] = len(server.connections)
        session.close()
    text = repr(result).replace(port, "PORT").replace("SourceHTTP", "HTTP")
    return re.sub('0x[0-9a-f]+|(?:cnonce|response)="[0-9a-f]+"', "RANDOM", text)


def describe(response: requests.Response) -> dict[str, Any]:
    return {
        "status": (response.status_code, response.reason, response.ok),
        "url": response.url,
        "headers": dict(response.headers),
        "content": "streamed" if response.raw.closed and not response._content_consumed else response.content,
        "encoding": response.encoding,
        "cookies": response.cookies.get_dict(),
        "history": [(old.status_code, old.url, old.content) for old in response.history],
        "sent": (response.request.method, response.request.url, dict(response.request.headers)),
        "is_redirect": (response.is_redirect, response.next is not None),
    }


@pytest.mark.parametrize("source", [None, "127.0.0.1"], ids=["unbound", "bound"])
@pytest.mark.parametrize("name", ACTS)
def test_a_load_session_shows_what_requests_shows(name: str, source: str | None) -> None:
    stock = requests.Session()
    stock.trust_env = False
    load = LoadSession(source, allowed_hosts=["*.test"], record=lambda sample: None)
    expected = seen_from(ACTS[name], stock)
    seen = seen_from(ACTS[name], load)
    # The one text that names the source, on purpose.
    assert seen.replace(" from source 127.0.0.1 to 127.0.0.1:", ":") == expected
