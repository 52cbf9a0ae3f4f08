"""Calls that iterate the events of a stream, and their samples."""

from __future__ import annotations

import gzip
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from support.certificates import Certificates
from support.http_server import RecordingServer
from support.proxy import RecordingProxy
from support.replies import LAST, chunk, head
from support.scripted_server import Do, Pause, Reply, ScriptedServer, Step

from pytest_ipload.base.errors import SettingError, TargetNotAllowed
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import FAILED, FIRST_EVENT, GAP, OK, Sample
from pytest_ipload.transport.connect.socket_io import kernel_keeps_time
from pytest_ipload.transport.event_stream import NotAStream
from pytest_ipload.transport.generator_errors import LoadEnded
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]


def begun(*more: str, kind: str = "text/event-stream") -> bytes:
    """The head of a reply in chunks."""
    return head(f"Content-Type: {kind}", "Transfer-Encoding: chunked", *more)


def stream(*steps: Step, kind: str = "text/event-stream") -> Reply:
    """A reply with the bytes as chunks, which ends in order."""
    return (begun(kind=kind), *(chunk(step) if isinstance(step, bytes) else step for step in steps), LAST)


@pytest.fixture
def play() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(*script: Reply, **options: Any) -> ScriptedServer:
        servers.append(ScriptedServer(script, **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


Play = Callable[..., ScriptedServer]


class Times(list[tuple[str, int, int]]):
    """Kind, start and length of what came before each event."""

    def note(self, key: Key, started_ns: int, latency_ns: int) -> None:
        self.append((key[0], started_ns, latency_ns))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self]


@pytest.fixture
def times(session: LoadSession) -> Times:
    noted = Times()
    session.tally_event = noted.note
    return noted


GZIP = "Content-Encoding: gzip"
ONE, TWO, THREE = b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"


def test_the_sample_ends_with_the_stream(make_session: MakeSession, play: Play, samples: list[Sample]) -> None:
    played = play(stream(ONE, Pause(0.02), TWO), stream(THREE))
    session = make_session("127.0.0.9", base_url=played.url())
    for path, expected in (("/chat?n=1", ["1", "2"]), ("/feed", ["3"])):
        with session.events("POST", path, json={"stream": True}) as events:
            assert [event.data for event in events] == expected
            assert events.ok
            assert events.response.source_address == "127.0.0.9"
    first, second = samples
    assert (first.name, first.outcome, first.status, first.connections) == ("POST /chat", OK, 200, 1)
    assert first.latency_ns >= 20_000_000
    assert (second.name, second.connections, second.source_address) == ("POST /feed", 0, "127.0.0.9")
    assert played.peers == ["127.0.0.9"]  # of the only connection


def test_there_is_no_sample_before_the_end_and_one_after_it(
    session: LoadSession, play: Play, samples: list[Sample]
) -> None:
    played = play(stream(ONE, Do.HOLD, TWO))
    with session.events("GET", played.url(), name="chat") as events:
        assert next(events).data == "1"
        assert samples == []
        played.release()
        assert [event.data for event in events] == ["2"]
        assert [sample.name for sample in samples] == ["chat"]
    assert len(samples) == 1


def test_leaving_early_ends_the_sample_and_closes_the_connection(
    session: LoadSession, play: Play, samples: list[Sample]
) -> None:
    played = play((begun(), chunk(ONE), Do.STALL), stream(TWO))
    with session.events("GET", played.url()) as events:
        assert next(iter(events)).json() == 1
    with session.events("GET", played.url()) as events:
        assert [event.json() for event in events] == [2]
    assert played.connections == 2
    assert [sample.outcome for sample in samples] == [OK, OK]


def test_an_exception_of_the_body_is_not_the_requests(session: LoadSession, play: Play, samples: list[Sample]) -> None:
    played = play((begun(), chunk(ONE), Do.STALL))
    with pytest.raises(AssertionError), session.events("GET", played.url()) as events:
        assert next(events).data == "wrong"
    assert [sample.outcome for sample in samples] == [OK]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((chunk(ONE), b"20\r\ndata: 2", Do.CLOSE), requests.exceptions.ChunkedEncodingError),
        ((chunk(ONE), Do.RESET), requests.exceptions.ChunkedEncodingError),
        ((chunk(ONE), b"no size\r\n"), requests.exceptions.ChunkedEncodingError),
        ((chunk(ONE), Do.STALL), requests.exceptions.ReadTimeout),
    ],
)
def test_a_stream_that_breaks_off_is_a_failed_request(
    session: LoadSession, play: Play, samples: list[Sample], steps: Sequence[Step], expected: type[Exception]
) -> None:
    played, seen = play((begun(), *steps)), list[str]()
    with pytest.raises(expected), session.events("GET", played.url(), timeout=0.3) as events:
        seen.extend(event.data for event in events)
    assert seen == ["1"]
    (sample,) = samples
    assert sample.outcome == FAILED
    assert sample.problem is not None
    assert sample.problem.type == expected.__name__
    assert "test_event_stream.py" in sample.problem.location


