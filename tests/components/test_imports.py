"""The functions of the host that components import."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.peers import PeerServer
from support.wat import RESULT, Guest

from pytest_ipload.base.errors import ComponentFailed, SettingError
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.sample import CHECK, FAILED, OBSERVED, OK, REQUEST, STEP, Sample

Play = Callable[..., dict[str, Any]]
NOTHING = "(i32.const 0) (i32.const 0)"
"""An option that is none."""
AT = f"(i32.const {RESULT})"


def number(value: int) -> str:
    return f"(i32.const {value})"


def loaded(offset: int, size: str = "load") -> str:
    """What is in the result, at an offset."""
    return f"(i32.{size} (i32.const {RESULT + offset}))"


def log(address: int, length: int) -> str:
    """Print the text whose address and length are in the result."""
    return f"(call $host.log {loaded(address)} {loaded(length)})"


def check(guest: Guest, name: str, condition: str) -> str:
    return f"(call $host.check {guest.text(name)} {condition})"


def checks(samples: list[Sample]) -> dict[str, str]:
    return {each.name: each.outcome for each in samples if each.kind == CHECK}


def test_a_request_is_the_users(
    play: Play, server: RecordingServer, samples: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest()
    get = f"(call $host.get {guest.text('/cookies/set/who/x')} {AT})"
    is_ok = check(guest, "ok", f"(i32.eqz {loaded(0, 'load8_u')})")
    status = check(guest, "200", f"(i32.eq {loaded(8, 'load16_u')} {number(200)})")
    has_time = check(guest, "time", f"(i64.gt_u (i64.load (i32.const {RESULT + 48})) (i64.const 0))")
    play(guest.wat(f"{get} {is_ok} {status} {has_time} {log(12, 16)} {log(28, 32)} {log(40, 44)}"))
    assert server.peers == ["127.0.0.77"] * 2
    assert capsys.readouterr().out.split("\n") == [server.url("/cookies"), "who=x", "127.0.0.77", ""]
    assert checks(samples) == {"ok": OK, "200": OK, "time": OK}
    [request] = [each for each in samples if each.kind == REQUEST]
    assert (request.name, request.source_address, request.outcome) == ("GET /cookies/set/who/x", "127.0.0.77", OK)


def test_a_request_with_all_that_it_can_have(
    play: Play, samples: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest()
    texts = ["POST", "/status/404", "it", "x-a", "1", "2", "404", "name of it"]
    method, url, body, header, one, two, expect, name = (guest.text(each) for each in texts)
    store = "".join
    fields: list[str] = []

    def put(at: int, pair: str) -> None:
        address, length = pair.split(") (")
        fields.append(f"(i32.store {number(at)} {address})) (i32.store {number(at + 4)} ({length})")

    for at, pair in ((512, method), (520, url), (540, body), (556, name)):
        put(at, pair)
    put(700, header)
    put(708, one)
    put(716, header)
    put(724, two)
    put(740, expect)
    values = {528: 700, 532: 2, 536: 1, 548: 1, 552: 1, 564: 740, 568: 1, 572: 1, 576: 5000, 580: 0}
    fields += [f"(i32.store {number(at)} {number(value)})" for at, value in values.items()]
    play(guest.wat(f"{store(fields)} (call $host.send (i32.const 512) {AT}) {log(28, 32)}"))
    assert capsys.readouterr().out == "status 404\n"
    [request] = [each for each in samples if each.kind == REQUEST]
    assert (request.name, request.status, request.outcome) == ("name of it", 404, OK)


def test_headers_and_body_arrive(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    sent = f"(call $request {guest.text('PUT')} {guest.text('/echo')} {guest.text('a' + chr(0) + 'ÿ')})"
    play(guest.wat(f"(call $host.send {sent} {AT}) {log(28, 32)}"))
    echoed = json.loads(capsys.readouterr().out)
    assert echoed["method"] == "PUT"
    assert echoed["body"].encode("latin-1") == "a\0ÿ".encode()


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("/dropped", 1, "connection closed by "),
        ("http://127.0.0.1:1/", 1, "connection refused by 127.0.0.1:1"),
        ("/broken-gzip", 3, "('Received response with content-encoding: gzip"),
    ],
)
def test_a_request_without_a_reply_is_a_failure(
    url: str, kind: int, message: str, play: Play, samples: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest()
    failed = check(guest, "failed", loaded(0, "load8_u"))
    kinds = check(guest, "kind", f"(i32.eq {loaded(8, 'load8_u')} {number(kind)})")
    play(guest.wat(f"(call $host.get {guest.text(url)} {AT}) {failed} {kinds} {log(12, 16)}"))
    assert capsys.readouterr().out.startswith(message)
    assert checks(samples) == {"failed": OK, "kind": OK}
    assert [each.outcome for each in samples if each.kind == REQUEST] == [FAILED]


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "ftp://127.0.0.1/"), ("GET", "http://[::1/"), ("GET / HTTP/1.1\r\nX: y\r\n", "/")],
    ids=["scheme", "address", "method"],
)
def test_what_cannot_be_requested_ends_the_call(method: str, url: str, play: Play, server: RecordingServer) -> None:
    guest = Guest()
    request = f"(call $request {guest.text(method)} {guest.text(url)} {guest.text('')})"
    with pytest.raises(ComponentFailed, match=r"^component guest.wat: iterate: .*(127.0.0.1|::1|non-token)"):
        play(guest.wat(f"(call $host.send {request} {AT})"))
    assert server.hits == []


def test_a_tcp_stream_leaves_from_the_lease(
    play: Play, peer: PeerServer, samples: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest()
    connect = (
        f"(call $host.tcp_connect {guest.text('127.0.0.1')} {number(peer.port)} (i32.const 1) {number(5000)} {AT})"
    )
    timed_out = f"(i32.and {loaded(0, 'load8_u')} (i32.eqz {loaded(4, 'load8_u')}))"
    body = (
        f"{connect} (local.set $a {loaded(4)})"
        f"(call $host.tcp_send (local.get $a) {guest.text('hi' + chr(10))} {NOTHING} {AT})"
        f"(call $host.tcp_receive (local.get $a) {number(100)} {NOTHING} {AT}) {log(4, 8)}"
        f"(call $host.tcp_local_address (local.get $a) {AT}) {log(0, 4)}"
        f"(call $host.tcp_receive (local.get $a) {number(100)} (i32.const 1) {number(20)} {AT})"
        f"{check(guest, 'timeout', timed_out)}"
    )
    play(guest.wat(body))
    assert capsys.readouterr().out.split() == ["127.0.0.77\\n", "127.0.0.77"]
    assert peer.peers == ["127.0.0.77"]
    assert checks(samples) == {"timeout": OK}


def test_a_connection_that_is_refused_is_a_failure(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    connect = f"(call $host.tcp_connect {guest.text('127.0.0.1')} {number(1)} {NOTHING} {AT})"
    play(guest.wat(f"{connect} {log(8, 12)}"))
    assert "refused" in capsys.readouterr().out.lower()


def test_a_datagram_leaves_from_the_lease(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    with PeerServer(datagrams=True) as peer:
        body = (
            f"(call $host.udp_open (i32.const 1) (i32.const 0) {AT}) (local.set $a {loaded(4)})"
            f"(call $host.udp_send_to (local.get $a) {guest.text('127.0.0.1')} {number(peer.port)} "
            f"{guest.text('x')} {AT})"
            f"(call $host.udp_receive_from (local.get $a) {number(100)} {NOTHING} {AT}) {log(4, 8)} {log(12, 16)}"
            f"(call $host.udp_local_address (local.get $a) {AT}) {log(0, 4)} (call $drop.udp-socket (local.get $a))"
        )
        play(guest.wat(body))
        assert peer.peers == ["127.0.0.77"]
    assert capsys.readouterr().out.split() == ["127.0.0.77", "127.0.0.1", "127.0.0.77"]


def test_the_user(play: Play, user: VirtualUser, samples: list[Sample], capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    expected = VirtualUser(3, seed=1, source_addresses=(), record=samples.append).random.random()
    body = (
        check(guest, "index", f"(i32.eq (call $host.index) {number(3)})")
        + check(guest, "iteration", "(i64.eq (call $host.iteration) (i64.const 5))")
        + check(guest, "random", f"(f64.eq (call $host.random) (f64.const {expected!r}))")
        + f"(call $host.source_address {AT}) {log(4, 8)} (call $host.pause {guest.text('1ms')})"
    )
    play(guest.wat(body))
    assert checks(samples) == {"index": OK, "iteration": OK, "random": OK}
    assert capsys.readouterr().out == "127.0.0.77\n"
    assert user.paused_ns > 0


def test_rows_are_those_that_the_test_gives(
    play: Play, samples: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    guest = Guest()
    row = f"(call $host.row {guest.text('users')} {AT})"
    first = f"(local.set $a {loaded(4)})"  # the address of the list
    # The first pair: the name at 0 and 4, the case at 8, the text at 16 and 20.
    name = "(call $host.log (i32.load (local.get $a)) (i32.load offset=4 (local.get $a)))"
    value = "(call $host.log (i32.load offset=16 (local.get $a)) (i32.load offset=20 (local.get $a)))"
    over = check(guest, "none is left", f"(i32.eqz {loaded(0, 'load8_u')})")
    text = guest.wat(f"{row} {first} {name} {value} {row} {over}")
    play(text, rows={"users": ([{"name": each} for each in ("x", "y", "z", "ada")], "unique")})
    assert capsys.readouterr().out.split() == ["name", "ada"]
    assert checks(samples) == {"none is left": OK}
    with pytest.raises(SettingError, match="it wants a row of test data named 'users', but the test gives 'people'"):
        play(text, rows={"people": (["a"], "sequential")})


def test_what_a_component_measures_itself(play: Play, samples: list[Sample]) -> None:
    guest = Guest()
    name = guest.text
    body = (
        f"(call $host.finish (call $host.measure {name('ping')}) (i32.const 0) {NOTHING})"
        f"(call $host.finish (call $host.measure {name('bad')}) (i32.const 1) {name('no pong')})"
        f"(call $host.finish (call $host.step {name('part')}) (i32.const 0) {NOTHING})"
        f"(call $drop.span (call $host.measure {name('dropped')}))"
        f"(drop (call $host.measure {name('open')}))"
        f"(call $host.check {name('no')} (i32.const 0)) (call $host.count {name('sold')} (f64.const 2))"
        f"(call $host.gauge {name('queue')} (f64.const 3)) (call $host.observe {name('age')} (f64.const 0.5))"
    )
    play(guest.wat(body))
    kinds = (REQUEST, STEP, CHECK, OBSERVED)
    assert [(each.kind, each.name, each.outcome) for each in samples if each.kind in kinds] == [
        (REQUEST, "ping", OK),
        (REQUEST, "bad", FAILED),
        (STEP, "part", OK),
        (REQUEST, "dropped", FAILED),
        (CHECK, "no", FAILED),
        (OBSERVED, "age", OK),
        (REQUEST, "open", FAILED),
    ]
    problems = {each.name: each.problem.message for each in samples if each.problem is not None}
    assert problems == {
        "bad": "no pong",
        "dropped": "component guest.wat: iterate: a span was dropped before it was finished",
        "open": "component guest.wat: iterate: a span was not finished",
    }
    assert [each.latency_ns for each in samples if each.name == "age"] == [500_000_000]


def test_what_is_printed_is_bounded(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    line = guest.text("x" * 9_999)
    play(guest.wat(f"(loop (call $host.log {line}) (local.set $a (i32.add (local.get $a) (i32.const 1))) "
                   "(br_if 0 (i32.lt_u (local.get $a) (i32.const 150))))"))  # fmt: skip
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 101
    assert out[-1] == "component guest.wat: iterate: it has printed 1000000 characters; what follows is left out"
