"""One call is one sample: what belongs to it, and how it is timed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth
from support.adapters import Spy
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.replies import reply
from support.scripted_server import Pause, Reply, ScriptedServer

from pytest_ipload import LoadSession
from pytest_ipload.base.errors import SettingError
from pytest_ipload.stats.sample import FAILED, OK, Sample
from pytest_ipload.transport.connect.dial import Attempt
from pytest_ipload.transport.response import LoadResponse

MakeSession = Callable[..., LoadSession]
MS = 1_000_000


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
    assert (opened.opening_ns, reused.opening_ns) == ((opened.connect_ns, 0), None)


def test_the_tls_handshake_is_timed_apart(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, samples: list[Sample]
) -> None:
    make_session().get(tls_server.url(), verify=certificates.ca)
    (sample,) = samples
    assert sample.connect_ns is not None
    assert sample.tls_ns is not None
    assert sample.first_byte_ns is not None
    assert 0 < sample.connect_ns + sample.tls_ns < sample.first_byte_ns <= sample.latency_ns
    assert sample.opening_ns == (sample.connect_ns, sample.tls_ns)


def test_what_a_failed_handshake_took_is_unknown(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, samples: list[Sample]
) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url(), verify=certificates.other_ca)
    assert samples[0].connections == 1
    assert samples[0].opening_ns is None


def test_each_connection_of_a_call_is_counted(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample]
) -> None:
    with RecordingServer() as other:
        make_session().get(server.url(f"/redirect-to?url={other.url('/hello')}"))
    (sample,) = samples
    assert (sample.connections, sample.redirects) == (2, 1)
    assert sample.opening_ns is not None
    assert sample.connect_ns is not None  # that of the last one
    assert sample.connect_ns < sample.opening_ns[0] < sample.latency_ns


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


# --- its label -----------------------------------------------------------------------------------------------------


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise ValueError("no hash")


class Label(str):
    """A text that says another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


CALLS: dict[str, Callable[[LoadSession, str, Any], object]] = {
    "get": lambda session, url, name: session.get(url, name=name),
    "post": lambda session, url, name: session.post(url, name=name),
    "request": lambda session, url, name: session.request("GET", url, name=name),
    "stream": lambda session, url, name: session.get(url, name=name, stream=True),
    "send": lambda session, url, name: session.send(requests.Request("GET", url).prepare(), name=name),
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", [5, 0, b"x", ["x"], {}, Unhashable("x")], ids=repr)
def test_a_label_that_is_no_text_is_refused_before_anything_is_sent(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], call: str, name: object, fast: bool
) -> None:
    session = make_session()
    session.get(server.url("/warm"))  # so that the next one could take the fast path
    session.fast = fast
    samples.clear()
    with pytest.raises(SettingError, match="name: the label of a request must be a non-empty string, not "):
        CALLS[call](session, server.url("/hello"), name)
    assert samples == []
    assert [hit.target for hit in server.hits] == ["/warm"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("name", "label"), [(Label("a"), "a"), ("a", "a"), ("", None), (None, None)])
def test_a_label_is_kept_as_a_plain_text(
    make_session: MakeSession, server: RecordingServer, samples: list[Sample], call: str, name: Any, label: str | None
) -> None:
    CALLS[call](make_session(), server.url("/hello"), name)
    [sample] = samples
    assert sample.name == label or (label is None and sample.name.endswith(" /hello"))
    assert type(sample.name) is str


INTERIM = ["101 Switching Protocols", "102 Processing", "103 Early Hints", "199 Odd"]


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "long"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", INTERIM)
def test_an_interim_reply_is_no_success_and_the_next_call_does_not_get_what_follows_it(
    make_session: MakeSession, samples: list[Sample], status: str, stream: bool, is_fast: bool
) -> None:
    """Each request is answered by an interim reply at once and, a moment later, by the reply proper."""
    early: Reply = (f"HTTP/1.1 {status}\r\nLink: </a.css>; rel=preload\r\n\r\n".encode(), Pause(0.05), reply(b"late"))
    with ScriptedServer([early, early, (reply(b"own"),)]) as server:
        session = make_session(fast=is_fast)
        for _ in range(2):
            assert session.get(server.url(), stream=stream).status_code == int(status[:3])
        assert session.get(server.url()).content == b"own"
        assert server.connections == 3
    assert [(sample.outcome, sample.status) for sample in samples] == [(FAILED, int(status[:3]))] * 2 + [(OK, 200)]
    assert samples[0].problem is not None
    assert samples[0].problem.message == f"GET / answered {status}: an interim response, not the final one"


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "long"])
@pytest.mark.parametrize("expect", [103, "1xx", [200, "1xx"]])
def test_an_interim_reply_that_is_expected_is_a_success(
    make_session: MakeSession, samples: list[Sample], expect: Any, is_fast: bool
) -> None:
    with ScriptedServer([(b"HTTP/1.1 103 Early Hints\r\n\r\n",)] * 2) as server:
        for _ in range(2):
            make_session(fast=is_fast).get(server.url(), expect=expect)
    assert [(sample.outcome, sample.connections) for sample in samples] == [(OK, 1)] * 2


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "long"])
def test_100_continue_is_read_over(make_session: MakeSession, samples: list[Sample], is_fast: bool) -> None:
    with ScriptedServer([(b"HTTP/1.1 100 Continue\r\n\r\n", reply(b"ok"))] * 2) as server:
        session = make_session(fast=is_fast)
        assert [session.get(server.url()).content for _ in range(2)] == [b"ok", b"ok"]
    assert [(sample.outcome, sample.connections) for sample in samples] == [(OK, 1), (OK, 0)]


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast", "long"])
def test_a_request_that_had_no_socket_is_counted_under_its_lease(
    make_session: MakeSession, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    errors = [ConnectionRefusedError(111, "refused"), TimeoutError("timed out")]

    def connect(self: Attempt) -> socket.socket:
        raise errors.pop()

    monkeypatch.setattr(Attempt, "connect", connect)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            make_session("127.0.0.7", fast=is_fast).get("http://127.0.0.1:9/")
    with pytest.raises(requests.ConnectionError):
        make_session("127.0.0.7", fast=is_fast).get("http://nowhere.invalid/")
    assert [(sample.outcome, sample.source_address) for sample in samples] == [(FAILED, "127.0.0.7")] * 3
