"""The demo target that the examples aim at (examples/demo_target.py), asked over real connections."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.demo import EXAMPLES, demo_target

SCRIPT = EXAMPLES / "demo_target.py"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


class Client(http.client.HTTPConnection):
    """One keep-alive connection, which fails rather than waits for ever."""

    def __init__(self, url: str, source_address: str | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        source = (source_address, 0) if source_address else None
        super().__init__(parts.hostname, parts.port, timeout=10, source_address=source)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        with self.getresponse() as response:
            return Answer(response.status, response.msg, response.read())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with demo_target.running_target() as target:
        yield target.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with closing(Client(url)) as connection:
        yield connection


def connect(url: str) -> socket.socket:
    """A plain connection to the server."""
    parts = urlsplit(url)
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def exchange(url: str, data: bytes) -> bytes:
    """What one ``recv`` brings after ``data`` was sent."""
    with connect(url) as connection:
        connection.sendall(data)
        return connection.recv(65536)


def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> bool:
    """Whether ``condition`` comes true in time."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.01)
    return True


def accepts_connections(url: str) -> bool:
    with closing(Client(url)) as connection:
        try:
            connection.connect()
        except OSError:  # refused, or reset by a server that is about to end
            return False
    return True


class TestRoutes:
    def test_the_index_lists_routes_that_all_exist(self, client: Client) -> None:
        routes = [line.split(" ") for line in client.ask("GET", "/").json["routes"]]
        assert len(routes) == 16
        for methods, path in routes:
            method = "GET" if methods == "ANY" else methods
            assert client.ask(method, path, "{}" if method == "POST" else None).status not in (404, 405), path

    def test_whoami_tells_the_peer_as_the_client_knows_itself(self, client: Client) -> None:
        client.connect()
        address, port = client.sock.getsockname()
        answer = client.ask("GET", "/whoami").json
        assert (answer["address"], answer["port"]) == (address, port)

    @linux_only
    def test_whoami_tells_which_source_address_was_bound(self, url: str) -> None:
        with closing(Client(url, "127.0.0.5")) as client:
            assert client.ask("GET", "/whoami").json["address"] == "127.0.0.5"

    def test_the_connection_number_stays_on_a_connection_and_grows_with_the_next(self, url: str) -> None:
        with closing(Client(url)) as first, closing(Client(url)) as second:
            numbers = [client.ask("GET", "/whoami").json["connection"] for client in (first, first, second)]
        assert numbers[0] == numbers[1] < numbers[2]

    def test_slow_takes_at_least_as_long_as_asked(self, client: Client) -> None:
        client.connect()
        started = time.perf_counter()
        assert client.ask("GET", "/slow?ms=30").json == {"slept_ms": 30}
        assert time.perf_counter() - started >= 0.03

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PURGE"])
    def test_status_answers_any_method_with_the_code(self, client: Client, method: str) -> None:
        answer = client.ask(method, "/status/503")
        assert (answer.status, answer.json) == (503, {"status": 503})

    @pytest.mark.parametrize("request_line", ["GET /status/204", "GET /status/304", "HEAD /bytes/9"])
    def test_a_reply_that_may_not_have_a_body_has_none(self, url: str, request_line: str) -> None:
        reply = exchange(url, f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert reply.startswith(b"HTTP/1.1 ")
        assert reply.endswith(b"\r\n\r\n")

    def test_cookies_are_set_and_shown(self, client: Client) -> None:
        answer = client.ask("GET", "/cookies/set?name=colour&value=green")
        assert (answer.status, answer.headers["Location"]) == (302, "/cookies")
        assert answer.headers["Set-Cookie"] == "colour=green; Path=/"
        assert client.ask("GET", "/cookies", Cookie="colour=green; size=xl").json == {"colour": "green", "size": "xl"}
        assert client.ask("GET", "/cookies").json == {}

    def test_redirects_count_down_to_whoami(self, client: Client) -> None:
        path, trail = "/redirect/3", []
        while (answer := client.ask("GET", path)).status == 302:
            path = answer.headers["Location"]
            trail.append(path)
        assert (trail, answer.status) == (["/redirect/2", "/redirect/1", "/whoami"], 200)

    def test_redirect_to_leads_anywhere(self, client: Client) -> None:
        answer = client.ask("GET", "/redirect-to?url=http%3A%2F%2Fexample.org%2Fa%3Fb%3D1")
        assert (answer.status, answer.headers["Location"]) == (302, "http://example.org/a?b=1")

    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "OPTIONS", "MKCOL"])
    def test_echo_shows_the_request(self, client: Client, method: str) -> None:
        answer = client.ask(method, "/echo?a=1&b=x+y&c=", "h\u00e9".encode(), X_Trace="7").json
        assert {key: answer[key] for key in ("method", "path", "query", "body")} == {
            "method": method,
            "path": "/echo",
            "query": {"a": "1", "b": "x y", "c": ""},
            "body": "h\u00e9",
        }
        assert answer["headers"]["x-trace"] == "7"

    def test_a_chunked_body_is_put_together(self, client: Client) -> None:
        assert client.ask("POST", "/echo", iter([b"one,", b"two"])).json["body"] == "one,two"
        assert client.ask("GET", "/bytes/1").body == b"x"

    def test_bytes_has_the_size_asked_for(self, client: Client) -> None:
        assert len(client.ask("GET", "/bytes/1000000").body) == 1_000_000
        assert client.ask("GET", "/bytes/0").body == b""

    def test_who_asks_first_gets_leave_to_send_the_body(self, url: str) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        assert exchange(url, head).startswith(b"HTTP/1.1 100 ")


