"""URLs, timeouts, names and expectations of the session."""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.adapters import Spy
from support.http_server import RecordingServer
from support.scripted_server import ScriptedServer

from pytest_ipload import LoadSession
from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.sample import FAILED, FAULT, OK, REQUEST, Problem, Sample
from pytest_ipload.transport.response import LoadResponse

MakeSession = Callable[..., LoadSession]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 as addresses")
MS = 1_000_000


def here() -> str:
    """This file as a problem's location shows it."""
    relative = Path(__file__).resolve().relative_to(Path.cwd())
    return str(relative)


def line_of(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno


# --- alone ---------------------------------------------------------------------------------------------------------


def test_without_arguments_it_binds_nothing_records_nothing_and_refuses_no_host(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda *args: pytest.fail("bound"))
    original = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args: original("127.0.0.1", *args))
    with LoadSession() as session:
        assert isinstance(session, requests.Session)
        assert (session.source_address, session.trust_env, session.record) == (None, False, None)
        response = session.get(server.url(host="shop.example.com"))
        assert isinstance(response, LoadResponse)
        assert response.ok


# --- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "url", "target"),
    [
        ("", "/echo", "/echo"),
        ("", "echo", "/echo"),
        ("/", "/echo", "/echo"),
        ("/echo", "/api?x=1", "/echo/api?x=1"),
        ("/echo/", "api", "/echo/api"),
        ("/echo", b"/api", "/echo/api"),
        ("/echo", "/a:b", "/echo/a:b"),
        ("/echo", "//api", "/echo//api"),
        ("/echo", "", "/echo/"),
        ("/echo", " /api", "/echo/api"),
    ],
)
def test_relative_urls_are_appended_to_the_base_url(
    make_session: MakeSession, server: RecordingServer, base: str, url: str | bytes, target: str
) -> None:
    session = make_session(base_url=server.url(base))
    assert session.get(url).ok
    assert session.send(session.prepare_request(requests.Request("GET", url))).ok
    assert [hit.target for hit in server.hits] == [target, target]


@pytest.mark.parametrize("base", ["", "/"])
@pytest.mark.parametrize("path", ["//key.txt", "///key.txt?a=//b", "//a//b"])
def test_a_path_that_begins_with_slashes_keeps_them(make_session: MakeSession, base: str, path: str) -> None:
    with ScriptedServer() as server:
        session = make_session(base_url=server.url(base))
        session.get(path)
        session.get(server.url(path))
        session.send(session.prepare_request(requests.Request("GET", path)))
    assert [heard.data.split()[1].decode() for heard in server.heard] == [path] * 3


def test_an_absolute_url_does_not_care_for_the_base_url(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session(base_url="http://base.invalid/api")
    assert session.get(server.url("/hello")).ok
    assert session.get(server.url("/hello").replace("http:", "HTTP:")).ok


@pytest.mark.parametrize("url", ["/cart", "cart", ""])
def test_a_relative_url_without_a_base_url_says_what_to_set(
    make_session: MakeSession, samples: list[Sample], url: str
) -> None:
    with pytest.raises(requests.exceptions.MissingSchema, match=r"make the session with LoadSession\(base_url="):
        make_session().get(url)
    with pytest.raises(requests.exceptions.MissingSchema, match="set base_url or --ipload-base-url"):
        make_session(tally=lambda *_: None).get(url)
    assert samples == []


@pytest.mark.parametrize("base", ["localhost:8000", "/api", "http://", "//host"])
def test_an_incomplete_base_url_is_a_setting_error(base: str) -> None:
    with pytest.raises(SettingError, match="base URL"):
        LoadSession(base_url=base)


# --- timeouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "given", "used"),
    [
        (7, {}, 7),
        (7, {"timeout": 1}, 1),
        (7, {"timeout": None}, None),
        (None, {}, None),
        (7, {"timeout": (1, 2)}, (1, 2)),
    ],
)
def test_the_sessions_timeout_holds_where_a_call_gives_none(
    make_session: MakeSession, default: Any, given: dict[str, Any], used: Any
) -> None:
    session, spy = make_session(timeout=default), Spy()
    session.mount("http://", spy)
    session.get("http://x.test/", **given)
    session.request("GET", "http://x.test/", **given)
    session.send(session.prepare_request(requests.Request("GET", "http://x.test/")), **given)
    assert [keywords["timeout"] for keywords in spy.keywords] == [used] * 3