def test_the_times_before_events(session: LoadSession, play: Play, times: Times, samples: list[Sample]) -> None:
    played = play(stream(b": hello\n\n", Pause(0.02), ONE + TWO, Pause(0.03), ONE + TWO + THREE))
    with session.events("GET", played.url()) as events:
        assert len(list(events)) == 5
    assert times.kinds == [FIRST_EVENT, GAP, GAP, GAP, GAP]
    (_, started, first), (_, _, together), (_, last_started, apart), *at_once = times
    assert started == samples[0].started_ns
    assert first >= 20_000_000
    assert together == 0
    assert at_once == [(GAP, last_started + apart, 0)] * 2
    assert apart >= 30_000_000
    assert last_started == started + first
    assert last_started + apart <= started + samples[0].latency_ns


@pytest.mark.skipif(not kernel_keeps_time(), reason="the kernel does not tell when data came")
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_body_that_is_busy_does_not_make_gaps_longer(
    session: LoadSession, play: Play, times: Times, certificates: Certificates, samples: list[Sample], is_tls: bool
) -> None:
    tls = {"tls": certificates.server_context()} if is_tls else {}
    played = play(stream(ONE, Do.HOLD, TWO), **tls)
    session.verify = certificates.ca
    with session.events("GET", played.url()) as events:
        assert next(events).data == "1"
        played.release()
        played.settle()
        all_sent_ns = time.perf_counter_ns()
        time.sleep(0.1)
        assert [event.data for event in events] == ["2"]
    _, (kind, started, gap) = times
    assert kind == GAP
    # Two clocks are read one after the other to tell how long ago it came; another process may run in between.
    latest_ns = all_sent_ns + 50_000_000
    assert started + gap <= latest_ns
    assert samples[0].started_ns + samples[0].latency_ns <= latest_ns


@pytest.mark.parametrize(
    "reply",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 18\r\n\r\n", ONE, TWO),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", ONE, TWO, Do.CLOSE),
        (begun(), b"12\r\ndata: 1\n", b"\ndata: 2", b"\n\n\r\n0\r\n\r\n"),
        (begun(GZIP), chunk(gzip.compress(ONE)), chunk(gzip.compress(TWO)), LAST),
    ],
    ids=["length", "until the end", "chunks cut anywhere", "gzip"],
)  # fmt: skip
def test_however_the_body_is_framed(session: LoadSession, play: Play, times: Times, reply: Reply) -> None:
    played = play(reply)
    with session.events("GET", played.url()) as events:
        assert [event.data for event in events] == ["1", "2"]
    assert times.kinds == [FIRST_EVENT, GAP]


def test_an_event_does_not_wait_for_the_rest_of_its_chunk(session: LoadSession, play: Play) -> None:
    played = play((begun(), b"12\r\ndata: 1\n\n", Do.HOLD, b"data: 2\n\n\r\n0\r\n\r\n"))
    with session.events("GET", played.url()) as events:
        assert next(events).data == "1"
        played.release()
        assert next(events).data == "2"


def test_json_lines_by_their_type_or_by_the_format(session: LoadSession, play: Play) -> None:
    lines = (b'{"a": 1}\n{"a"', b': 2}\n{"a": 3}')
    played = play(stream(*lines, kind="application/x-ndjson"), stream(*lines, kind="text/plain"))
    for more in ({}, {"format": "json-lines"}):
        with session.events("GET", played.url(), **more) as events:
            assert [event.json()["a"] for event in events] == [1, 2, 3]


