"""What is kept of requests while a load runs, and how it becomes text."""

from __future__ import annotations

import base64
import gzip
import html
import json
import random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from support.samples import MS, request

from pytest_ipload.base.masking import hide_names, masked
from pytest_ipload.base.traceparent import Tracer, trace_id_of
from pytest_ipload.stats.evidence import keeper as keepers
from pytest_ipload.stats.evidence.evidence import BODY_BYTES, KEPT_BYTES, Evidence, Exchange, Message
from pytest_ipload.stats.evidence.keeper import MOST_CHARACTERS, EvidenceKeeper, Kept, UserEvidence, merged
from pytest_ipload.stats.evidence.rendering import evidence_of
from pytest_ipload.stats.sample import FAILED, FAULT, SETUP, Sample


class User:
    index = 3
    iteration = 5
    is_iterating = True


def evidence(most: int = 3, judged_from_ns: int = 0) -> tuple[EvidenceKeeper, UserEvidence, list[Sample]]:
    recorded: list[Sample] = []
    keeper = EvidenceKeeper(most, lambda: judged_from_ns)
    user = UserEvidence(keeper, recorded.append)
    user.user = User()
    return keeper, user, recorded


def test_the_slowest_are_kept_whatever_their_order() -> None:
    keeper, user, recorded = evidence()
    latencies = random.Random(7).sample(range(1, 1000), 500)
    for latency in latencies:
        user.record(request("a", latency))
    assert [each.sample.latency_ns // MS for _, each in keeper.kept()] == sorted(latencies)[:-4:-1]
    assert len(recorded) == 500
    assert keeper.floors["a"] == sorted(latencies)[-3] * MS


def test_the_first_failed_are_kept_and_no_faults_of_the_own_side() -> None:
    keeper, user, _ = evidence(most=2)
    for number in range(5):
        user.record(request("a", number + 1, outcome=FAILED))
        user.record(request("a", outcome=FAULT))
    assert [(kind, each.sample.latency_ns // MS) for kind, each in keeper.kept()] == [("failed", 1), ("failed", 2)]


def test_of_set_up_only_what_failed_and_of_the_warm_up_nothing() -> None:
    keeper, user, _ = evidence(judged_from_ns=10 * MS)
    early = request("a")._replace(started_ns=5 * MS)
    for sample in (early, early._replace(outcome=FAILED), request("set-up")._replace(kind=SETUP)):
        user.record(sample)
    user.record(request("log in", outcome=FAILED)._replace(kind=SETUP))
    assert [each.sample.name for _, each in keeper.kept()] == ["log in"]


def test_an_exchange_belongs_to_its_sample_only() -> None:
    keeper, user, _ = evidence()
    sample = request("a")
    user.exchange = sample.started_ns + 1, lambda: Exchange(None, None)  # that of another thread
    user.record(sample)
    user.exchange = sample.started_ns, lambda: Exchange(None, None)
    user.record(sample._replace(latency_ns=1))
    assert [each.exchange for _, each in keeper.kept()] == [None, Exchange(None, None)]


def test_there_is_room_for_so_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "MOST_KEPT", 12)
    keeper, user, _ = evidence()
    for number in range(1000):
        user.record(request(f"{number}"))
        user.record(request(f"{number}", outcome=FAILED))
    assert sorted(each.sample.name for _, each in keeper.kept()) == ["0", "0", "1", "1"]
    assert len(keeper.floors) <= 2


def exhibit(**changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "name": "a", "kind": "slow", "at": "", "t_s": 0.0, "user": 0, "iteration": 0, "source_address": None,
        "status": 200, "latency_ms": 1.0,
    }  # fmt: skip
    return Evidence(**{**fields, **changes})


def test_of_several_processes_the_worst_of_all_are_kept() -> None:
    slow = [exhibit(latency_ms=float(number)) for number in range(10)]
    failed = [exhibit(kind="failed", t_s=float(number)) for number in range(10)]
    kept = merged([*slow, *failed, exhibit(name="b")], 2)
    assert kept == [failed[0], failed[1], slow[9], slow[8], exhibit(name="b")]


def test_a_report_has_the_worst_of_each_name_if_not_all() -> None:
    each = MOST_CHARACTERS // 20
    everything = [
        exhibit(name=str(name), error="x" * each, latency_ms=float(n)) for name in range(10) for n in range(3)
    ]
    kept = merged(everything, 3)
    assert {entry.name for entry in kept} == {str(name) for name in range(10)}
    assert sum(entry.size for entry in kept) <= MOST_CHARACTERS


def shown(request_: Message, reply: Message | None = None) -> Evidence:
    return evidence_of("slow", Kept(request("a"), 1, 2, Exchange(request_, reply)), 0, 0.0)


def body_of(body: bytes, content_type: str = "", **headers: str) -> str | None:
    named = [("Content-Type", content_type), *((name.replace("_", "-"), value) for name, value in headers.items())]
    found = shown(Message("GET / HTTP/1.1", [], b"", 0), Message("HTTP/1.1 200", named, body, len(body))).reply
    assert found is not None
    return found.body


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"plain", "", "plain"),
        ("ä".encode("latin-1"), "text/plain; charset=latin-1", "ä"),
        ("ä".encode()[:1], "text/plain", ""),  # cut in the middle of a character
        (b"\xff\xfe\x00", "text/plain; charset=nonsense", "\ufffd\ufffd\x00"),
        (b"\xff\xfe\x00", "image/png", "(3 bytes of image/png)"),
        (b"abc", "text/plain; charset=zlib", "abc"),
        (b"abc", "text/plain; charset=bz2", "abc"),
        (b"abc", "text/plain; charset=rot13", "abc"),
        (b"abc", "image/png; charset=zlib", "(3 bytes of image/png; charset=zlib)"),
        (b"abc", "image/png; charset=bz2", "(3 bytes of image/png; charset=bz2)"),
        (b"\\q", "text/plain; charset=unicode_escape", "\\q"),
        (b"abc", "text/plain; charset=undefined", "abc"),
        (b"\x00\x01", "", "(2 bytes)"),
        (b'{"password": "abcdef", "deep": {"access_token": ["abcdef"]}}', "application/json",
         '{"password": "***", "deep": {"access_token": [***]}}'),
        (b'{"password": "abcdef', "application/json", '{"password": "***'),
        (b"key=abcdef&password=abc&x=1", "application/x-www-form-urlencoded", "key=***&password=***&x=1"),
        (b"\x1f\x8bbroken", "text/plain", "\x1f\ufffdbroken"),
    ],
)  # fmt: skip
def test_bodies_are_shown_as_text(body: bytes, content_type: str, expected: str) -> None:
    assert body_of(body, content_type) == expected