class TestShop:
    def test_orders_are_counted_from_login_to_logout(self, client: Client) -> None:
        answer = client.ask("POST", "/login", '{"name": "ann"}')
        assert answer.json == {"name": "ann"}
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        first = client.ask("POST", "/orders", '{"item": "tea"}', Cookie=cookie)
        second = client.ask("POST", "/orders", Cookie=cookie)
        assert (first.status, second.status) == (201, 201)
        assert (first.json["name"], first.json["item"]) == ("ann", "tea")
        assert second.json["order"] > first.json["order"]
        assert client.ask("GET", "/cart", Cookie=cookie).json == {"name": "ann", "orders": 2}
        assert client.ask("POST", "/logout", Cookie=cookie).json == {"name": "ann"}
        assert client.ask("GET", "/cart", Cookie=cookie).status == 401

    def test_two_shoppers_do_not_share_a_cart(self, client: Client) -> None:
        cookies = []
        for name in ("ann", "bob"):
            answer = client.ask("POST", "/login", json.dumps({"name": name}))
            cookies.append(answer.headers["Set-Cookie"].partition(";")[0])
        client.ask("POST", "/orders", "{}", Cookie=cookies[0])
        carts = [client.ask("GET", "/cart", Cookie=cookie).json for cookie in cookies]
        assert carts == [{"name": "ann", "orders": 1}, {"name": "bob", "orders": 0}]

    @pytest.mark.parametrize(("method", "path"), [("GET", "/cart"), ("POST", "/orders")])
    @pytest.mark.parametrize("cookie", ["", "session=made-up"])
    def test_without_a_login_there_is_no_shopping(self, client: Client, method: str, path: str, cookie: str) -> None:
        answer = client.ask(method, path, Cookie=cookie)
        assert (answer.status, answer.json) == (401, {"error": "POST /login first"})


