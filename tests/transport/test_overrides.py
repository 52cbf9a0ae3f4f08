"""What users put in the place of methods and adapters, on classes and on sessions: called, from the next call on."""

from __future__ import annotations

import copy
import functools
import http.client
import logging
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock
from urllib.parse import urljoin

import pytest
import requests
from requests.adapters import HTTPAdapter
from support.adapters import Spy
from support.http_server import RecordingServer
from support.proxy import RecordingProxy
from urllib3 import PoolManager, Retry

from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.foreign_hooks import DEBUG_LOG, debug_is_logged
from pytest_ipload.transport.path_log import FastPathLog
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as addresses")


@pytest.fixture
def log() -> FastPathLog:
    return FastPathLog()


@pytest.fixture
def warm(make_session: MakeSession, server: RecordingServer, log: FastPathLog) -> LoadSession:
    """A session that has made a call already."""
    session = make_session(fast_path_log=log)
    assert session.get(server.url("/echo/before")).ok
    return session


# --- methods for one HTTP method -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "head", "options"])
@pytest.mark.parametrize("owner", [requests.Session, LoadSession, None], ids=["requests", "ours", "instance"])
def test_a_replaced_verb_is_called(
    warm: LoadSession, server: RecordingServer, monkeypatch: pytest.MonkeyPatch, verb: str, owner: Any
) -> None:
    fake = requests.Response()
    monkeypatch.setattr(owner or warm, verb, lambda *args, **kwargs: fake, raising=owner is not LoadSession)
    assert getattr(warm, verb)(server.url("/echo/fake")) is fake
    monkeypatch.undo()
    assert getattr(warm, verb)(server.url("/echo/after")).ok
    assert [hit.target for hit in server.hits] == ["/echo/before", "/echo/after"]


