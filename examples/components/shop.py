"""A customer of the demo target, as a component in Python: ``build.sh python`` makes ``build/shop-python.wasm`` of it.

``wit_world`` and ``componentize_py_types`` are made by componentize-py, of ``python -m pytest_ipload wit``.


Each call of an export gets a new ``WitWorld``, so what has to be kept is in the module: each user has one of its own.
An exception that is not an ``Err`` is a trap, and its text is lost.
"""

from __future__ import annotations

import json
from typing import Any

import wit_world
from componentize_py_types import Err
from wit_world.imports import http, metrics, sockets, user
from wit_world.imports.types import Value_Integer, Value_Text

JSON = [("Content-Type", "application/json")]
customer: dict[str, str] = {}


def post(path: str, what: object, status: int) -> Any:
    """What the target replies to a JSON document. Another status is the end of the iteration."""
    reply = http.send("POST", path, JSON, json.dumps(what).encode(), None)
    if reply.status != status:
        raise Err(f"POST {path}: status {reply.status}")
    return json.loads(reply.body)


class WitWorld(wit_world.WitWorld):
    """The exports of the world."""

    def set_up(self) -> None:
        """Log in as the person of the user's row. The session keeps the cookie."""
        row = dict(user.row("accounts") or [])
        customer["name"] = row["name"].value
        post("/login", customer, 200)

    def iterate(self, inputs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Order something, look at it, and ask the target by TCP from where the user comes."""
        given = {name: value.value for name, value in inputs}
        cart = json.loads(http.get("/cart").body)
        metrics.check("the cart is the user's", cart["name"] == customer["name"])
        with metrics.step("buy") as buy:
            order = post("/orders", {"item": given["item"]}, 201)["order"]
            http.send("GET", f"/bytes/{order}", [], None, http.Options("GET /bytes/{order}", [], None, True))
            buy.finish(None)
        address = self.whoami(given["host"], given["port"])
        metrics.check("the lease is the source", user.source_address() in (None, address))
        return [("order", Value_Integer(order)), ("address", Value_Text(address))]

    def whoami(self, host: str, port: int) -> str:
        """What the target sees, by a socket of the user's own; timed as ``whoami by TCP``."""
        with metrics.measure("whoami by TCP") as span, sockets.TcpStream.connect(host, port, None) as stream:
            stream.send(b"GET /whoami HTTP/1.0\r\n\r\n", None)
            reply = b""
            while part := stream.receive(4096, None):
                reply += part
            span.finish(None)
        return str(json.loads(reply.partition(b"\r\n\r\n")[2])["address"])

    def tear_down(self) -> None:
        """Log out."""
        post("/logout", {}, 200)
