"""The same calls through requests over HTTP/1.1 and a load session over HTTP/2 or HTTP/3: what is seen is the same."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.auth import HTTPBasicAuth
from support.certificates import Certificates
from support.seen import see_error

from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
Call = Callable[[Any, str], Any]
_OF_HTTP = {"date", "server", "connection", "transfer-encoding", "content-length"}
"""Fields of a reply that differ between versions of HTTP."""


def get(path: str, **kwargs: Any) -> Call:
    return lambda session, url: session.get(url + path, **kwargs)


def send(method: str, make: Callable[[], Any], **kwargs: Any) -> Call:
    """A call with data that is made for it: a generator can be read only once."""
    return lambda session, url: session.request(method, f"{url}/echo", data=make(), **kwargs)


def pieces() -> Iterator[bytes]:
    yield b"first "
    yield b"second"


def broken() -> Iterator[bytes]:
    yield b"first"
    raise ZeroDivisionError("of the test's own")


def prepared(session: Any, url: str) -> Any:
    request = requests.Request("PUT", f"{url}/echo", data="prepared", headers={"X-One": "1"})
    return session.send(session.prepare_request(request))


def with_hook(session: Any, url: str) -> Any:
    def hook(response: Any, **_: Any) -> None:
        response.headers["x-hooked"] = "yes"

    return session.get(url, hooks={"response": hook})


def in_parts(session: Any, url: str) -> Any:
    response = session.get(f"{url}/large", stream=True)
    return b"".join(response.iter_content(10_000)), response.raw.read(), response.raw.closed


def raw(session: Any, url: str) -> Any:
    response = session.get(f"{url}/gzip", stream=True)
    return response.raw.read(20), len(response.raw.read()), response.raw.status


def with_cookies(session: Any, url: str) -> Any:
    session.cookies.set("own", "0")
    session.headers["X-Session"] = "yes"
    session.auth = ("u", "p")
    return session.get(f"{url}/echo", cookies={"of-call": "1"}, params={"q": ["ä", "b c"]})


CALLS: dict[str, list[Call]] = {
    "get": [get("/"), get(""), get("/?a=%2F../b"), get("/json"), get("/missing"), get("/broken"), get("/empty")],
    "request": [get("/echo?x=1", headers={"X-One": "1", "User-Agent": None, "Accept": None, "X-Empty": ""})],
    "params": [get("/echo", params={"a": [1, "ü"], "b": None})],
    "codings": [get("/gzip"), get("/not-gzip"), raw, get("/gzip", headers={"Accept-Encoding": "identity"})],
    "cookies": [get("/cookies"), get("/echo"), get("/forget"), get("/echo"), with_cookies, get("/cookies")],
    "redirects": [get("/once"), get("/twice"), get("/twice", allow_redirects=False), get("/echo")],
    "endless redirects": [get("/endless")],
    "redirected bodies": [
        lambda session, url: session.post(f"{url}/kept", data=b"x" * 100),
        lambda session, url: session.post(f"{url}/once", json={"a": 1}),
    ],
    "bodies": [
        send("POST", lambda: {"a": ["1", "2"], "b": "ü"}),
        send("POST", lambda: "text ä"),
        send("PATCH", lambda: b"\0\xff"),
        send("PUT", lambda: b""),
        send("POST", lambda: None),
        send("DELETE", lambda: None),
        send("POST", lambda: b"x" * 300_000),
        send("QUERY", lambda: "own method"),
    ],
    "read bodies": [
        send("POST", pieces),
        send("POST", lambda: io.BytesIO(b"a file" * 1000)),
        send("POST", broken),
        send("PUT", lambda: io.BytesIO(b"")),
    ],
    "json and files": [
        lambda session, url: session.post(f"{url}/echo", json={"a": [None, 1.5]}),
        lambda session, url: session.post(f"{url}/echo", files={"f": ("n.txt", b"12")}, headers={"Content-Type": "x"}),
    ],
    "methods": [
        lambda session, url: session.head(url),
        lambda session, url: session.head(f"{url}/once", allow_redirects=True),
        lambda session, url: session.options(f"{url}/echo"),
        get("/"),
    ],
    "auth": [get("/basic"), get("/basic", auth=("u", "p")), get("/basic", auth=HTTPBasicAuth("u", "p"))],
    "credentials in the URL": [
        lambda session, url: session.get(url.replace("https://", "https://u:p@") + "/basic#part"),
    ],
    "prepared": [prepared, with_hook],
    "streams": [in_parts, get("/large", stream=True), get("/repeated")],
    "errors": [
        get("/slow?s=5", timeout=(5, 0.05)),
        get("/", timeout=(1, 2, 3)),
        get("/", timeout="soon"),
        get("/", verify="/no/such/file"),
        get("/", cert="/no/such/file"),
        lambda session, url: session.get("https://no-such-host.invalid/"),
        lambda session, url: session.get("https://127.0.0.1:1/"),
        get("/"),
    ],
}


def seen(result: object) -> object:
    """What a user sees, but for what is another one in each version of HTTP."""
    if not isinstance(result, requests.Response):
        return result
    headers = {name.lower(): value for name, value in result.headers.items() if name.lower() not in _OF_HTTP}
    sent = {
        name.lower(): value for name, value in result.request.headers.items() if "boundary=" not in str(value).lower()
    }
    try:
        content: object = result.content
    except requests.RequestException as error:
        content = type(error)
    if isinstance(content, bytes) and result.url.endswith("/echo") and result.content:
        content = {**result.json(), "headers": [pair for pair in result.json()["headers"] if "boundary" not in pair[1]]}
        content["body"] = "files" if "Content-Disposition" in content["body"] else content["body"]
    return {
        "status": (result.status_code, result.ok, result.is_redirect),
        "url": result.url,
        "headers": sorted(headers.items()),
        "content": content,
        "encoding": result.encoding,
        "cookies": sorted(result.cookies.items()),
        "history": [seen(each) for each in result.history],
        "request": (result.request.method, result.request.url, sorted(sent.items())),
        "raw": (result.raw.status, result.raw.headers.getlist("x-one"), result.raw.closed),
    }


def seen_error(error: Exception) -> object:
    """Its type, and what urllib3's own exception inside is."""
    shown = see_error(error)
    return shown["error"], shown["made of"].replace("SourceHTTP", "HTTP"), shown.get("request")


def play(session: requests.Session, calls: list[Call], url: str) -> list[object]:
    found: list[object] = []
    for call in calls:
        try:
            found.append(seen(call(session, url)))
        except Exception as error:
            found.append(seen_error(error))
    found.append(sorted(session.cookies.items()))
    return found


@pytest.mark.parametrize("http", ["2", "3"])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_seen_is_what_requests_shows(
    curl_session: MakeSession, certificates: Certificates, app_url: str, name: str, http: str
) -> None:
    with requests.Session() as stock:
        stock.trust_env = False
        stock.verify = certificates.ca
        expected = play(stock, CALLS[name], app_url)
    for kwargs in ({}, {"fast": False}):
        found = play(curl_session(http, **kwargs), CALLS[name], app_url)
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            assert other == one, f"call {number} with {kwargs}"
