"""Values that a reply hands out are sent back as the load's own: replayed against replies with other values."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from support.hars import check_with_ruff, entry, har, imported

from pytest_ipload import LoadSession

Reply = tuple[int, dict[str, str], str]
Sent = tuple[str, str, dict[str, str], str]


class Case(NamedTuple):
    """What a reply looks like that hands out a value, and the request that sends it back."""

    name: str
    reply: Callable[[str], Reply]
    request: Callable[[str], Sent]
    recorded: str = "b7Kq29-xyzW"
    replayed: str = "r4ND0m-other9"


def page(text: str) -> Reply:
    return 200, {"Content-Type": "text/html"}, f"<html><body>{text}</body></html>"


def reply_json(value: Any) -> Reply:
    return 200, {"Content-Type": "application/json"}, json.dumps(value)


def get(path: str, **headers: str) -> Sent:
    return "GET", path, {key.replace("_", "-"): value for key, value in headers.items()}, ""


def post(body: Any) -> Sent:
    return "POST", "/send", {"Content-Type": "application/json"}, json.dumps(body)


def form(body: str) -> Sent:
    return "POST", "/send", {"Content-Type": "application/x-www-form-urlencoded"}, body


CASES = (
    Case(
        "JSON to a path",
        lambda v: reply_json({"order": {"id": int(v)}}),
        lambda v: get(f"/orders/{v}/items"),
        "17",
        "29",
    ),
    Case(
        "JSON to a query",
        lambda v: reply_json({"items": [{"id": 1}, {"cursor": v}]}),
        lambda v: get(f"/items?after={v}&n=1"),
    ),
    Case(
        "JSON to a name of its own",
        lambda v: reply_json({"order": {"id": int(v)}}),
        lambda v: get(f"/list?order={v}"),
        "17",
        "29",
    ),
    Case(
        "a number stays a number",
        lambda v: reply_json([{"id": int(v)}]),
        lambda v: post({"product_id": int(v), "n": [1]}),
        "5",
        "8",
    ),
    Case(
        "a number becomes a text",
        lambda v: reply_json({"id": int(v)}),
        lambda v: post({"product_id": v}),
        "512345",
        "898765",
    ),
    Case(
        "a text becomes a number",
        lambda v: page(f'<input type="hidden" name="id" value="{v}">'),
        lambda v: post({"id": int(v)}),
        "512345",
        "898765",
    ),
    Case(
        "JSON to a bearer token",
        lambda v: reply_json({"access_token": v}),
        lambda v: get("/me", Authorization=f"Bearer {v}"),
    ),
    Case("a header to a header", lambda v: (200, {"X-Next": v}, ""), lambda v: get("/next", X_Token=v)),
    Case(
        "a cookie to a header",
        lambda v: (200, {"Set-Cookie": f"XSRF-TOKEN={quote(v, safe='')}; Path=/"}, ""),
        lambda v: get("/x", X_XSRF_TOKEN=v),
        "a1b2c3d4+/==",
        "z9y8x7w6+/==",
    ),
    Case(
        "a hidden field",
        lambda v: page(f"<input type='hidden' name=\"csrf\" value='{html.escape(v)}'>"),
        lambda v: form(f"csrf={quote(v, safe='')}&n=1"),
        'a1b2&c3"d4',
        "z9'y8&x7<w6",
    ),
    Case(
        "a field whose value comes first",
        lambda v: page(f'<input value="{v}" type="hidden" name="csrf">'),
        lambda v: form(f"csrf={v}"),
    ),
    Case(
        "a short hidden id",
        lambda v: page(f'<input type=hidden name=row value="{v}">'),
        lambda v: form(f"row={v}&quantity=3"),
        "3",
        "4",
    ),
    Case(
        "the second of two forms",
        lambda v: page(f'<input name="a" value="abc12345"><form id="f2"><input name="b" value="{v}">'),
        lambda v: form(f"b={v}"),
    ),
    Case(
        "the third of equal fields",
        lambda v: page("".join(f'<input name="row" type="hidden" value="{each}">' for each in ("aa11", "bb22", v))),
        lambda v: form(f"row={v}"),
    ),
    Case("a meta tag", lambda v: page(f'<meta name="csrf-token" content="{v}">'), lambda v: get("/x", X_CSRF_Token=v)),
    Case(
        "a variable of a script",
        lambda v: page(f'<script>var config = {{"csrf": "{v}", "n": 1}};</script>'),
        lambda v: get("/x", X_CSRF_Token=v),
    ),
    Case(
        "a link",
        lambda v: page(f'<a href="/home/7">x</a><a href="/orders/{v}/pay">pay</a>'),
        lambda v: get(f"/orders/{v}/pay"),
        "17",
        "29",
    ),
    Case(
        "the header Location",
        lambda v: (201, {"Location": f"/orders/{v}"}, ""),
        lambda v: get(f"/orders/{v}"),
        "17",
        "29",
    ),
    Case(
        "a segment that has to be quoted",
        lambda v: reply_json({"key": v}),
        lambda v: get(f"/files/{quote(v, safe='')}"),
        "a1/b2 c3d4?",
        "x9/y8 z7#w6?",
    ),
    Case(
        "a name with an ending",
        lambda v: reply_json({"invoice": {"id": int(v)}}),
        lambda v: get(f"/invoices/{v}.pdf"),
        "17",
        "29",
    ),
)


class Scripted(ThreadingHTTPServer):
    """Replies to ``/give`` with what it is given, and remembers the other requests."""

    daemon_threads = False
    reply: Reply = (200, {}, "")
    redirect = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Sent] = []


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        status, headers, content = self.server.reply if self.path == "/give" else (200, {}, "")
        if self.path != "/give":
            self.server.seen.append((self.command, self.path, dict(self.headers), body))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content.encode()))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def replayed(module: str, server: Scripted) -> list[Sent]:
    """The requests that the load test sends to a server."""
    namespace: dict[str, Any] = {}
    exec(compile(module, "test_shop.py", "exec"), namespace)
    server.seen.clear()
    with LoadSession(base_url=f"http://127.0.0.1:{server.server_address[1]}") as session:
        namespace["test_shop"](session)
    return server.seen


def module_of(case: Case) -> str:
    """The load test of a recording of the case."""
    status, received, body = case.reply(case.recorded)
    method, path, headers, sent = case.request(case.recorded)
    mime = headers.get("Content-Type", "")
    recording = har(
        entry("GET", "/give", status, body, received.get("Content-Type", ""), received=received),
        entry(method, path, sent=sent, sent_as=mime, headers=headers),
    )
    return imported(recording)[1]


def test_what_is_written_is_formatted(tmp_path: Path) -> None:
    check_with_ruff(map(module_of, CASES), tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_value_is_taken_from_the_reply_of_the_load(case: Case, scripted: Scripted) -> None:
    module = module_of(case)
    assert case.recorded not in module or len(case.recorded) < 3
    scripted.reply = case.reply(case.replayed)
    [(seen_method, seen_path, seen_headers, seen_body)] = replayed(module, scripted)
    method, path, headers, sent = case.request(case.replayed)
    mime = headers.get("Content-Type", "")
    assert (seen_method, seen_path) == (method, path)
    for key, value in headers.items():
        assert seen_headers[key] == value
    assert (json.loads(seen_body), mime) == (json.loads(sent), mime) if "json" in mime else seen_body == sent


def test_a_value_of_a_redirect_is_taken_from_the_url_it_leads_to() -> None:
    _, module = imported(
        har(
            entry("POST", "/orders", 302, received={"Location": "/orders/17"}),
            entry("GET", "/orders/17", body="thanks"),
            entry("GET", "/orders/17/items"),
        )
    )
    assert 'order_id = find("orders/([^/?#]+)", response.url)' in module
    assert module.count("ipload_session.") == 2 + module.count("cookies.clear")


@pytest.mark.parametrize(
    ("handed_out", "sent"),
    [
        ({"id": 2, "stock": 3}, {"quantity": 2, "size": 3}),
        ({"page": 2}, {"page": 2}),
        ({"name": "blue shoe"}, {"name": "blue shoe"}),
        ({"id": 1, "ok": True}, {"agree": True, "rate": 1.0}),
    ],
)
def test_what_may_be_equal_by_chance_stays_as_it_was_recorded(handed_out: Any, sent: Any) -> None:
    recording, module = imported(
        har(
            entry("GET", "/give", body=json.dumps(handed_out), mime="application/json"),
            entry("POST", "/send", sent=json.dumps(sent)),
        )
    )
    assert [step.captures for step in recording.scenarios[0].steps] == [(), ()]
    assert "response" not in module


def test_an_id_is_taken_from_where_it_was_created() -> None:
    _, module = imported(
        har(
            entry("GET", "/products", body='[{"id": 6}, {"id": 7}]', mime="application/json"),
            entry("POST", "/orders", 201, '{"id": 7}', "application/json", sent="{}"),
            entry("GET", "/orders", body='[{"id": 3}, {"id": 7}]', mime="application/json"),
            entry("GET", "/orders/7"),
            entry("GET", "/products/7"),
        )
    )
    assert 'order_id = response.json()["id"]' in module
    assert 'product_id = response.json()[1]["id"]' in module
    assert 'f"/orders/{order_id}"' in module
    assert 'f"/products/{product_id}"' in module


def test_each_token_that_rotates_is_taken_from_its_own_reply() -> None:
    tokens = ["aaaa1111bbbb", "cccc2222dddd"]
    pages = [
        part
        for token in tokens
        for part in (
            entry("GET", "/form", body=f'<input type="hidden" name="csrf" value="{token}">'),
            entry("POST", "/send", sent=f"csrf={token}", sent_as="application/x-www-form-urlencoded"),
        )
    ]
    recording, module = imported(har(*pages))
    assert [len(step.captures) for step in recording.scenarios[0].steps] == [1, 0, 1, 0]
    assert 'data={"csrf": csrf_2}' in module


def test_what_a_scenario_file_cannot_decode_is_said() -> None:
    recorded = har(
        entry("GET", "/form", body='<input type="hidden" name="csrf" value="abcd1234&amp;5678">'),
        entry("POST", "/send", sent="csrf=abcd1234%265678", sent_as="application/x-www-form-urlencoded"),
    )
    recording, _ = imported(recorded, "yaml")
    assert recording.notes == [
        "POST /send: form csrf comes from an earlier reply, but scenario files cannot take it from there; "
        "--as python can"
    ]
    assert imported(recorded)[0].notes == []