def test_the_default_timeout_is_30_seconds() -> None:
    with LoadSession() as session:
        assert session.timeout == 30


def test_a_read_timeout_is_raised_and_is_a_failed_sample(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with pytest.raises(requests.exceptions.ReadTimeout):
        make_session(timeout=0.05).get(server.url("/silent"))
    (sample,) = samples
    assert (sample.outcome, sample.status, sample.problem and sample.problem.type) == (FAILED, 0, "ReadTimeout")
    assert 50 * MS <= sample.latency_ns < 1000 * MS


# --- names ---------------------------------------------------------------------------------------------------------


def test_the_label_is_method_and_path_of_the_call_or_its_name(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session(base_url=server.url("/echo"))
    session.get("/a?x=1#f", params={"y": 2})
    session.post("/a b", name="POST /orders")
    session.request("get", "")
    session.head(server.url("/redirect/1"), allow_redirects=True)
    assert [sample.name for sample in samples] == ["GET /echo/a", "POST /orders", "GET /echo/", "HEAD /redirect/1"]


@pytest.mark.parametrize("verb", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_every_verb_takes_name_and_expect_and_returns_a_load_response(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], verb: str
) -> None:
    response = getattr(make_session(), verb)(server.url("/status/404"), name="x", expect=404)
    assert isinstance(response, LoadResponse)
    assert (samples[0].name, samples[0].outcome, samples[0].status) == ("x", OK, 404)
    assert server.hits[0].method == verb.upper()


# --- outcomes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expect", "outcome"),
    [
        (200, None, OK), (204, None, OK), (304, None, OK), (400, None, FAILED), (503, None, FAILED),
        (404, 404, OK), (200, 404, FAILED), (404, "4xx", OK), (200, "4xx", FAILED), (503, ["4xx", 503], OK),
        (200, requests.Timeout, FAILED),
    ],
)  # fmt: skip
def test_the_outcome_follows_the_expectation_and_nothing_is_raised(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], status: int, expect: Any, outcome: str
) -> None:
    assert make_session().get(server.url(f"/status/{status}"), expect=expect).status_code == status
    assert (samples[0].kind, samples[0].outcome, samples[0].status) == (REQUEST, outcome, status)
    assert (samples[0].problem is None) == (outcome == OK)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("check", "status", "problem"),
    [
        (lambda response: response.status_code == 404, 404, None),
        (
            lambda response: False,
            200,
            ("UnexpectedResponse", "GET /status/200 answered 200, not what <lambda>() expects"),
        ),
        (lambda response: response.json()["x"], 200, ("JSONDecodeError", "Expecting value")),
    ],
)
def test_a_function_of_the_response_decides_once_whatever_the_status(
    make_session: MakeSession,
    server: RecordingServer,
    samples: list[Sample],
    check: Callable[[Any], object],
    status: int,
    problem: tuple[str, str] | None,
    fast: bool,
) -> None:
    asked: list[int] = []

    def expect(response: Any) -> object:
        asked.append(response.status_code)
        return check(response)

    expect.__name__ = "<lambda>"
    session = make_session(fast=fast)
    for _ in range(2):  # the second call has no connection to open
        assert session.get(server.url(f"/status/{status}"), expect=expect).status_code == status
    assert asked == [status] * 2
    for sample in samples:
        assert sample.outcome == (OK if problem is None else FAILED)
        if problem is not None:
            assert sample.problem is not None
            assert sample.problem.type == problem[0]
            assert problem[1] in sample.problem.message


