"""Which calls take the fast path, what they notice, and what they remember."""

from __future__ import annotations

import functools
import gc
import gzip
import http.cookiejar
import re
import socket
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.cookies import RequestsCookieJar, cookiejar_from_dict
from requests.structures import CaseInsensitiveDict
from support.adapters import Spy
from support.certificates import Certificates
from support.replies import reply
from support.scripted_server import Do, Reply, ScriptedServer
from urllib3 import Retry, Timeout
from urllib3.exceptions import InsecureRequestWarning

from pytest_ipload.base.errors import TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, OK, Sample
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.connect.connection import SourceHTTPConnection
from pytest_ipload.transport.fast_path.fast_path import Details, resolve_timeouts
from pytest_ipload.transport.fast_path.prepared_call import PreparedCall
from pytest_ipload.transport.fast_path.session_headers import SessionHeaders
from pytest_ipload.transport.generator_errors import LoadEnded
from pytest_ipload.transport.message.reply_head import ReplyHeads
from pytest_ipload.transport.response import LoadResponse
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as addresses")
ENDLESS = float("inf")


@pytest.fixture
def target() -> Iterator[ScriptedServer]:
    """Answers OK to everything."""
    with ScriptedServer() as server:
        yield server


def sent(target: ScriptedServer) -> str:
    """The last request that the target heard."""
    target.settle()
    return target.heard[-1].data.decode("latin-1")


# --- which calls ---------------------------------------------------------------------------------------------------

SERVED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "params": {"params": {"a": "b", "c": [1, 2], "d": None}},
    "no params": {"params": {}},
    "empty params": {"params": ""},
    "json": {"json": {"a": [1, None]}},
    "form": {"data": {"a": "b"}},
    "no data": {"data": {}},
    "bytes": {"data": b"a"},
    "text": {"data": "a"},
    "headers": {"headers": {"X-A": "b", "Accept": None}},
    "no headers": {"headers": {}},
    "host": {"headers": {"Host": "other.test"}},
    "cookies as a header": {"headers": {"Cookie": "a=b"}},
    "auth": {"auth": ("user", "secret")},
    "all": {"params": {"a": 1}, "json": 1, "headers": {"X-A": "b"}, "auth": ("u", "p"), "timeout": 3},
    "timeout": {"timeout": 1.5},
    "timeouts": {"timeout": (1, 2)},
    "half a timeout": {"timeout": (None, 2)},
    "no timeout": {"timeout": None},
    "no redirects": {"allow_redirects": False},
    "no stream": {"stream": False},
    "no proxies": {"proxies": {}},
    "name": {"name": "mine"},
    "expect": {"expect": 404},
}
LEFT: dict[str, dict[str, Any]] = {
    "params as text": {"params": "a=b"},
    "params as pairs": {"params": [("a", "b")]},
    "params as a mapping": {"params": CaseInsensitiveDict(a="b")},
    "params with a tuple": {"params": {"a": ("b", "c")}},
    "data as pairs": {"data": [("a", "b")]},
    "data of nothing": {"data": {"a": None}},
    "file": {"data": iter([b"a"])},
    "files": {"files": {"a": b"b"}},
    "headers as a mapping": {"headers": CaseInsensitiveDict({"X-A": "b"})},
    "header as bytes": {"headers": {"X-A": b"b"}},
    "length": {"headers": {"Content-Length": "2"}, "data": b"ab"},
    "cookies": {"cookies": {"a": "b"}},
    "no cookies": {"cookies": {}},
    "auth object": {"auth": HTTPBasicAuth("a", "b")},
    "auth with bytes": {"auth": (b"a", b"b")},
    "proxies": {"proxies": {"gopher": "http://127.0.0.1:1"}},
    "hooks": {"hooks": {"response": lambda response, **kwargs: None}},
    "stream": {"stream": True},
    "verify": {"verify": True},
    "cert": {"cert": ()},
    "timeout object": {"timeout": Timeout(1)},
    "endless timeout": {"timeout": 1e9},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("kwargs", "is_served"), [*((each, True) for each in SERVED.values()), *((each, False) for each in LEFT.values())],
    ids=[*SERVED, *LEFT],
)  # fmt: skip
def test_plain_calls_are_served_and_others_left_to_requests(
    make_session: MakeSession,
    target: ScriptedServer,
    samples: list[Sample],
    stock_calls: list[str],
    kwargs: dict[str, Any],
    is_served: bool,
    method: str,
) -> None:
    session = make_session()
    with session.request(method, target.url("/path"), **kwargs) as response:
        assert response.content == b"ok"
    assert stock_calls == [method] * (not is_served)
    assert len(samples) == 1
    assert isinstance(response, LoadResponse)