def test_a_long_body_is_cut_and_a_packed_one_unpacked() -> None:
    assert body_of(b"x" * 5000) == "x" * BODY_BYTES + "..."
    packed = gzip.compress(b'{"token": "abcdef"}' + b"x" * 100_000)
    assert (body_of(packed, "application/json", Content_Encoding="gzip") or "").startswith('{"token": "***"}xxx')


def test_secrets_are_masked_wherever_they_come_again() -> None:
    credentials = base64.b64encode(b"joe:letmein-1").decode()
    sent = Message(
        "POST /pay/letmein-2?token=letmein-2 HTTP/1.1",
        [("Authorization", f"Basic {credentials}"), ("Cookie", "a=letmein-3; b=letmein-4"), ("X-Api-Key", "letmein-5")],
        b'{"secret": "letmein-6"}',
        23,
    )
    text = " ".join(f"letmein-{number}" for number in range(1, 8)) + credentials
    came = Message("HTTP/1.1 200 OK", [("Set-Cookie", "sid=letmein-7; Path=/")], text.encode(), len(text))
    found = shown(sent, came)
    assert "letmein" not in str(found)
    assert credentials not in str(found)


SPECIAL = 'a+b/"c"\\d<&>'
FORMS = [
    SPECIAL,
    quote(SPECIAL),
    quote(SPECIAL, ""),
    quote_plus(SPECIAL),
    json.dumps(SPECIAL)[1:-1],
    html.escape(SPECIAL),
]


@pytest.mark.parametrize("found_in", ["header", "JSON", "query"])
def test_secrets_are_masked_as_url_and_json_and_html_write_them(found_in: str) -> None:
    sent = {
        "header": Message("GET / HTTP/1.1", [("X-Api-Key", SPECIAL)], b"", 0),
        "JSON": Message("POST / HTTP/1.1", [], json.dumps({"token": SPECIAL}).encode(), 30),
        "query": Message(f"GET /?token={quote(SPECIAL, '')} HTTP/1.1", [], b"", 0),
    }[found_in]
    text = "\n".join(FORMS)
    found = shown(sent, Message("HTTP/1.1 200 OK", [("X-Again", FORMS[2])], text.encode(), len(text))).reply
    assert found is not None
    assert (found.body, list(found.headers)) == ("\n".join(["***"] * len(FORMS)), ["X-Again: ***"])


@pytest.mark.parametrize("kept", [5, 12, 15])
def test_a_secret_that_is_cut_off_leaves_no_piece(kept: int) -> None:
    sent = Message("GET / HTTP/1.1", [("X-Api-Key", "letmein-123456789")], b"", 0)
    begun = b"x" * (KEPT_BYTES - kept) + b"letmein-123456789"[:kept]
    found = shown(sent, Message("HTTP/1.1 200 OK", [], begun, 5000)).reply
    assert found is not None
    assert "letm" not in (found.body or "")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"user%5Bpassword%5D=abc&user%5Bname%5D=x", "application/x-www-form-urlencoded",
         "user%5Bpassword%5D=***&user%5Bname%5D=x"),
        (b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nabc\r\n--b--', "multipart/form-data",
         '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n***\r\n--b--'),
        (b'{"credentials": [{"value": "abc"}], "n": 1}', "application/json", '{"credentials": [***], "n": 1}'),
        (b"<a><Password>abc</Password></a>", "text/xml", "<a><Password>***</Password></a>"),
        (b"<a><Password>ab", "text/xml", "<a><Password>***"),
    ],
)  # fmt: skip
def test_forms_and_documents_are_masked_by_their_names(body: bytes, content_type: str, expected: str) -> None:
    assert body_of(body, content_type) == expected


def test_a_trace_is_read_from_what_was_sent() -> None:
    tracer = Tracer(lambda: 0)
    found = shown(Message("GET / HTTP/1.1", [("traceparent", tracer.header())], b"", 0))
    assert found.trace_id == tracer.trace_id == tracer.of_iteration(0)
    assert tracer.of_iteration(1) is None
    assert trace_id_of("nonsense") is None


def test_two_tracers_share_no_id() -> None:
    random.seed(1)
    one = Tracer(lambda: 0)
    random.seed(1)
    other = Tracer(lambda: 0)
    assert one.header().split("-")[1:3] != other.header().split("-")[1:3]


def test_names_are_masked_until_they_are_taken_back() -> None:
    texts = ["iban: abc", "?iban=abc&x=1", "{'IBAN': 'abc'}", '{"Iban": "abc"}']
    take_back = hide_names(["iban"])
    try:
        assert [masked(text) for text in texts] == [text.replace("abc", "***") for text in texts]
    finally:
        take_back()
    assert [masked(text) for text in texts] == texts
