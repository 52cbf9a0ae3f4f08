from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from support.certificates import Certificates
from support.live import histogram, live_numbers
from support.otlp import OtlpReceiver, metrics_of, points_of, texts

from pytest_ipload.report.files import otlp
from pytest_ipload.report.files.metrics import BUCKETS_S
from pytest_ipload.report.files.otlp import Pusher
from pytest_ipload.report.files.otlp_messages import MessageMaker
from pytest_ipload.report.files.otlp_receiver import NotPushed, Receiver
from pytest_ipload.stats.live import NameNumbers

TEST = "test_shop.py::test_checkout"
CART = NameNumbers(failed_requests=2, latency=histogram(3, 7))
NUMBERS = live_numbers(by_name={"GET /cart": CART}, iterations=4, failed_iterations=1)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts of the last push follow each other at once."""
    monkeypatch.setattr(otlp, "_PAUSES_S", (0, 0, 0))


@contextmanager
def pushing(url: str, **options: Any) -> Iterator[Pusher]:
    """A pusher that has something to tell."""
    pusher = Pusher(url, **options)
    pusher.start()
    pusher.show(TEST, NUMBERS)
    yield pusher
    pusher.close()
    assert "ipload-otlp" not in {thread.name for thread in threading.enumerate()}


def labels(**more: str) -> frozenset[tuple[str, str]]:
    """Those of a value of the test's first load."""
    return frozenset({"test": TEST, "run": "1", **more}.items())


def test_names_values_and_buckets_are_those_of_the_other_formats() -> None:
    with OtlpReceiver() as receiver:
        with pushing(receiver.url):
            pass
        last = receiver.last
        (request,) = receiver.pushes
    counts = [0] * (len(BUCKETS_S) + 1)
    counts[BUCKETS_S.index(0.005)] = counts[BUCKETS_S.index(0.01)] = 1
    assert {key: value for key, value in last.items() if key[0] != "ipload_build_info"} == {
        ("ipload_users_at_work", labels()): 50,
        ("ipload_iterations", labels()): 4,
        ("ipload_failed_iterations", labels()): 1,
        ("ipload_requests", labels(name="GET /cart")): 4,
        ("ipload_failed_requests", labels(name="GET /cart")): 2,
        ("ipload_latency_seconds", labels(name="GET /cart")): (2, pytest.approx(0.01), counts),
    }
    found = {metric.name: metric for metric in metrics_of(request)}
    latency, requests = found["ipload_latency_seconds"], found["ipload_requests"]
    assert (latency.unit, list(latency.histogram.data_points[0].explicit_bounds)) == ("s", list(BUCKETS_S))
    for data in (latency.histogram, requests.sum):
        assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert requests.sum.is_monotonic
    (point,) = requests.sum.data_points
    assert 0 < point.start_time_unix_nano < point.time_unix_nano


def test_the_resource_says_what_pushed_and_of_which_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=c%69,service.name=shop")
    with OtlpReceiver() as receiver:
        for _ in range(2):
            with pushing(receiver.url, segment="1/3"):
                pass
        first, second = receiver.pushes
    session, load = (texts(each.resource.attributes) for each in first.resource_metrics)
    assert session == {
        "service.name": "pytest-ipload",
        "service.version": session["service.version"],
        "service.instance.id": session["service.instance.id"],
        "ipload.segment": "1/3",
        "deployment.environment.name": "ci",
    }
    assert load == {**session, "ipload.test": TEST, "ipload.run": "1"}
    assert texts(second.resource_metrics[0].resource.attributes)["service.instance.id"] != load["service.instance.id"]
    assert all(
        texts(point.attributes)["segment"] == "1/3" for metric in metrics_of(first) for point in points_of(metric)
    )


def test_a_load_is_pushed_while_it_runs_and_nothing_twice() -> None:
    came = threading.Event()

    def answer(number: int) -> int:
        came.set()
        return 200

    with OtlpReceiver(answer) as receiver:
        with pushing(receiver.url, every_s=0.01) as pusher:
            assert came.wait(20)
        assert len(receiver.pushes) == 1
        assert pusher.problem is None


def test_a_load_that_has_results_has_no_users_at_work_any_more() -> None:
    with OtlpReceiver() as receiver, pushing(receiver.url, every_s=0.01) as pusher:
        while not receiver.pushes:
            pusher.show(TEST, NUMBERS)
        error = {"nodeid": TEST, "verdict": "error", "reason": "lost"}
        pusher.finish_session({(TEST, ""): [error]})
        assert receiver.last["ipload_users_at_work", labels()] == 0
        assert receiver.last["ipload_verdict", labels(ipload_verdict="error")] == 1