def test_a_failed_reply_says_what_and_where(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    def body(session: LoadSession) -> None:
        session.get(server.url("/status/503"), name="the cart")

    body(make_session())
    location = f"{here()}:{line_of(body) + 1}"
    assert samples[0].problem == Problem("HTTP 503", "GET /status/503 answered 503 Service Unavailable", location)


def test_an_exception_is_raised_and_says_what_and_where(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    def body(session: LoadSession) -> None:
        session.get(server.url("/dropped"))

    with pytest.raises(requests.exceptions.ConnectionError) as raised:
        body(make_session())
    assert "RemoteDisconnected" in str(raised.value)
    message = f"connection closed by 127.0.0.1:{server.port} before a reply"
    problem = Problem("ConnectionError", message, f"{here()}:{line_of(body) + 1}")
    assert (samples[0].outcome, samples[0].problem) == (FAILED, problem)


def test_an_expected_exception_is_raised_but_its_sample_is_ok(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        make_session().get(server.url("/dropped"), expect=[404, requests.ConnectionError])
    with pytest.raises(requests.exceptions.ConnectionError):
        make_session().get(server.url("/dropped"), expect=requests.Timeout)
    assert [(sample.outcome, sample.problem is None) for sample in samples] == [(OK, True), (FAILED, False)]


def test_a_fault_of_the_own_side_is_never_expected(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        make_session("203.0.113.7").get(server.url(), expect=requests.ConnectionError)
    (sample,) = samples
    assert (sample.outcome, sample.fault) == (FAULT, "source-not-local")
    assert sample.problem is not None
    assert sample.problem.message.startswith("source address 203.0.113.7 is not an address of this host")
    assert sample.source_address == "203.0.113.7"


def test_a_failure_after_a_fault_is_the_targets(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    """The second call is made while the first one's exception is handled; it has its own cause."""
    session = make_session("203.0.113.7")
    try:
        session.get(server.url())
    except requests.exceptions.ConnectionError:
        with pytest.raises(requests.exceptions.ConnectionError):
            make_session().get(server.url("/dropped"))
    assert [sample.outcome for sample in samples] == [FAULT, FAILED]


def test_a_bad_expectation_is_an_error_at_the_call_and_sends_nothing(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with pytest.raises(SettingError):
        make_session().get(server.url(), expect="404")
    with pytest.raises(SettingError):
        make_session(record=None).get(server.url(), expect="404")
    assert (server.hits, samples) == ([], [])


def test_a_refused_target_is_no_sample(make_session: MakeSession, samples: list[Sample]) -> None:
    with pytest.raises(TargetNotAllowed):
        make_session(allowed_hosts=[]).get("http://shop.example.com/", expect=Exception)
    assert samples == []


@pytest.mark.parametrize("url", ["http://", "http://[::1", "ftp://127.0.0.1/", "mailto:x"])
def test_an_invalid_url_is_no_sample(make_session: MakeSession, samples: list[Sample], url: str) -> None:
    with pytest.raises(requests.exceptions.RequestException):
        make_session().get(url)
    assert samples == []


# --- the rest ------------------------------------------------------------------------------------------------------


@linux_only
def test_a_pickled_session_keeps_its_settings_but_records_nothing(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session("127.0.0.5", base_url=server.url(), timeout=3, allowed_hosts=["x.test"])
    session.headers["X-Kept"] = "yes"
    with pickle.loads(pickle.dumps(session)) as copy:
        assert copy.get("/hello").source_address == "127.0.0.5"
        assert (copy.timeout, copy.trust_env, copy.record) == (3, False, None)
        with pytest.raises(TargetNotAllowed):
            copy.get("http://y.test/")
    assert server.hits[0].headers["X-Kept"] == "yes"
    assert samples == []


def test_a_session_can_be_used_after_close(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session()
    session.get(server.url())
    session.close()
    assert session.get(server.url()).ok
    assert len(server.connections) == 2


def test_a_response_keeps_its_source_address_when_pickled(make_session: MakeSession, server: RecordingServer) -> None:
    response = make_session("127.0.0.1").get(server.url("/gzip"))
    copy = pickle.loads(pickle.dumps(response))
    assert isinstance(copy, LoadResponse)
    assert (copy.source_address, copy.content, copy.elapsed) == ("127.0.0.1", response.content, response.elapsed)
    assert copy.elapsed.total_seconds() > 0


def test_a_request_in_place_of_a_prepared_one_is_refused_as_in_requests(make_session: MakeSession) -> None:
    with pytest.raises(ValueError, match="PreparedRequests"):
        make_session().send(requests.Request("GET", "http://127.0.0.1/"))  # type: ignore[arg-type]  # the mistake