class TestBadInput:
    @pytest.mark.parametrize(
        ("method", "path", "body", "text"),
        [
            ("GET", "/slow", None, "ms is a whole number from 0 to 10000"),
            ("GET", "/slow?ms=10001", None, "ms is a whole number from 0 to 10000"),
            ("GET", "/slow?ms=-1", None, "'-1'"),
            ("GET", "/slow?ms=nan", None, "'nan'"),
            ("GET", "/status/199", None, "from 200 to 599"),
            ("GET", "/status/600", None, "from 200 to 599"),
            ("GET", "/status/", None, "''"),
            ("GET", "/bytes/1000001", None, "from 0 to 1000000"),
            ("GET", "/bytes/%D9%A3", None, "from 0 to 1000000"),
            ("GET", "/redirect/0", None, "from 1 to 20"),
            ("GET", "/redirect/21", None, "from 1 to 20"),
            ("GET", "/redirect-to", None, "url is plain ASCII"),
            ("GET", "/redirect-to?url=/%0d%0aX-Injected:1", None, "url is plain ASCII"),
            ("GET", "/redirect-to?url=/%E2%82%AC", None, "url is plain ASCII"),
            ("GET", "/cookies/set?value=y", None, "name and value"),
            ("GET", "/cookies/set?name=a%20b&value=y", None, "name and value"),
            ("GET", "/cookies/set?name=a&value=y;Domain=x", None, "name and value"),
            ("GET", "/cookies/set?name=a&value=y%0d%0aX:1", None, "name and value"),
            ("GET", "/cookies/set?name=a&value=y%0a", None, "name and value"),
            ("POST", "/login", "{}", "with a name"),
            ("POST", "/login", '{"name": 3}', "with a name"),
            ("POST", "/login", "name=x", "not JSON"),
            ("POST", "/login", b"\xff", "not JSON"),
            ("POST", "/login", "[" * 100_000, "not JSON"),
            ("POST", "/orders", "[]", "not a JSON object"),
        ],
    )
    def test_is_a_400_that_says_what_is_allowed(
        self, client: Client, method: str, path: str, body: str | bytes | None, text: str
    ) -> None:
        answer = client.ask(method, path, body)
        assert answer.status == 400
        assert text in answer.json["error"]
        assert client.ask("GET", "/bytes/1").body == b"x"

    def test_an_unknown_path_is_a_404(self, client: Client) -> None:
        answer = client.ask("GET", "/missing?x=1")
        assert (answer.status, answer.json) == (404, {"error": "no such path: /missing; GET / lists the routes"})

    def test_a_method_that_a_path_does_not_take_is_a_405(self, client: Client) -> None:
        answer = client.ask("GET", "/orders")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    def test_a_body_over_the_limit_is_refused_and_the_connection_closed(self, client: Client) -> None:
        answer = client.ask("POST", "/echo", b"x" * 1_000_001)
        assert (answer.status, answer.headers["Connection"]) == (400, "close")
        assert "from 0 to 1000000" in answer.json["error"]

    @pytest.mark.parametrize(
        ("framing", "text"),
        [
            (b"Content-Length: -1\r\n\r\n", b"Content-Length"),
            (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"Content-Length"),
            (b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", b"Content-Length"),
            (b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"a chunk begins"),
            (b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b"a chunk begins"),
        ],
    )
    def test_a_body_without_a_clear_end_is_refused(self, url: str, framing: bytes, text: bytes) -> None:
        reply = exchange(url, b"POST /echo HTTP/1.1\r\nHost: x\r\n" + framing)
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"Connection: close" in reply
        assert text in reply


class TestConnections:
    def test_head_and_body_leave_in_one_write(self, url: str) -> None:
        head, _, body = exchange(url, b"GET /bytes/1000 HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == b"x" * 1000

    @linux_only
    def test_stats_prove_who_connected_with_50_clients_at_once(self, url: str) -> None:
        together = threading.Barrier(50)
        wrong: list[object] = []

        def visit(source_address: str) -> None:
            with closing(Client(url, source_address)) as client:
                together.wait(10)
                seen = {client.ask("GET", "/whoami").json["address"] for _ in range(10)}
            if seen != {source_address}:
                wrong.append((source_address, seen))

        with closing(Client(url)) as asker:
            asker.ask("POST", "/stats/reset")
            threads = [threading.Thread(target=visit, args=(f"127.0.0.{5 + n % 5}",)) for n in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert not any(thread.is_alive() for thread in threads)
            assert wrong == []
            assert asker.ask("GET", "/stats").json == {
                f"127.0.0.{n}": {"requests": 100, "connections": 10} for n in range(5, 10)
            }

    def test_who_asks_for_the_stats_is_not_in_them(self, url: str, client: Client) -> None:
        assert client.ask("POST", "/stats/reset").status == 200
        assert client.ask("GET", "/stats").json == {}
        client.ask("GET", "/missing")
        client.ask("GET", "/bytes/1")
        assert client.ask("GET", "/stats").json == {"127.0.0.1": {"requests": 2, "connections": 1}}

    def test_a_client_that_leaves_in_the_middle_leaves_no_trace(self, capfd: pytest.CaptureFixture[str]) -> None:
        with demo_target.running_target() as target:
            for data in (b"", b"GET /sl", b"POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nx"):
                with connect(target.url) as connection:
                    connection.sendall(data)
                    linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # closing resets
            with closing(Client(target.url)) as client:
                assert client.ask("GET", "/bytes/1").body == b"x"
        assert capfd.readouterr() == ("", "")

    def test_ipv6_is_served_as_well(self) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no ::1")
        with demo_target.running_target("::1") as target, closing(Client(target.url)) as client:
            assert target.url.startswith("http://[::1]:")
            assert client.ask("GET", "/whoami").json["address"] == "::1"


class TestProcess:
    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), *options]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_in_peace(self, number: signal.Signals) -> None:
        with self.start() as process:
            url = demo_target.listening_url(process)
            with closing(Client(url)) as client:  # an open connection does not hold it up
                assert client.ask("GET", "/bytes/1").status == 200
                process.send_signal(number)
                assert process.wait(10) == 0
            assert not accepts_connections(url)

    def test_the_end_of_stdin_ends_it_when_asked_to(self) -> None:
        with self.start("--until-stdin-closes") as process:
            url = demo_target.listening_url(process)
            assert process.stdin is not None
            process.stdin.write("not the end yet\n")
            process.stdin.flush()
            assert accepts_connections(url)
            process.stdin.close()
            assert process.wait(10) == 0

    def test_the_end_of_stdin_does_not_matter_otherwise(self) -> None:
        with self.start() as process:
            url = demo_target.listening_url(process)
            assert process.stdin is not None
            process.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            assert accepts_connections(url)
            process.terminate()

    def test_the_port_can_be_chosen(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.start("--port", str(port)) as process:
            assert demo_target.listening_url(process) == f"http://127.0.0.1:{port}"
            process.terminate()

    def test_running_target_leaves_no_process_even_if_the_block_fails(self) -> None:
        started = time.monotonic()
        with pytest.raises(ZeroDivisionError), demo_target.running_target() as target:
            raise ZeroDivisionError
        assert time.monotonic() - started < demo_target.STOP_LIMIT_S  # it went by itself
        with pytest.raises(ProcessLookupError):  # a zombie would still answer
            os.kill(target.pid, 0)

    def test_ctrl_c_in_the_terminal_does_not_reach_the_server(self) -> None:
        with demo_target.running_target() as target:
            assert os.getsid(target.pid) != os.getsid(0)

    def test_running_target_says_when_the_server_cannot_start(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(RuntimeError, match="did not start"), demo_target.running_target("192.0.2.77"):
            pytest.fail("it started")
        assert "OSError" in capfd.readouterr().err

    def test_a_killed_parent_leaves_no_server_behind(self) -> None:
        code = (
            "import demo_target, time\n"
            "with demo_target.running_target() as target:\n"
            "    print(target.url, flush=True)\n"
            "    time.sleep(60)\n"
        )
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
            assert parent.stdout is not None
            url = parent.stdout.readline().strip()
            assert accepts_connections(url)
            parent.kill()
        assert eventually(lambda: not accepts_connections(url))