@pytest.mark.parametrize("verb", ["get", "post"])
def test_a_wrapped_verb_keeps_label_and_expectation(
    warm: LoadSession,
    server: RecordingServer,
    samples: list[Sample],
    log: FastPathLog,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    original: Any = getattr(requests.Session, verb)

    def wrapper(self: requests.Session, url: str, **kwargs: Any) -> requests.Response:
        return original(self, url, **kwargs)  # type: ignore[no-any-return]  # as it came

    monkeypatch.setattr(requests.Session, verb, wrapper)
    for _ in range(2):
        getattr(warm, verb)(server.url("/status/404"), name="missing", expect=404)
    assert [(sample.name, sample.outcome) for sample in samples[1:]] == [("missing", "ok")] * 2
    # The others of requests' verbs are those that run, so that a patch of them takes nothing from the fast path.
    patched = f"requests.Session.get is patched by {__name__}"
    assert log.calls() == ({patched: 2} if verb == "get" else {})


def test_a_default_of_the_class_is_a_keyword(
    warm: LoadSession, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = functools.partialmethod(requests.Session.request, headers={"X-Default": "1"})
    monkeypatch.setattr(requests.Session, "request", partial)
    assert warm.get(server.url("/echo/get")).ok
    assert warm.post(server.url("/echo/post"), json={"a": 1}).ok
    assert [hit.headers.get("X-Default") for hit in server.hits] == [None, "1", "1"]


# --- methods of subclasses and instances ---------------------------------------------------------------------------

EVERY_CALL = [
    "send",
    "prepare_request",
    "merge_environment_settings",
    "get_adapter",
    "resolve_redirects",
    "get_redirect_target",
]
REDIRECTS = ["rebuild_auth", "rebuild_method", "rebuild_proxies", "should_strip_auth"]


class Own(LoadSession):
    """As users write their own."""


@pytest.mark.parametrize("where", ["instance", "class", "ours", "requests"])
@pytest.mark.parametrize("name", EVERY_CALL + REDIRECTS)
def test_an_override_is_called(
    server: RecordingServer, log: FastPathLog, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    session, called = Own(fast_path_log=log, timeout=5), []
    owner: Any = {"instance": session, "class": Own, "ours": LoadSession, "requests": requests.Session}[where]
    original = getattr(owner, name)
    is_redirect = name in REDIRECTS

    def own(*args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return original(*args, **kwargs)

    with session:
        session.auth = ("user", "password")
        path = "/redirect/1" if is_redirect else "/echo/x"
        session.get(server.url(path))
        monkeypatch.setattr(owner, name, own)
        session.get(server.url(path))
        assert called != []
        assert [f"{name} is " in each for each in log.calls()] == ([] if is_redirect else [True])
        count = len(called)
        monkeypatch.undo()
        session.get(server.url(path))
        assert len(called) == count
        session.get(server.url(path))
        assert sum(log.calls().values()) == (0 if is_redirect else 1)


class BaseUrlSession(requests.Session):
    """As requests_toolbelt has it."""

    base_url: str | None = None

    def __init__(self, base_url: str | None = None) -> None:
        if base_url:
            self.base_url = base_url
        super().__init__()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().request(method, self.create_url(url), *args, **kwargs)

    def prepare_request(self, request: requests.Request, *args: Any, **kwargs: Any) -> requests.PreparedRequest:
        request.url = self.create_url(str(request.url))
        return super().prepare_request(request, *args, **kwargs)

    def create_url(self, url: str) -> str:
        return urljoin(self.base_url or "", url)


def test_a_base_url_session_can_be_mixed_in(server: RecordingServer, log: FastPathLog) -> None:
    class Client(BaseUrlSession, LoadSession):  # type: ignore[misc]  # as users do
        pass

    with Client(server.url("/echo/")) as client:
        client.fast_path_log = log
        assert client.get("x", name="label").ok
        assert client.post("y", json={"a": 1}).ok
    assert [hit.target for hit in server.hits] == ["/echo/x", "/echo/y"]
    assert log.calls() == {f"Client.prepare_request is overridden by {__name__}": 2}


def test_a_base_url_of_a_subclass_counts(server: RecordingServer) -> None:
    class Client(LoadSession):
        base_url = server.url("/echo")

        def get(self, url: str, **kwargs: Any) -> Any:  # type: ignore[override]  # as users do
            return super().get(url, **{"timeout": 3, **kwargs})

    with Client() as client:
        assert client.get("/x").ok
    with Client(base_url=server.url()) as client:
        assert client.get("/echo/y").ok
    assert [hit.target for hit in server.hits] == ["/echo/x", "/echo/y"]


def test_a_class_does_not_hear_of_being_watched(server: RecordingServer) -> None:
    heirs: list[type] = []

    class Registered(LoadSession):
        def __init_subclass__(cls) -> None:
            heirs.append(cls)

    with Registered() as session:
        assert session.get(server.url("/echo/x")).ok
    assert heirs == []


# --- adapters ------------------------------------------------------------------------------------------------------


def test_an_adapter_that_is_put_in_without_mount_is_used(warm: LoadSession, server: RecordingServer) -> None:
    spy, own = Spy(), warm.adapters["http://"]
    url = server.url("/echo/x")
    warm.adapters["http://"] = spy
    warm.get(url)
    warm.adapters.update({"http://": own})
    warm.get(url)
    warm.adapters["http://127"] = spy  # behind all others, where requests does not come to it
    warm.get(url)
    warm.adapters.move_to_end("http://")  # type: ignore[attr-defined]  # of an OrderedDict
    warm.get(url)
    assert len(spy.keywords) == 2
    del warm.adapters["http://127"]
    warm.get(url)
    warm.adapters.pop("http://")
    with pytest.raises(requests.exceptions.InvalidSchema):
        warm.get(url)
    assert len(server.hits) == 4


def test_a_mapping_of_the_users_own_is_asked_for_each_call(
    warm: LoadSession, server: RecordingServer, log: FastPathLog
) -> None:
    mapping: Any = dict(warm.adapters)
    warm.adapters = mapping
    warm.get(server.url("/echo/x"))
    mapping["http://"] = spy = Spy()
    warm.get(server.url("/echo/x"))
    assert len(spy.keywords) == 1
    assert log.calls() == {"LoadSession.adapters is not the session's own mapping": 2}


@pytest.mark.parametrize(
    "how", [copy.copy, lambda session: pickle.loads(pickle.dumps(session))], ids=["copy", "pickle"]
)
def test_a_copy_has_adapters_that_it_hears_of(
    warm: LoadSession, server: RecordingServer, how: Callable[[LoadSession], LoadSession]
) -> None:
    with how(warm) as session:
        assert session.get(server.url("/echo/x")).ok
        session.adapters["http://"] = spy = Spy()
        session.get(server.url("/echo/x"))
        assert len(spy.keywords) == 1


@linux_only
def test_an_adapter_that_is_put_in_leaves_from_the_source(
    make_session: MakeSession, server: RecordingServer, log: FastPathLog
) -> None:
    session = make_session("127.0.0.7", fast_path_log=log)
    session.adapters["http://"] = HTTPAdapter(max_retries=Retry(2))
    assert session.get(server.url("/echo/x")).source_address == "127.0.0.7"
    assert log.unbound() == ()


@linux_only
def test_an_adapter_with_an_address_of_its_own_keeps_it(
    make_session: MakeSession, server: RecordingServer, log: FastPathLog
) -> None:
    class SourceAddressAdapter(HTTPAdapter):
        """As requests_toolbelt has it."""

        def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
            self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, source_address=("127.0.0.9", 0))

    session = make_session("127.0.0.7", fast_path_log=log)
    session.mount("http://", SourceAddressAdapter())
    assert session.get(server.url("/echo/x")).ok
    assert server.peers == ["127.0.0.9"]
    assert len(log.unbound()) == 1


@linux_only
@pytest.mark.parametrize("is_early", [True, False], ids=["with a proxy before", "without"])
def test_a_mounted_adapter_leaves_from_the_source_to_a_proxy(
    make_session: MakeSession, server: RecordingServer, proxy: RecordingProxy, is_early: bool
) -> None:
    adapter, session = HTTPAdapter(), make_session(["::1", "127.0.0.7"])
    if is_early:
        adapter.proxy_manager_for(proxy.url)
    session.mount("http://", adapter)
    session.proxies = {"http": proxy.url}
    assert session.get(server.url("/echo/x")).source_address == "127.0.0.7"
    session.rebind("127.0.0.8")
    assert session.get(server.url("/echo/x")).ok
    assert proxy.peers == ["127.0.0.7", "127.0.0.8"]


def test_retries_that_are_set_later_are_made(warm: LoadSession, server: RecordingServer, samples: list[Sample]) -> None:
    warm.get(server.url("/status/503"))
    adapter: Any = warm.get_adapter(server.url())
    adapter.max_retries = Retry(2, status_forcelist=[503], raise_on_status=False)
    warm.get(server.url("/status/503"))
    assert [hit.target for hit in server.hits].count("/status/503") == 1 + 3
    adapter.max_retries = Retry(0, read=False)
    warm.get(server.url("/status/503"))
    assert [hit.target for hit in server.hits].count("/status/503") == 1 + 3 + 1


def test_a_replaced_method_of_an_adapter_is_said(warm: LoadSession, server: RecordingServer, log: FastPathLog) -> None:
    adapter: Any = warm.get_adapter(server.url())
    adapter.build_response = mock.Mock(wraps=adapter.build_response)
    assert warm.get(server.url("/echo/x")).ok
    assert adapter.build_response.call_count == 1
    assert log.calls() == {"build_response of a session's adapter is patched by unittest.mock": 1}


# --- logs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def urllib3_log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines of urllib3's log so far, without the port."""
    return lambda: [
        re.sub(r":\d+", ":PORT", record.getMessage()) for record in caplog.records if record.name.startswith("urllib3")
    ]


def test_the_log_of_urllib3_is_that_of_requests(
    make_session: MakeSession,
    server: RecordingServer,
    log: FastPathLog,
    caplog: pytest.LogCaptureFixture,
    urllib3_log: Callable[[], list[str]],
) -> None:
    def calls(session: requests.Session) -> None:
        for path in ("/echo/x", "/redirect/1", "/chunked", "/close", "/echo/y"):
            session.get(server.url(path))
        session.post(server.url("/echo/z"), json={"a": 1})

    with caplog.at_level(logging.DEBUG, "urllib3"):
        with requests.Session() as stock:
            calls(stock)
        expected = urllib3_log()
        caplog.clear()
        calls(make_session(fast_path_log=log))
    assert len(expected) > 7
    assert urllib3_log() == expected
    assert log.calls() == {DEBUG_LOG: 6}


def test_a_log_that_is_switched_on_later_has_the_next_call(
    warm: LoadSession,
    server: RecordingServer,
    log: FastPathLog,
    caplog: pytest.LogCaptureFixture,
    urllib3_log: Callable[[], list[str]],
) -> None:
    caplog.handler.setLevel(0)  # a handler takes all, but switches nothing on
    warm.get(server.url("/echo/x"))
    assert (urllib3_log(), log.calls()) == ([], {})
    with caplog.at_level(logging.DEBUG):
        warm.get(server.url("/echo/y"))
    assert [line.rpartition(" ")[0] for line in urllib3_log()] == ['http://127.0.0.1:PORT "GET /echo/y HTTP/1.1" 200']
    warm.get(server.url("/echo/z"))
    assert log.calls() == {DEBUG_LOG: 1}


def test_a_disabled_log_is_not_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "urllib3"):
        assert debug_is_logged()
        logging.disable(logging.DEBUG)
        try:
            assert not debug_is_logged()
        finally:
            logging.disable(logging.NOTSET)
        assert debug_is_logged()


def test_what_http_client_prints_is_printed(
    warm: LoadSession,
    server: RecordingServer,
    log: FastPathLog,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warm.close()  # the level is one of a connection from its start
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    warm.get(server.url("/echo/x"))
    assert "send: b'GET /echo/x HTTP/1.1" in capsys.readouterr().out
    assert log.calls() == {"http.client.HTTPConnection.debuglevel is 1": 1}
