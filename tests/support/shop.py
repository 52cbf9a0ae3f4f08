"""A small shop on loopback: sessions, tokens against forged requests, one-time tokens, and orders of their own."""

from __future__ import annotations

import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from support.running_server import RunningServer

PASSWORD = "correct-horse-42"
PAGE = (
    '<!doctype html><title>Shop</title><link rel="stylesheet" href="/style.css"><link rel="icon" href="/favicon.ico">'
)

ORDER_SCRIPT = """
<script src="/app.js"></script><meta name="csrf-token" content="{csrf}"><button id="order">order</button>
<script>
const token = document.querySelector("meta[name=csrf-token]").content;
const call = (method, url, body) => fetch(url, {{method, headers: {{"Content-Type": "application/json",
  "X-CSRF-Token": token}}, body: body && JSON.stringify(body)}}).then(r => r.json());
document.getElementById("order").onclick = async () => {{
  const basket = await call("GET", "/api/basket");
  const {{order}} = await call("POST", "/api/orders", {{basket: basket.id, note: "it's \\"ok\\""}});
  for (const part of ["items", "shipping", "taxes"]) await call("GET", "/api/orders/" + order.id + "/" + part);
  await call("PUT", "/api/orders/" + order.id + "/address", {{order_id: order.id, street: "Hauptstraße 1"}});
  const payment = await call("POST", "/api/orders/" + order.id + "/payments", {{amount: order.total}});
  await call("POST", "/api/payments/" + payment.payment.reference + "/confirm", {{key: payment.payment.key}});
  await call("GET", "/api/orders?order=" + order.id);
  location = "/orders/" + order.id;
}};
</script>
"""


class Visit(NamedTuple):
    """A request as the shop saw it."""

    session: str
    method: str
    path: str
    body: str
    status: int
    content_type: str


@dataclass
class Session:
    """What the shop knows of a visitor."""

    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24) + "+/=")
    user: str | None = None
    basket: int = field(default_factory=lambda: 100_000 + secrets.randbelow(900_000))
    orders: dict[int, dict[str, str]] = field(default_factory=dict)
    nonce: str = ""


