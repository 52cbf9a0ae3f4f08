"""The scenarios as a blocking script of k9-load: a thread a user, requests by its Rust client."""

from __future__ import annotations

import k9
from k9.sync import http

URL = k9.env["TARGET"]


def get() -> None:
    r = http.get(URL)
    assert r.status == 200


def full() -> None:
    r = http.get(URL)
    assert r.status == 200
    assert r.ok
    assert r.headers["content-type"] == "text/plain"
    assert len(r.body) == 66
    assert "hello" in r.text
    assert r.timings.duration > 0


def post() -> None:
    r = http.post(URL, json={"item": 42, "name": "widget", "tags": ["a", "b"]})
    assert r.status == 200


default = {"get": get, "full": full, "post": post}[k9.env["BODY"]]
