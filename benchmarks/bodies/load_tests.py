"""The scenarios as load tests. Users, duration and base URL come from the command line."""

from __future__ import annotations

import os

import pytest

from pytest_ipload import LoadSession

pytestmark = pytest.mark.ipload_threshold("p95 < 5s", "error_rate < 1%")

_UPLOAD = bytes(10_000_000)


@pytest.fixture
def secure_session(ipload_session: LoadSession) -> LoadSession:
    """The user's session, which trusts the benchmark's certificate authority."""
    ipload_session.verify = os.environ["BENCHMARK_CA"]
    return ipload_session


def test_get(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/small")
    assert r.status_code == 200


def test_full(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/small")
    assert r.status_code == 200
    assert r.ok
    assert r.headers["content-type"] == "text/plain"
    assert len(r.content) == 66
    assert "hello" in r.text
    assert r.elapsed.total_seconds() > 0


def test_post(ipload_session: LoadSession) -> None:
    r = ipload_session.post("/orders", json={"item": 42, "name": "widget", "tags": ["a", "b"]})
    assert r.status_code == 200


def test_cookie(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/cookie")
    assert r.status_code == 200


def test_cookie_changing(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/cookie-changing")
    assert r.status_code == 200


def test_body(ipload_session: LoadSession) -> None:
    r = ipload_session.get("/megabyte")
    assert r.status_code == 200
    assert len(r.content) == 1 << 20


def test_upload(ipload_session: LoadSession) -> None:
    r = ipload_session.post("/upload", files={"file": ("data.bin", _UPLOAD)})
    assert r.status_code == 200


def test_https(secure_session: LoadSession) -> None:
    r = secure_session.get("/small")
    assert r.status_code == 200
