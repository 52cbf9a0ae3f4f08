"""The scenarios as an async script of k9-load: all users on one event loop, requests by its Rust client."""

from __future__ import annotations

import k9

URL = k9.env["TARGET"]


async def get() -> None:
    r = await k9.http.get(URL)
    assert r.status == 200


async def full() -> None:
    r = await k9.http.get(URL)
    assert r.status == 200
    assert r.ok
    assert r.headers["content-type"] == "text/plain"
    assert len(r.body) == 66
    assert "hello" in r.text
    assert r.timings.duration > 0


async def post() -> None:
    r = await k9.http.post(URL, json={"item": 42, "name": "widget", "tags": ["a", "b"]})
    assert r.status == 200


default = {"get": get, "full": full, "post": post}[k9.env["BODY"]]