SETTINGS: dict[str, tuple[bool, Callable[[LoadSession], object]]] = {
    "timeout": (True, lambda s: setattr(s, "timeout", 2)),
    "header": (True, lambda s: s.headers.update({"X-A": "b"})),
    "headers as a dict": (False, lambda s: setattr(s, "headers", {"X-A": "b"})),
    "other headers": (True, lambda s: setattr(s, "headers", CaseInsensitiveDict({"X-A": "b"}))),
    "cookies": (True, lambda s: s.cookies.set("a", "b")),
    "other cookies": (True, lambda s: setattr(s, "cookies", cookiejar_from_dict({"a": "b"}))),
    "cookies of another kind": (False, lambda s: setattr(s, "cookies", http.cookiejar.CookieJar())),
    "auth": (True, lambda s: setattr(s, "auth", ("user", "secret"))),
    "auth object": (False, lambda s: setattr(s, "auth", HTTPBasicAuth("a", "b"))),
    "params": (False, lambda s: setattr(s, "params", {"a": "b"})),
    "params in place": (False, lambda s: s.params.update({"a": "b"})),
    "proxies": (False, lambda s: s.proxies.update({"gopher": "http://127.0.0.1:1"})),
    "hooks": (False, lambda s: s.hooks["response"].append(lambda r, **kwargs: None)),
    "hooks without any": (True, lambda s: setattr(s, "hooks", {})),
    "stream": (False, lambda s: setattr(s, "stream", True)),
    "trust_env": (False, lambda s: setattr(s, "trust_env", True)),
    "verify": (True, lambda s: setattr(s, "verify", False)),
    "cert": (True, lambda s: setattr(s, "cert", None)),
    "max_redirects": (True, lambda s: setattr(s, "max_redirects", 1)),
    "fast": (False, lambda s: setattr(s, "fast", False)),
    "adapter": (False, lambda s: s.mount("http://", HTTPAdapter())),
    "own source adapter": (False, lambda s: s.mount("http://", SourceAdapter())),
    "adapter that retries": (False, lambda s: s.mount("http://", SourceAdapter(s.binding, max_retries=2))),
    "adapter that retries in its own way": (
        False, lambda s: s.mount("http://", SourceAdapter(s.binding, max_retries=Retry(0, status_forcelist=[503])))
    ),
    "adapter that blocks": (False, lambda s: s.mount("http://", SourceAdapter(s.binding, pool_block=True))),
    "adapter of the session's binding": (True, lambda s: s.mount("http://", SourceAdapter(s.binding))),
    "own send": (False, lambda s: setattr(s, "send", functools.partial(LoadSession.send, s))),
    "record": (True, lambda s: setattr(s, "record", None)),
}  # fmt: skip


@pytest.mark.parametrize("is_used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_session_decide_from_the_next_call_on(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str], name: str, is_used: bool
) -> None:
    is_served, change = SETTINGS[name]
    session = make_session()
    if is_used:
        session.get(target.url())
        assert stock_calls == []
    change(session)
    for _ in range(2):
        with session.get(target.url()) as response:
            assert response.content == b"ok"
    assert stock_calls == ["GET"] * (0 if is_served else 2)


@pytest.mark.parametrize("url", ["/", "/a?b=c", "/a b", "/%41", "/\xe4", "/a#f", "//a", "/a/../b", "/a?"])
def test_any_url_of_http_is_served(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str], url: str
) -> None:
    stock, session = requests.Session(), make_session()
    with stock:
        expected = stock.get(target.url(url))
    stock_calls.clear()
    for _ in range(2):
        response = session.get(target.url(url))
        assert (response.url, response.request.url) == (expected.url, expected.url)
        assert sent(target).splitlines()[0] == target.heard[0].data.decode().splitlines()[0]
    assert stock_calls == []


