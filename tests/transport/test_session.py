"""One call, one sample; and the keywords of the session."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from support.certificates import Certificates
from support.http_server import RecordingServer

from pytest_ipload import LoadSession
from pytest_ipload.errors import SettingError, TargetNotAllowed
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
        ("/echo", "//api", "/echo/api"),
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


def test_an_absolute_url_does_not_care_for_the_base_url(make_session: MakeSession, server: RecordingServer) -> None:
    session = make_session(base_url="http://base.invalid/api")
    assert session.get(server.url("/hello")).ok
    assert session.get(server.url("/hello").replace("http:", "HTTP:")).ok


@pytest.mark.parametrize("url", ["/cart", "cart", ""])
def test_a_relative_url_without_a_base_url_says_what_to_set(
    make_session: MakeSession, samples: list[Sample], url: str
) -> None:
    with pytest.raises(requests.exceptions.MissingSchema, match="set base_url or --ipload-base-url"):
        make_session().get(url)
    assert samples == []


@pytest.mark.parametrize("base", ["localhost:8000", "/api", "http://", "//host"])
def test_an_incomplete_base_url_is_a_setting_error(base: str) -> None:
    with pytest.raises(SettingError, match="base URL"):
        LoadSession(base_url=base)


# --- timeouts ------------------------------------------------------------------------------------------------------


class Spy(HTTPAdapter):
    """An adapter of a user's own: it remembers the keywords, answers 200, and sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.keywords: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        self.keywords.append(kwargs)
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url or "", request
        response._content = b""
        return response


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
    problem = Problem("ConnectionError", str(raised.value), f"{here()}:{line_of(body) + 1}")
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


# --- one call is one sample ----------------------------------------------------------------------------------------