def test_a_reply_that_is_no_stream_says_what_it_is(session: LoadSession, play: Play, samples: list[Sample]) -> None:
    played = play((b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",))
    message = r"GET / answered 200 with content type 'application/json'.*format='sse'"
    with pytest.raises(NotAStream, match=message), session.events("GET", played.url()):
        pass
    assert [sample.outcome for sample in samples] == [FAILED]


def test_an_unknown_format_is_refused(session: LoadSession) -> None:
    with pytest.raises(SettingError, match="format='xml' is not valid; allowed: sse, json-lines, json-seq"):
        session.events("GET", "http://127.0.0.1:1/", format="xml")


def test_an_error_status_is_a_failed_request_without_events(
    session: LoadSession, play: Play, samples: list[Sample]
) -> None:
    refusal = (b"HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbusy",)
    played = play(refusal, refusal)
    with session.events("GET", played.url()) as events:
        assert list(events) == []
        assert (events.status_code, events.response.text) == (503, "busy")
        with pytest.raises(requests.HTTPError):
            events.raise_for_status()
    with session.events("GET", played.url(), expect=503, format="json-lines") as events:
        assert list(events) == []
    assert [(sample.outcome, sample.status) for sample in samples] == [(FAILED, 503), (OK, 503)]
    assert samples[0].problem is not None
    assert samples[0].problem.type == "HTTP 503"
    assert played.connections == 1


def test_comments_do_not_count_as_events_for_the_time_limit(session: LoadSession, play: Play) -> None:
    keep_alive = (Pause(0.05), b":\n\n")
    played = play(stream(ONE, *keep_alive, *keep_alive, *keep_alive, TWO))
    with pytest.raises(requests.ReadTimeout), session.events("GET", played.url(), timeout=0.1) as events:
        list(events)


def test_redirects_and_cookies_are_those_of_requests(
    session: LoadSession, play: Play, times: Times, samples: list[Sample]
) -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    played = play((Pause(0.02), away), stream(ONE))
    with session.events("GET", played.url("/here")) as events:
        assert len(list(events)) == 1
    (sample,) = samples
    assert (sample.name, sample.redirects, sample.outcome) == ("GET /here", 1, OK)
    assert times[0][2] >= 20_000_000
    played.settle()
    assert b"Cookie: a=b" in played.heard[1].data


@pytest.mark.parametrize("reply", [(begun(), chunk(ONE)), (head("Content-Type: text/event-stream"), ONE)])
def test_an_interrupted_stream_says_that_the_load_has_ended(
    session: LoadSession, play: Play, samples: list[Sample], reply: Reply
) -> None:
    played = play((*reply, Do.STALL))
    interruption = threading.Thread(target=session.interrupt)

    def read_to_the_end() -> None:
        with session.events("GET", played.url()) as events:
            for _ in events:
                interruption.start()

    with pytest.raises(LoadEnded):
        read_to_the_end()
    interruption.join()
    assert [sample.outcome for sample in samples] == [FAILED]


def test_a_host_that_is_not_allowed_gets_nothing(make_session: MakeSession, samples: list[Sample]) -> None:
    session = make_session(allowed_hosts=[])
    with pytest.raises(TargetNotAllowed), session.events("GET", "http://example.com/"):
        pass
    assert samples == []
    with pytest.raises(requests.ConnectionError), session.events("GET", "http://127.0.0.1:1/"):
        pass
    assert [sample.outcome for sample in samples] == [FAILED]


def test_an_ordinary_call_after_a_stream_is_one(session: LoadSession, play: Play, samples: list[Sample]) -> None:
    played = play(stream(ONE))
    with session.events("GET", played.url(), name="chat") as events:
        list(events)
    assert session.get(played.url("/plain")).text == "ok"
    assert session.get(played.url("/stream"), stream=True).content == b"ok"
    with pytest.raises(TypeError, match="nonsense"), session.events("GET", played.url(), nonsense=1):
        pass
    assert session.get(played.url("/again"), stream=True).content == b"ok"
    assert [sample.name for sample in samples] == ["chat", "GET /plain", "GET /stream", "GET /again"]


def test_overridden_and_mocked_requests_apply(session: LoadSession, samples: list[Sample]) -> None:
    with responses.RequestsMock() as mock:
        mock.get("http://shop.example/feed", body=ONE + TWO, content_type="text/event-stream")
        with session.events("GET", "http://shop.example/feed") as events:
            assert [event.data for event in events] == ["1", "2"]
    assert [sample.outcome for sample in samples] == [OK]


class Canned(HTTPAdapter):
    """An adapter of a user's own, whose replies come from memory."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url or "", request
        response.headers["Content-Type"] = "text/event-stream"
        response.raw = io.BytesIO(ONE + TWO)
        return response


def test_an_adapter_of_the_users_own(session: LoadSession, times: Times, samples: list[Sample]) -> None:
    session.mount("http://127.0.0.1:1/", Canned())
    with session.events("GET", "http://127.0.0.1:1/feed") as events:
        assert [event.data for event in events] == ["1", "2"]
    assert times.kinds == [FIRST_EVENT, GAP]
    assert [(sample.name, sample.outcome) for sample in samples] == [("GET /feed", OK)]


def test_through_a_proxy_and_tls(
    make_session: MakeSession, tls_server: RecordingServer, proxy: RecordingProxy, certificates: Certificates
) -> None:
    session = make_session("127.0.0.9")
    session.verify = certificates.ca
    session.proxies = {"https": proxy.url}
    with session.events("GET", tls_server.url("/chunked"), format="json-lines") as events:
        assert [event.data for event in events] == ["one two three"]
    assert proxy.peers == ["127.0.0.9"]


def test_it_is_iterated_in_a_with_block_only(session: LoadSession) -> None:
    events = session.events("GET", "http://127.0.0.1:1/")
    with pytest.raises(SettingError, match=r"with session\.events"):
        next(events)


def test_it_is_one_request_and_one_sample(session: LoadSession, play: Play, samples: list[Sample]) -> None:
    stream_of_one = session.events("GET", play(stream(ONE)).url())
    with stream_of_one as events:
        assert [event.json() for event in events] == [1]
    with pytest.raises(SettingError, match=r"a stream can be read once; call session\.events"), stream_of_one:
        pass
    assert len(samples) == 1
