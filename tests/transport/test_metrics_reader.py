"""Endpoints of metrics: what is read of them, and what is not a reading."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.metrics_server import PROCESS, MetricsServer, metrics_server

from pytest_ipload.base.errors import SettingError, TargetLost, TargetNotAllowed
from pytest_ipload.transport import metrics_endpoint, metrics_reader
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.exposition import process_metrics
from pytest_ipload.transport.metrics_endpoint import EndpointError, MetricsEndpoint
from pytest_ipload.transport.metrics_reader import ExpositionReader, QueryReader


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with metrics_server() as server:
        yield server


def endpoint(url: str) -> MetricsEndpoint:
    return MetricsEndpoint(url, AllowedHosts())


def process(cpu: float = 1.5, rss: float = 3e7, started: float = 1.7e9) -> str:
    return PROCESS.format(cpu=cpu, rss=rss, started=started)


class TestExposition:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("process_open_fds 12.0\n", {"process_open_fds": 12}),
            ("process_open_fds 12 1700000000000\r\n", {"process_open_fds": 12}),
            ('process_cpu_seconds_total{mode="user"} 1e1\nprocess_cpu_seconds_total{mode="s{}"} 2 # {a="b"} 1 1\n',
             {"process_cpu_seconds_total": 12}),
            ("process_open_fds NaN\nprocess_max_fds 1024\n# process_open_fds 3\n process_open_fds 4\n", {}),
            ("process_threads 7", {"process_threads": 7}),
        ],
    )  # fmt: skip
    def test_the_standard_metrics_of_a_process_are_found(self, text: str, found: dict[str, float]) -> None:
        assert process_metrics(text) == found

    def test_a_counter_becomes_the_time_used_since_the_last_reading(self, server: MetricsServer) -> None:
        reader = ExpositionReader(endpoint(server.url))
        server.reply = lambda path: (200, process(cpu=1.5))
        assert reader.read() == ({"rss": 3e7, "files": 12}, 0.0)
        server.reply = lambda path: (200, process(cpu=1.75))
        assert reader.read() == ({"rss": 3e7, "files": 12}, 0.25)
        assert [path for path, _ in server.requests] == ["/metrics", "/metrics"]

    @pytest.mark.parametrize(
        ("given", "asked"), [("/", "/metrics"), ("/app/metrics", "/app/metrics"), ("/m?a=b", "/m?a=b")]
    )
    def test_a_path_that_is_given_is_taken(self, server: MetricsServer, given: str, asked: str) -> None:
        server.reply = lambda path: (200, process())
        ExpositionReader(endpoint(server.url + given)).read()
        assert server.requests[0][0] == asked

    @pytest.mark.parametrize(
        ("status", "text", "says"),
        [
            (503, "", "replied with status 503"),
            (302, "", "replied with status 302"),
            (200, "app_requests_total 3", "none of the standard metrics"),
            (200, "process_open_fds many", "could not convert"),
        ],
    )
    def test_anything_else_is_a_reading_that_failed(
        self, server: MetricsServer, status: int, text: str, says: str
    ) -> None:
        server.reply = lambda path: (status, text)
        with pytest.raises(EndpointError, match=says):
            ExpositionReader(endpoint(server.url)).read()

    def test_another_process_behind_the_same_url_ends_the_readings(self, server: MetricsServer) -> None:
        reader = ExpositionReader(endpoint(server.url))
        server.reply = lambda path: (200, process())
        reader.read()
        server.reply = lambda path: (200, process(started=1.8e9))
        with pytest.raises(TargetLost, match="another process answers"):
            reader.read()


def reply(data: Any, status: str = "success") -> str:
    return json.dumps({"status": status, "data": data})


def vector(*values: str) -> str:
    return reply({"resultType": "vector", "result": [{"metric": {}, "value": [1.7e9, value]} for value in values]})


class TestQueries:
    def read(self, server: MetricsServer, text: str, status: int = 200, name: str = "queue") -> dict[str, float]:
        server.reply = lambda path: (status, text)
        gauges, cpu_s = QueryReader(endpoint(f"{server.url}/prom/"), {name: "sum(queue_length)"}).read()
        assert cpu_s is None
        return dict(gauges)

    def test_each_query_has_one_value(self, server: MetricsServer) -> None:
        assert self.read(server, vector("17.5")) == {"queue": 17.5}
        assert self.read(server, reply({"resultType": "scalar", "result": [1.7e9, "3"]})) == {"queue": 3}
        assert server.requests[0][0] == "/prom/api/v1/query?query=sum%28queue_length%29"

    def test_processor_time_is_given_in_cores(self, server: MetricsServer) -> None:
        assert self.read(server, vector("0.5"), name="cpu") == {"cpu": 50}

    @pytest.mark.parametrize("text", [vector(), vector("NaN"), vector("+Inf")])
    def test_no_value_is_none(self, server: MetricsServer, text: str) -> None:
        assert self.read(server, text) == {}

    @pytest.mark.parametrize(
        ("text", "status", "says"),
        [
            (vector("1", "2"), 200, r"gives 2 series; write a query that gives one, such as sum\(\.\.\.\)"),
            (reply({"resultType": "matrix", "result": []}), 200, "gives a matrix"),
            (json.dumps({"status": "error", "error": "parse error"}), 400, "'queue' at .* failed: parse error"),
            ("<html>", 200, "not a reply of Prometheus"),
            ("[" * 100_000, 200, "not a reply of Prometheus"),
            (vector("1").replace('"1"', "1" * 400), 200, "not a reply of Prometheus"),
            ("[]", 404, "not a reply of Prometheus|failed"),
            (reply({"resultType": "vector", "result": [{}]}), 200, "not a reply of Prometheus"),
        ],
    )
    def test_anything_else_is_a_reading_that_failed(
        self, server: MetricsServer, text: str, status: int, says: str
    ) -> None:
        with pytest.raises(EndpointError, match=says):
            self.read(server, text, status)


class TestEndpoint:
    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1/", "http://127.0.0.1:port/", "", "http:///x"])
    def test_what_is_not_a_url_is_refused(self, url: str) -> None:
        with pytest.raises(SettingError, match="ipload_target: prometheus="):
            endpoint(url)

    def test_hosts_that_get_no_load_are_not_read_either(self) -> None:
        with pytest.raises(TargetNotAllowed, match=r"metrics\.example"):
            endpoint("http://metrics.example/metrics")

    def test_a_name_that_leads_to_a_metadata_service_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        with pytest.raises(TargetNotAllowed, match="metadata service"):
            MetricsEndpoint("http://metrics.example/", AllowedHosts(["metrics.example"]))

    def test_a_login_is_sent_and_not_shown(self, server: MetricsServer) -> None:
        server.reply = lambda path: (200, "")
        secret = endpoint(server.url.replace("//", "//me:geheim@"))
        secret.get("/")
        headers = server.requests[0][1]
        assert headers["Authorization"] == "Basic bWU6Z2VoZWlt"
        assert headers["Host"] == f"127.0.0.1:{server.port}"
        assert headers["Connection"] == "close"
        assert "geheim" not in secret.url

    def test_a_server_that_is_silent_costs_a_reading_and_no_more(
        self, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics_endpoint, "TIMEOUT_S", 0.1)
        server.reply = lambda path: None
        with pytest.raises(EndpointError, match=r"no reply from http://.* within 0\.1 s"):
            endpoint(server.url).get("/")

    def test_a_server_that_is_down_says_so(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(EndpointError, match="refused"):
            endpoint(f"http://127.0.0.1:{port}/").get("/")

    def test_a_reply_that_is_too_large_is_not_read(
        self, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics_endpoint, "MOST_BYTES", 1000)
        server.reply = lambda path: (200, "x" * 2000)
        with pytest.raises(EndpointError, match="more than 1000 bytes"):
            endpoint(server.url).get("/")

    def test_several_queries_share_the_time_of_one_reading(
        self, server: MetricsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(metrics_reader, "TIMEOUT_S", 0.0)
        server.reply = lambda path: (200, vector("1"))
        with pytest.raises(EndpointError, match="no reply"):
            QueryReader(endpoint(server.url), {"a": "a", "b": "b"}).read()