@pytest.mark.usefixtures("without_pauses")
def test_only_the_last_push_is_repeated_and_an_earlier_failure_is_told() -> None:
    with OtlpReceiver(lambda number: (503, 503, 200)[number]) as receiver:
        with pushing(receiver.url) as pusher:
            pass
        assert len(receiver.heads) == 3
        assert receiver.last["ipload_iterations", labels()] == 4
    assert pusher.problem == (
        f"2 of 3 pushes to {receiver.url}/v1/metrics failed: HTTP 503 Service Unavailable; a later one brought all "
        "totals"
    )


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (301, 1), (503, 3)])
def test_what_a_receiver_refuses_for_good_is_not_sent_again(status: int, attempts: int) -> None:
    with OtlpReceiver(lambda number: status) as receiver:
        with pushing(receiver.url) as pusher:
            pass
        assert len(receiver.heads) == attempts
    assert pusher.problem is not None
    assert f"the last metrics could not be pushed to {receiver.url}/v1/metrics: HTTP {status} " in pusher.problem


def test_values_that_were_rejected_are_told() -> None:
    with OtlpReceiver(rejected=7) as receiver, pushing(receiver.url) as pusher:
        pass
    assert pusher.problem is not None
    assert pusher.problem.endswith(": 7 values were rejected: too many series")


@pytest.mark.usefixtures("without_pauses")
def test_one_that_is_down_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pushing(f"http://joe:s3cret@127.0.0.1:{port}/otlp?token=s3cret") as pusher:
        pass
    assert pusher.problem == (
        f"the last metrics could not be pushed to http://joe:***@127.0.0.1:{port}/otlp?token=***: "
        "ConnectionRefusedError: Connection refused"
    )


@pytest.mark.parametrize("every_s", [10.0, 0.01])  # silent at the last push, and at one before it
def test_the_session_does_not_wait_for_a_receiver_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    monkeypatch.setattr(otlp, "_LAST_PUSH_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        pusher = Pusher(f"http://127.0.0.1:{server.getsockname()[1]}", every_s=every_s)
        pusher.start()
        pusher.show(TEST, NUMBERS)
        if every_s < 1:
            server.accept()[0].close()
        pusher.close()
    assert pusher.problem is not None
    assert "could not be pushed" in pusher.problem
    assert "ipload-otlp" not in {thread.name for thread in threading.enumerate()}


def test_nothing_is_pushed_where_there_were_no_loads() -> None:
    with OtlpReceiver() as receiver:
        pusher = Pusher(receiver.url)
        pusher.start()
        pusher.finish_session({})
        assert (receiver.heads, pusher.problem) == ([], None)


def test_headers_come_from_the_environment_and_a_user_from_the_url() -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k%3D1,x-scope-orgid=a",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "X-Scope-OrgId=b",
    }
    with OtlpReceiver() as server:
        url = server.url.replace("//", "//joe:pw@")
        made = Receiver(f"{url}/otlp/é", variables)
        made.push(MessageMaker({}, {}, 0).request([], 0), timeout_s=20)
        [(path, headers)] = server.heads
    assert path == "/otlp/%C3%A9"
    assert (headers["api-key"], headers["x-scope-orgid"]) == ("k=1", "b")
    assert headers["authorization"] == "Basic am9lOnB3"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("api-key=s3cret%0d%0ax: y", "header 'api-key' cannot be sent"),
        ("api key=s3cret", "header 'api key' cannot be sent"),
        ("api-key=s3crét", "header 'api-key' cannot be sent"),
        ("a=b,s3cret", "a header has no '='"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(given: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_HEADERS: {fault}") as refused:
        Receiver("http://127.0.0.1:1", {"OTEL_EXPORTER_OTLP_HEADERS": given})
    assert "s3c" not in str(refused.value)


def test_a_receiver_may_have_a_certificate_of_a_private_authority(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    message = MessageMaker({}, {}, 0).request([], 0)
    with OtlpReceiver(tls=certificates.server_context()) as server:
        Receiver(server.url, {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates.ca}).push(message, timeout_s=20)
        assert len(server.pushes) == 1
        with pytest.raises(NotPushed, match="SSLCertVerificationError: "):
            Receiver(server.url, {"OTEL_EXPORTER_OTLP_CERTIFICATE": certificates.other_ca}).push(message, 20)
    (tmp_path / "x.pem").write_text("x")
    for path in ("x.pem", "missing.pem"):
        with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_CERTIFICATE: '{tmp_path / path}' cannot be read"):
            Receiver("https://127.0.0.1", {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / path)})


def test_a_host_with_odd_characters_is_a_reason_and_no_crash() -> None:
    made = Receiver("http://a\x00b:4318", {})
    with pytest.raises(NotPushed):
        made.push(MessageMaker({}, {}, 0).request([], 0), timeout_s=1)


def test_any_name_can_be_pushed() -> None:
    odd = 'GET /"a\\b"\n\x1b[31m\udc80é'
    with OtlpReceiver() as receiver:
        with pushing(receiver.url) as pusher:
            pusher.show(TEST, live_numbers(by_name={odd: CART}))
        names = {dict(found)["name"] for metric, found in receiver.last if metric == "ipload_requests"}
    assert names == {'GET /"a\\b"\\n\\x1b[31m\\udc80é'}