@pytest.mark.parametrize("url", [5, ["http://127.0.0.1/"], None, object()])
def test_what_is_no_url_is_left_to_requests(make_session: MakeSession, url: Any, stock_calls: list[str]) -> None:
    with pytest.raises(requests.RequestException):
        make_session().get(url)
    assert stock_calls == ["GET"]


def test_an_object_that_is_a_url_is_asked_each_time(make_session: MakeSession, target: ScriptedServer) -> None:
    class Next:
        number = 0

        def __str__(self) -> str:
            self.number += 1
            return target.url(f"/{self.number}")

    session, url = make_session(), Next()
    assert [session.get(url).url for _ in range(3)] == [target.url(f"/{n}") for n in (1, 2, 3)]  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [None, 5, b"GET"])
def test_what_is_no_method_is_treated_as_by_requests(
    make_session: MakeSession, target: ScriptedServer, method: Any
) -> None:
    seen: list[Any] = []
    for session in (requests.Session(), make_session()):
        with session:
            try:
                seen.append(session.request(method, target.url()).request.method)
            except Exception as error:
                seen.append((type(error), str(error)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("kwargs", [{"json": float("nan")}, {"json": {1, 2}}, {"data": "\udc80"}])
def test_a_body_that_cannot_be_made_is_an_error_as_in_requests(
    make_session: MakeSession, target: ScriptedServer, samples: list[Sample], kwargs: dict[str, Any]
) -> None:
    seen: list[Any] = []
    for session in (requests.Session(), make_session()):
        with session, pytest.raises(Exception) as raised:  # whatever requests raises
            session.post(target.url(), **kwargs)
        seen.append((type(raised.value), str(raised.value)))
    assert seen[0] == seen[1]
    assert (target.heard, samples) == ([], [])


@pytest.mark.parametrize(
    ("timeout", "resolved"),
    [
        (None, (None, None)), (1, (1, 1)), (0.5, (0.5, 0.5)), ((1, 2), (1, 2)), ((None, 2), (None, 2)),
        (0, None), (-1, None), (True, None), ("1", None), ((1,), None), ((1, 2, 3), None), ([1, 2], None),
        (ENDLESS, None), (float("nan"), None), ((1, "2"), None), (1e6, None),
    ],
)  # fmt: skip
def test_only_plain_timeouts_are_understood(timeout: Any, resolved: Any) -> None:
    assert resolve_timeouts(timeout) == resolved


# --- what takes effect ---------------------------------------------------------------------------------------------


def echo(session: LoadSession, target: ScriptedServer, **kwargs: Any) -> str:
    """What is sent from a session that was used before."""
    session.get(target.url("/echo"), **kwargs)
    return sent(target)


def test_changes_of_headers_take_effect(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str]
) -> None:
    session = make_session()
    assert "X-A" not in echo(session, target)
    session.headers["X-A"] = "one"
    assert "\r\nX-A: one\r\n" in echo(session, target)
    session.headers.update({"x-a": "two"})
    assert "\r\nx-a: two\r\n" in echo(session, target)
    assert "three" in echo(session, target, headers={"X-A": "three"})
    assert "\r\nx-a: two\r\n" in echo(session, target)
    session.headers.pop("X-A")
    assert "x-a" not in echo(session, target).lower()
    session.headers = CaseInsensitiveDict({"X-B": "four"})
    assert "\r\nX-B: four\r\n" in echo(session, target)
    session.headers["X-B"] = "five"
    assert "\r\nX-B: five\r\n" in echo(session, target)
    assert stock_calls == []
    session.headers = {"X-C": "six"}  # type: ignore[assignment]  # many do that
    assert "\r\nX-C: six\r\n" in echo(session, target)
    session.headers["X-C"] = "seven"
    assert "\r\nX-C: seven\r\n" in echo(session, target)


def test_a_header_object_that_is_shared_counts_for_all(make_session: MakeSession, target: ScriptedServer) -> None:
    shared: CaseInsensitiveDict[Any] = CaseInsensitiveDict()
    sessions = [make_session(), make_session()]
    for session in sessions:
        session.headers = shared
        echo(session, target)
    shared["X-Shared"] = "yes"
    assert isinstance(shared, SessionHeaders)
    for session in sessions:
        assert "\r\nX-Shared: yes\r\n" in echo(session, target)


def test_changes_of_cookies_take_effect(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str]
) -> None:
    session = make_session()
    assert "Cookie" not in echo(session, target)
    session.cookies.set("a", "1")
    assert "\r\nCookie: a=1\r\n" in echo(session, target)
    session.cookies["a"] = "2"
    assert "\r\nCookie: a=2\r\n" in echo(session, target)
    for cookie in session.cookies:
        cookie.value = "3"
    assert "\r\nCookie: a=3\r\n" in echo(session, target)
    assert "\r\nCookie: own=1\r\n" in echo(session, target, headers={"Cookie": "own=1"})
    session.cookies = cookiejar_from_dict({"b": "4"})
    assert "\r\nCookie: b=4\r\n" in echo(session, target)
    session.cookies.clear()
    assert "Cookie" not in echo(session, target)
    assert stock_calls == []
    session.cookies = jar = http.cookiejar.CookieJar()  # type: ignore[assignment]  # requests takes any jar
    requests.cookies.merge_cookies(jar, {"c": "5"})
    assert "\r\nCookie: c=5\r\n" in echo(session, target)