class Shop(RunningServer):
    """A context manager; ``visits`` are all requests."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.visits: list[Visit] = []
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        self.next_order = 7000

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Shop
    protocol_version = "HTTP/1.1"
    timeout = 10
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        found = re.search(r"sid=(\w+)", self.headers.get("Cookie", ""))
        self.cookies: list[str] = []
        with self.server.lock:
            self.sid = found[1] if found and found[1] in self.server.sessions else self._begin(Session())
            self.session = self.server.sessions[self.sid]
            url = urlsplit(self.path)
            status, content, location = self._answer(url.path, parse_qs(url.query), body)
            kind = self.headers.get("Content-Type", "")
            self.server.visits.append(Visit(self.sid, self.command, self.path, body, status, kind))
        page = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for cookie in self.cookies:
            self.send_header("Set-Cookie", cookie)
        if location:
            self.send_header("Location", location)
        types = {"css": "text/css", "js": "text/javascript", "ico": "image/x-icon"}
        kind = types.get(url.path.rpartition(".")[2], "text/html; charset=utf-8")
        self.send_header("Content-Type", kind if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _begin(self, session: Session) -> str:
        sid = secrets.token_hex(16)
        self.server.sessions[sid] = session
        self.cookies = [f"sid={sid}; Path=/; HttpOnly"]
        return sid

    def _form(self) -> str:
        return f'<input type="hidden" name="csrf" value="{escape(self.session.csrf)}">'

    def _answer(self, path: str, query: dict[str, list[str]], body: str) -> tuple[int, Any, str]:
        if path in ("/style.css", "/app.js", "/favicon.ico"):
            return 200, "/* */", ""
        if path == "/":
            return 200, PAGE + '<a id="login" href="/login">log in</a>', ""
        if path == "/login" and self.command == "GET":
            name = '<input name="user"><input name="password" type="password"><button id="go">go</button>'
            return 200, f'{PAGE}<form method="post" action="/login">{self._form()}{name}</form>', ""
        form = {key: values[0] for key, values in parse_qs(body, keep_blank_values=True).items()}
        if self.command != "GET" and self.session.csrf not in (form.get("csrf"), self.headers.get("X-CSRF-Token")):
            return 403, "wrong token", ""
        if path == "/login":
            if form.get("user") != "alice" or form.get("password") != PASSWORD:
                return 403, "wrong password", ""
            self.sid = self._begin(Session(user="alice"))
            self.session = self.server.sessions[self.sid]
            return 302, "", "/account"
        if self.session.user is None:
            return 403, "log in first", ""
        return self._inside(path, query, form, body)

    def _inside(self, path: str, query: dict[str, list[str]], form: dict[str, str], body: str) -> tuple[int, Any, str]:
        links = "".join(f'<a class="product" href="/products/{number}">{number}</a>' for number in (3, 5, 8))
        if path == "/account":
            return 302, "", "/products?sort=price&q=blue+shoes"
        if path == "/products":
            return 200, PAGE + links, ""
        if re.fullmatch(r"/products/[358]", path):
            product = path.rpartition("/")[2]
            fields = f'<input type="hidden" name="product_id" value="{product}"><input name="count" value="2">'
            return (
                200,
                f'{PAGE}<form method="post" action="/cart">{self._form()}{fields}<button id="add">add</button></form>',
                "",
            )
        if path == "/cart" and self.command == "POST":
            return (303, "", "/cart") if form.get("product_id") in ("3", "5", "8") else (404, "no such product", "")
        if path == "/cart":
            return 200, PAGE + ORDER_SCRIPT.format(csrf=escape(self.session.csrf)), ""
        if path == "/api/basket":
            return 200, {"id": self.session.basket, "items": [{"id": 3, "count": 2}]}, ""
        if path == "/api/orders" and self.command == "POST":
            if json.loads(body) != {"basket": self.session.basket, "note": 'it\'s "ok"'}:
                return 404, {"error": "not your basket"}, ""
            self.server.next_order += 1
            self.session.orders[self.server.next_order] = {}
            return 201, {"order": {"id": self.server.next_order, "total": 42.5}}, ""
        if path == "/logout":
            return 302, "", "/"
        return self._order(path, query, form, body)

    def _order(self, path: str, query: dict[str, list[str]], form: dict[str, str], body: str) -> tuple[int, Any, str]:
        orders = self.session.orders
        if found := re.fullmatch(r"/api/payments/([\w-]+)/confirm", path):
            known = {payment: key for order in orders.values() for payment, key in order.items()}
            right = json.loads(body) == {"key": known.get(found[1])}
            return (200, {"paid": True}, "") if right else (404, {"error": "not your payment"}, "")
        found = re.search(r"/orders/(\d+)", path)
        number = int(found[1]) if found else int(query.get("order", ["0"])[0])
        if number not in orders:
            return 404, {"error": "not your order"}, ""
        if path.endswith("/payments"):
            reference, key = secrets.token_hex(8), secrets.token_urlsafe(24)
            orders[number][reference] = key
            return 201, {"payment": {"reference": reference, "key": key}}, ""
        if path.endswith("/address") and json.loads(body).get("order_id") != number:
            return 404, {"error": "not that order"}, ""
        if path.startswith("/api/"):
            return 200, {"number": number}, ""
        if path.endswith("/cancel"):
            if form.get("nonce") != self.session.nonce:
                return 403, "wrong nonce", ""
            return 302, "", f"/orders/{number}?cancelled=1"
        self.session.nonce = secrets.token_hex(12)
        nonce = f'<input name=nonce type=hidden value="{self.session.nonce}">'
        action = f'<form method="post" action="/orders/{number}/cancel">'
        cancel = f'{action}{self._form()}{nonce}<button id="cancel">no</button></form>'
        leave = f'<form method="post" action="/logout">{self._form()}<button id="leave">bye</button></form>'
        return 200, PAGE + cancel + leave, ""