def test_redirects_belong_to_the_call(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.get(server.url("/redirect/3"))
    session.get(server.url("/redirect/3"), allow_redirects=False)
    assert [(s.name, s.redirects, s.status) for s in samples] == [
        ("GET /redirect/3", 3, 200),
        ("GET /redirect/3", 0, 302),
    ]
    assert len(server.hits) == 5


def test_too_many_redirects_are_one_failed_sample(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.max_redirects = 2
    with pytest.raises(requests.exceptions.TooManyRedirects):
        session.get(server.url("/redirect/9"))
    (sample,) = samples
    assert (sample.outcome, sample.redirects, sample.status) == (FAILED, 2, 302)


def test_a_redirect_that_cannot_be_followed_is_one_failed_sample(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(server.url("/redirect-to?url=http://127.0.0.1:1/"))
    session.get(server.url())
    assert [(s.outcome, s.redirects) for s in samples] == [(FAILED, 1), (OK, 0)]


def test_digest_authentication_belongs_to_the_call_and_is_no_redirect(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    response = make_session().get(server.url("/digest"), auth=HTTPDigestAuth("user", "pass"))
    assert (response.status_code, len(server.hits)) == (200, 2)
    assert [(s.outcome, s.status, s.redirects) for s in samples] == [(OK, 200, 0)]


def test_a_call_from_a_hook_is_a_sample_of_its_own(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    inner = session.prepare_request(requests.Request("GET", server.url("/hello-prepared")))

    def hook(response: requests.Response, **kwargs: Any) -> None:
        if "redirect" in response.url:
            session.get(server.url("/hello-inner"))
            session.send(inner)

    session.get(server.url("/redirect/1"), hooks={"response": hook})
    assert [(s.name, s.redirects) for s in samples] == [
        ("GET /hello-inner", 0), ("GET /hello-prepared", 0), ("GET /hello-inner", 0), ("GET /hello-prepared", 0),
        ("GET /redirect/1", 1),
    ]  # fmt: skip


def test_a_call_from_the_generator_of_a_body_is_a_sample_of_its_own(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()

    def parts() -> Iterator[bytes]:
        yield b"one "
        yield session.get(server.url("/hello")).content

    assert session.post(server.url("/echo"), data=parts()).json()["body"] == "one hello"
    assert [(s.name, s.connections) for s in samples] == [("GET /hello", 1), ("POST /echo", 1)]
    inner, outer = samples
    assert inner.first_byte_ns is not None
    assert outer.first_byte_ns is not None
    assert outer.first_byte_ns > inner.latency_ns


def test_a_prepared_request_is_a_sample(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    prepared = session.prepare_request(requests.Request("POST", server.url("/status/409"), json={}))
    session.send(prepared, name="conflict", expect=409)
    session.send(prepared)
    assert [(s.name, s.outcome) for s in samples] == [("conflict", OK), ("POST /status/409", FAILED)]


def test_an_exception_of_a_hook_fails_the_sample(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.hooks["response"] = [lambda response, **kwargs: response.raise_for_status()]
    with pytest.raises(requests.exceptions.HTTPError):
        session.get(server.url("/status/500"))
    assert [(s.outcome, s.status, s.problem and s.problem.type) for s in samples] == [(FAILED, 500, "HTTPError")]


def test_threads_that_share_a_session_do_not_mix_their_samples(
    make_session: MakeSession, server: RecordingServer
) -> None:
    seen: dict[int, list[Sample]] = {}
    session = make_session(record=lambda sample: seen.setdefault(threading.get_ident(), []).append(sample))

    barrier = threading.Barrier(6)

    def run(number: int) -> None:
        barrier.wait(5)
        for step in range(5):
            session.get(server.url(f"/redirect/{number % 3}"), name=f"{number}/{step}")
        barrier.wait(5)  # the number of a thread that ended is given to another

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    for samples in seen.values():
        number = samples[0].name[0]
        assert [s.name for s in samples] == [f"{number}/{step}" for step in range(5)]
        assert {s.redirects for s in samples} == {int(number) % 3}


# --- times ---------------------------------------------------------------------------------------------------------


def test_the_latency_ends_with_the_last_byte_of_the_body(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    response = session.get(server.url("/slow/40/60"))
    session.get(server.url("/slow/40/60"), stream=True).close()
    whole, head = samples
    assert whole.latency_ns >= 100 * MS
    assert 40 * MS <= head.latency_ns < 95 * MS
    assert whole.first_byte_ns is not None
    assert 40 * MS <= whole.first_byte_ns < 95 * MS
    assert 0.040 <= response.elapsed.total_seconds() < 0.095  # requests documents it as the time to the head


def test_the_time_between_hops_is_not_charged_to_the_target(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()

    def hook(response: requests.Response, **kwargs: Any) -> None:
        session.get(server.url("/slow/80/0"), name="inner")

    session.get(server.url("/redirect/1"), hooks={"response": hook}, name="outer")
    outer = samples[-1]
    assert (outer.name, outer.redirects) == ("outer", 1)
    assert outer.latency_ns < 80 * MS


def test_the_times_of_a_connection_are_those_of_the_call_that_opened_it(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    session = make_session()
    session.get(server.url())
    session.get(server.url())
    opened, reused = samples
    assert opened.connections == 1
    assert opened.connect_ns is not None
    assert opened.first_byte_ns is not None
    assert 0 < opened.connect_ns < opened.first_byte_ns <= opened.latency_ns
    assert (reused.connections, reused.connect_ns, reused.tls_ns, reused.first_byte_ns) == (0, None, None, None)
    assert opened.tls_ns is None


def test_the_tls_handshake_is_timed_apart(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, samples: list[Sample]
) -> None:
    make_session().get(tls_server.url(), verify=certificates.ca)
    (sample,) = samples
    assert sample.connect_ns is not None
    assert sample.tls_ns is not None
    assert sample.first_byte_ns is not None
    assert 0 < sample.connect_ns + sample.tls_ns < sample.first_byte_ns <= sample.latency_ns


def test_each_connection_of_a_call_is_counted(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with RecordingServer() as other:
        make_session().get(server.url(f"/redirect-to?url={other.url('/hello')}"))
    assert (samples[0].connections, samples[0].redirects) == (2, 1)


def test_with_an_adapter_of_the_users_own_the_whole_call_is_timed(
    make_session: MakeSession, samples: list[Sample]
) -> None:
    session = make_session("127.0.0.1")
    session.mount("http://x.test", Spy())
    response = session.get("http://x.test/")
    (sample,) = samples
    assert sample.latency_ns > 0
    assert (sample.status, sample.source_address, sample.connections) == (200, None, 0)
    assert isinstance(response, LoadResponse)
    assert response.source_address is None


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