def test_cookies_of_a_reply_are_sent_from_then_on(make_session: MakeSession, stock_calls: list[str]) -> None:
    script: list[Reply] = [(reply(b"", f"Set-Cookie: a={n}; Path=/"),) for n in (1, 2)]
    with ScriptedServer(script) as target:
        session = make_session()
        first = session.get(target.url())
        assert first.cookies.get_dict() == session.cookies.get_dict() == {"a": "1"}
        assert "\r\nCookie: a=1\r\n" in echo(session, target)
        assert "\r\nCookie: a=2\r\n" in echo(session, target)
    assert stock_calls == []


def test_requests_with_other_values_of_cookies_are_not_prepared_anew(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: list[Reply] = [(reply(b"", f"Set-Cookie: a={n}; Path=/"),) for n in range(9)]
    prepared: list[str] = []
    with ScriptedServer(script) as target:
        session = make_session()
        fields, first = [], session.get(target.url("/one"))
        for n in range(8):
            if n == 4:
                monkeypatch.setattr(PreparedCall, "__init__", lambda *_: prepared.append("again"))
            session.get(target.url("/one" if n % 2 else "/two"))
            fields.append(re.findall(r"Cookie: (.*)\r", sent(target)))
    assert fields == [[f"a={n}"] for n in range(8)]
    assert prepared == []
    assert "Cookie" not in first.request.headers


def test_cookies_that_http_client_refuses_are_refused(
    make_session: MakeSession, target: ScriptedServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.cookies.set("a", "b\r\nX-Injected: 1")
    with pytest.raises(ValueError, match="Invalid header value"):
        session.get(target.url())
    assert [sample.outcome for sample in samples] == [FAILED]
    assert target.heard == []


def test_cookies_follow_the_host_field(make_session: MakeSession, target: ScriptedServer) -> None:
    session = make_session()
    for name in ("a", "b"):
        session.cookies.set(name, "1", domain=f"{name}.test", path="/")
    for _ in range(2):
        for name in ("a", "b"):
            assert f"\r\nCookie: {name}=1\r\n" in echo(session, target, headers={"Host": f"{name}.test"})
        assert "Cookie" not in echo(session, target)


def test_changes_of_auth_take_effect(make_session: MakeSession, target: ScriptedServer) -> None:
    session = make_session()
    assert "Authorization" not in echo(session, target)
    session.auth = ("user", "pass")
    assert "\r\nAuthorization: Basic dXNlcjpwYXNz\r\n" in echo(session, target)
    assert "dXNlcjpwYXNz" not in echo(session, target, auth=("a", "b"))
    session.auth = HTTPBasicAuth("a", "b")
    assert "\r\nAuthorization: Basic YTpi\r\n" in echo(session, target)
    session.auth = None
    assert "Authorization" not in echo(session, target)


def test_changes_of_the_base_url_take_effect(make_session: MakeSession, target: ScriptedServer) -> None:
    session = make_session(base_url=target.url("/one"))
    for base in ("/one", "/two"):
        session.base_url = target.url(base)
        for _ in range(2):
            session.get("x", params={"y": 1})
            assert sent(target).startswith(f"GET {base}/x?y=1 HTTP/1.1\r\n")


def test_changes_of_proxies_take_effect(make_session: MakeSession, target: ScriptedServer, proxy: Any) -> None:
    session = make_session()
    session.get(target.url())
    session.proxies["http"] = proxy.url
    session.get(target.url())
    assert len(proxy.requests) == 1
    session.proxies.clear()
    assert session.get(target.url()).content == b"ok"


def test_changes_of_verify_take_effect(make_session: MakeSession, certificates: Certificates) -> None:
    with ScriptedServer(tls=certificates.server_context()) as target:
        session = make_session()
        session.verify = certificates.ca
        assert session.get(target.url()).ok
        session.verify = certificates.other_ca
        with pytest.raises(requests.exceptions.SSLError):
            session.get(target.url())
        session.verify = False
        with pytest.warns(InsecureRequestWarning):
            assert session.get(target.url()).ok
        session.verify = certificates.ca
        assert session.get(target.url()).ok


def test_changes_of_cert_take_effect(make_session: MakeSession, certificates: Certificates) -> None:
    with ScriptedServer(tls=certificates.server_context(client_required=True)) as target:
        session = make_session()
        session.verify = certificates.ca
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(target.url())
        session.cert = certificates.client
        assert session.get(target.url()).ok


def test_a_mounted_adapter_takes_effect(make_session: MakeSession, target: ScriptedServer) -> None:
    session, spy = make_session(), Spy()
    session.get(target.url())
    session.mount(target.url("/spied"), spy)
    session.get(target.url("/spied"))
    session.get(target.url())
    assert len(spy.keywords) == 1
    assert len(target.heard) == 2


def test_session_hooks_take_effect_and_end(make_session: MakeSession, target: ScriptedServer) -> None:
    session, seen = make_session(), []
    session.get(target.url())
    session.hooks["response"].append(lambda response, **kwargs: seen.append(response.status_code))
    session.get(target.url())
    session.hooks["response"].clear()
    session.get(target.url())
    assert seen == [200]


@pytest.mark.parametrize(
    "name", ["send", "prepare_request", "get_adapter", "merge_environment_settings", "absolute_url"]
)
@pytest.mark.parametrize("where", ["subclass", "instance"])
def test_methods_of_the_users_own_are_called(
    make_session: MakeSession, target: ScriptedServer, name: str, where: str
) -> None:
    called: list[str] = []
    original = getattr(LoadSession, name)

    def own(self: LoadSession, *args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return original(self, *args, **kwargs)

    if where == "subclass":
        subclass: Any = type("Own", (LoadSession,), {name: own})
        with subclass() as own_session:
            assert own_session.get(target.url()).ok
    else:
        session = make_session()
        session.get(target.url())
        setattr(session, name, lambda *args, **kwargs: own(session, *args, **kwargs))
        assert session.get(target.url()).ok
    assert called != []


def test_a_subclass_that_replaces_nothing_is_served(target: ScriptedServer, stock_calls: list[str]) -> None:
    class Own(LoadSession):
        def login(self) -> LoadResponse:
            return self.get(target.url("/login"))

    with Own() as session:
        assert session.login().ok
    assert stock_calls == []


@linux_only
def test_rebinding_keeps_one_connection_for_each_address(
    make_session: MakeSession, server: Any, stock_calls: list[str]
) -> None:
    addresses = [f"127.0.0.{number}" for number in range(11, 15)]
    turns = iter(addresses * 3)
    session = make_session(addresses[0])
    session.before_call = lambda: session.rebind(next(turns))
    seen = [session.get(server.url()).source_address for _ in addresses * 3]
    assert seen == addresses * 3
    assert server.peers == addresses * 3
    assert sorted({peer for peer, _ in server.connections}) == addresses
    assert len(server.connections) == len(addresses)
    assert stock_calls == []


# --- redirects and codings -----------------------------------------------------------------------------------------


def test_a_redirect_is_followed_by_requests_and_is_one_sample(
    make_session: MakeSession, samples: list[Sample], stock_calls: list[str]
) -> None:
    script: list[Reply] = [
        (reply(b"on", "Location: /there", "Set-Cookie: a=1; Path=/", status="302 Found"),),
        (reply(b"arrived"),),
    ]
    with ScriptedServer(script) as target:
        response = make_session().get(target.url("/here"))
        assert (response.content, response.url) == (b"arrived", target.url("/there"))
        assert [(each.status_code, each.content, each.url) for each in response.history] == [
            (302, b"on", target.url("/here"))
        ]
        assert "\r\nCookie: a=1\r\n" in sent(target)
        assert len(target.heard) == 2
    assert [(s.redirects, s.outcome, s.name) for s in samples] == [(1, OK, "GET /here")]
    assert stock_calls == ["GET"]


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_encoded_redirect_has_its_content(make_session: MakeSession, encoding: str, allow: bool) -> None:
    body = gzip.compress(b"moved") if encoding == "gzip" else zlib.compress(b"moved")
    moved = reply(body, f"Content-Encoding: {encoding}", "Location: /there", status="302 Found")
    with ScriptedServer([(moved,)]) as target:
        response = make_session().get(target.url(), allow_redirects=allow)
        first = response.history[0] if allow else response
        assert first.content == b"moved"


# --- failures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that were tried to open."""
    tried: list[str] = []
    original = SourceHTTPConnection._new_conn

    def new_conn(self: SourceHTTPConnection) -> socket.socket:
        tried.append(self.host)
        return original(self)

    monkeypatch.setattr(SourceHTTPConnection, "_new_conn", new_conn)
    return tried


def both_failures(session: LoadSession, url: str, **settings: Any) -> list[tuple[type[Exception], str]]:
    """How a stock session and this one fail; without what names their objects."""
    failures: list[tuple[type[Exception], str]] = []
    with requests.Session() as stock:
        stock.trust_env = False
        for each in (stock, session):
            for name, value in settings.items():
                setattr(each, name, value)
            with pytest.raises(requests.RequestException) as raised:
                each.get(url, timeout=0.3)
            text = re.sub("0x[0-9a-f]+", "ADDRESS", str(raised.value).replace("SourceHTTP", "HTTP"))
            failures.append((type(raised.value), text))
    return failures


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_connection_fails_as_in_requests(
    make_session: MakeSession, connects: list[str], samples: list[Sample], host: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://{host}:{closed.getsockname()[1]}/"
        stock, ours = both_failures(make_session(), url)
    assert stock == ours
    assert connects == [host]
    assert [(s.outcome, s.connections) for s in samples] == [(FAILED, 0)]


def test_a_name_that_does_not_exist_fails_as_in_requests(
    make_session: MakeSession, connects: list[str], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    stock, ours = both_failures(make_session(), "http://nowhere.test/")
    assert stock == ours
    assert connects == ["nowhere.test"]
    assert len(samples) == 1


@linux_only
def test_a_silent_network_fails_as_in_requests(
    make_session: MakeSession, full_listener: int, connects: list[str]
) -> None:
    stock, ours = both_failures(make_session(), f"http://127.0.0.1:{full_listener}/")
    assert stock == ours
    assert ours[0] is requests.exceptions.ConnectTimeout
    assert len(connects) == 1


@pytest.mark.parametrize("what", ["other ca", "other name", "no tls"])
def test_a_handshake_that_fails_is_reported_as_in_requests(
    make_session: MakeSession, certificates: Certificates, connects: list[str], samples: list[Sample], what: str
) -> None:
    verify = certificates.other_ca if what == "other ca" else certificates.ca
    with ExitStack() as stack:
        if what == "no tls":
            port = stack.enter_context(PlainSpeaker()).port
        else:
            context = certificates.server_context("other.test" if what == "other name" else "127.0.0.1")
            port = stack.enter_context(ScriptedServer(tls=context)).port
        stock, ours = both_failures(make_session(), f"https://127.0.0.1:{port}/", verify=verify)
    assert stock == ours
    assert ours[0] is requests.exceptions.SSLError
    assert len(connects) == len(samples) == 1


class PlainSpeaker:
    """A server that says something which is no TLS to whoever comes."""

    def __init__(self) -> None:
        self._open = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self._open[0].getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        for _ in range(2):
            sock, _address = self._open[0].accept()
            self._open.append(sock)
            sock.recv(4096)
            sock.sendall(b"220 smtp.test ready, this is no TLS\r\n")

    def __enter__(self) -> PlainSpeaker:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._thread.join(5)
        for each in self._open:
            each.close()


def test_a_host_that_is_not_allowed_gets_nothing(make_session: MakeSession, target: ScriptedServer) -> None:
    session = make_session(allowed_hosts=["127.0.0.1"])
    assert session.get(target.url()).ok
    for _ in range(2):
        with pytest.raises(TargetNotAllowed):
            session.get("http://other.test/")


def test_after_the_end_nothing_is_sent(
    make_session: MakeSession, target: ScriptedServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.get(target.url())
    session.interrupt()
    for _ in range(2):
        with pytest.raises(LoadEnded):
            session.get(target.url())
    target.settle()
    assert len(target.heard) == 1


class Interrupted(BaseException):
    """What the executor raises in a user's thread."""


@linux_only
@pytest.mark.parametrize("call", ["get", "post"])
def test_a_request_that_is_interrupted_at_the_end_is_a_failed_sample(
    make_session: MakeSession, target: ScriptedServer, samples: list[Sample], stock_calls: list[str], call: str
) -> None:
    session = make_session()
    session.get(target.url())
    before = len(stock_calls)

    def is_over(wire: Any) -> Any:
        session.interrupt()
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_ipload.transport.connect.socket_io.TimestampingSocket.receive", is_over)
        with pytest.raises(Interrupted):
            getattr(session, call)(target.url("/a"), name="mine")
    assert len(stock_calls) == before
    assert [(s.outcome, s.name, s.problem and s.problem.type) for s in samples[1:]] == [(FAILED, "mine", "Interrupted")]
    assert 0 < samples[1].latency_ns < 10_000_000_000


def test_an_unexpected_status_is_a_failed_sample(make_session: MakeSession, samples: list[Sample]) -> None:
    with ScriptedServer([(reply(b"", status="503 Busy"),)] * 3) as target:
        session = make_session()
        session.get(target.url("/a?b=c"))
        session.get(target.url("/a"), name="mine")
        session.get(target.url("/a"), expect=503)
    assert [(s.outcome, s.status, s.name, s.problem and s.problem.message) for s in samples] == [
        (FAILED, 503, "GET /a", "GET /a answered 503 Busy"),
        (FAILED, 503, "mine", "GET /a answered 503 Busy"),
        (OK, 503, "GET /a", None),
    ]


# --- pools ---------------------------------------------------------------------------------------------------------


def test_a_closed_session_opens_a_new_connection(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str]
) -> None:
    session = make_session()
    for _ in range(3):
        assert session.get(target.url()).ok
        assert session.get(target.url()).ok
        session.close()
    target.settle()
    assert target.connections == 3
    assert stock_calls == []


def test_a_pool_that_was_dropped_is_replaced(
    make_session: MakeSession, target: ScriptedServer, stock_calls: list[str]
) -> None:
    session = make_session()
    session.get(target.url())
    adapter: Any = session.get_adapter(target.url())
    pool = adapter.get_connection_with_tls_context(requests.Request("GET", target.url()).prepare(), True)
    adapter.poolmanager.clear()
    pool.close()
    assert session.get(target.url()).ok
    target.settle()
    assert target.connections == 2
    assert stock_calls == []


@pytest.mark.parametrize("name", ["verify", "cert"])
def test_files_that_are_missing_are_an_error_as_in_requests(
    make_session: MakeSession, certificates: Certificates, samples: list[Sample], name: str
) -> None:
    with ScriptedServer(tls=certificates.server_context()) as target:
        seen: list[Any] = []
        for session in (requests.Session(), make_session()):
            session.trust_env = False
            setattr(session, name, "/nowhere/file.pem")
            with session, pytest.raises(OSError, match=r"/nowhere/file\.pem") as raised:
                session.get(target.url())
            seen.append((type(raised.value), str(raised.value)))
    assert seen[0] == seen[1]
    assert len(samples) <= 1


def test_sessions_can_share_what_they_know_of_heads(make_session: MakeSession, target: ScriptedServer) -> None:
    heads = ReplyHeads()
    responses = [make_session(heads=heads).get(target.url()) for _ in range(2)]
    assert responses[0].head is responses[1].head
    assert len(heads) == 1


@pytest.mark.parametrize("what", ["send", "get_adapter"])
def test_a_library_that_stands_in_for_servers_is_asked(
    make_session: MakeSession, target: ScriptedServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    session, spy = make_session(), Spy()
    session.get(target.url())
    if what == "send":
        monkeypatch.setattr(HTTPAdapter, "send", lambda self, *args, **kwargs: Spy.send(spy, *args, **kwargs))
    else:
        monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: spy)
    assert session.get(target.url()).content == b""
    monkeypatch.undo()
    assert session.get(target.url()).content == b"ok"


def test_connections_are_shared_with_the_calls_of_requests(
    make_session: MakeSession, target: ScriptedServer, samples: list[Sample]
) -> None:
    session = make_session()
    for number in range(6):
        session.get(target.url(), cookies={"a": "b"} if number % 2 else None)
    target.settle()
    assert target.connections == 1
    assert [sample.connections for sample in samples] == [1, 0, 0, 0, 0, 0]


# --- memory --------------------------------------------------------------------------------------------------------


def test_what_is_remembered_is_bounded(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of different URLs, headers, bodies and cookies."""
    answered: list[str] = []

    def answer(pool: object, binding: object, heads: object, method: str, *args: Any) -> None:
        """Nothing is sent: only what happens before that is of interest."""
        answered.append(method)

    monkeypatch.setattr("pytest_ipload.transport.fast_path.fast_path.exchange", answer)
    session = make_session()
    fast_path = session._open_fast_path()
    for number in range(2000):
        host = f"http://host-{number % 700}.test"
        fast_path.call(session, "GET", f"{host}/{number}", 1, None)
        details = Details({"a": number}, None, {"X-Number": str(number)}, ("user", str(number)), {"n": number})
        fast_path.call(session, "POST", f"{host}/", 1, details)
        if number % 100 == 0:
            session.cookies.set("a", str(number))
            session.headers["X-Number"] = str(number)
    assert len(answered) == 4000
    sizes = [len(value) for value in vars(fast_path).values() if isinstance(value, dict)]
    assert len(sizes) > 2
    assert max(sizes) <= 1024
    assert sum(sizes) < 2048


def drop(session: LoadSession, *others: Any) -> list[weakref.ref[Any]]:
    return [weakref.ref(each) for each in (session, session.binding, *others)]


@pytest.mark.parametrize("what", ["get", "post", "stale", "handed over", "redirect", "stock", "tls"])
def test_a_dropped_session_closes_its_connections_at_once(
    target: ScriptedServer, certificates: Certificates, what: str
) -> None:
    """Without the collector: thousands of users would keep thousands of sockets open until it runs."""
    gc.collect()
    gc.disable()
    try:
        with ExitStack() as stack:
            if what == "tls":
                target = stack.enter_context(ScriptedServer(tls=certificates.server_context()))
            session = LoadSession(timeout=5)
            session.verify = certificates.ca
            assert session.get(target.url()).ok
            watched = drop(session, *sockets_of(session))
            act(what, session, target)
            watched += drop(session, *sockets_of(session))
            del session
            assert [each() for each in watched] == [None] * len(watched)
    finally:
        gc.enable()


def sockets_of(session: LoadSession) -> list[socket.socket]:
    return list(session.binding._sockets)


def act(what: str, session: LoadSession, target: ScriptedServer) -> None:
    replies: dict[str, list[Reply]] = {
        "stale": [(Do.CLOSE,)],
        "handed over": [(reply(b"", version="HTTP/1.0"),)],
        "redirect": [(reply(b"", "Location: /there", status="302 Found"),)],
    }
    target._script.extend(replies.get(what, []))
    if what == "stock":
        session.get(target.url(), cookies={"a": "b"})
    else:
        session.request("POST" if what == "post" else "GET", target.url())


def test_a_jar_of_the_users_own_stays_the_users(make_session: MakeSession, target: ScriptedServer) -> None:
    jar = RequestsCookieJar()
    session = make_session()
    session.cookies = jar
    assert session.cookies is jar
    jar.set("a", "1")
    assert "\r\nCookie: a=1\r\n" in echo(session, target)
