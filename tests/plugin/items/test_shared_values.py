from __future__ import annotations

import ftplib
import io
import itertools
import queue
import smtplib
import socket
import sqlite3
import sys
import types
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import httpx
import pytest
import requests
from pymysql.connections import Connection  # type: ignore[import-untyped]  # it has no types

from pytest_ipload import LoadSession
from pytest_ipload.plugin.fixtures.placeholders import PerUser
from pytest_ipload.plugin.items.shared_values import unsafe_values


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (requests.Session, "requests.sessions.Session"),
        (LoadSession, "pytest_ipload.transport.session.LoadSession"),
        (lambda: HTTPConnection("127.0.0.1"), "http.client.HTTPConnection"),
        (lambda: HTTPSConnection("127.0.0.1"), "http.client.HTTPSConnection"),
        (httpx.Client, "httpx.Client"),
        (socket.socket, "socket.socket"),
        (smtplib.SMTP, "smtplib.SMTP"),
        (ftplib.FTP, "ftplib.FTP"),
        (lambda: Connection(defer_connect=True), "pymysql.connections.Connection"),
        (lambda: sqlite3.connect(":memory:"), "sqlite3.Connection"),
        (io.StringIO, "_io.StringIO"),
        (lambda: io.TextIOWrapper(io.BytesIO()), "_io.TextIOWrapper"),
        (lambda: io.BufferedReader(io.BytesIO()), "_io.BufferedReader"),
        (generator, "generator"),
        (lambda: iter([1, 2]), "list_iterator"),
        (lambda: itertools.cycle([1]), "itertools.cycle"),
    ],
)
def test_what_threads_cannot_share_is_named(make: Callable[[], Any], kind: str) -> None:
    value = make()
    try:
        assert unsafe_values({"a": 1, "client": value}) == {"client": kind}
    finally:
        getattr(value, "close", lambda: None)()


@pytest.mark.parametrize(
    "value",
    [
        *(1, "text", b"x", [1], {"a": 1}, (1,), None, range(3), lambda: 1, object()),
        *(SimpleNamespace(), requests.Session, queue.Queue(), itertools.count()),
        *(MagicMock(), Mock(spec=requests.Session), Mock(spec=itertools.cycle)),
    ],
)
def test_other_values_are_left_in_peace(value: Any) -> None:
    assert unsafe_values({"value": value}) == {}


def test_what_per_user_fixtures_ask_for_is_looked_at_and_they_themselves_are_not() -> None:
    rows = generator()
    inner = PerUser("inner", generator, {"rows": rows, "number": 1}, per_iteration=False)
    outer = PerUser("outer", generator, {"inner": inner, "rows": rows}, per_iteration=False)
    assert unsafe_values({"outer": outer}) == {"rows": "generator"}
    assert unsafe_values({"lone": PerUser("lone", generator, {}, per_iteration=True)}) == {}


def test_modules_that_nobody_imported_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(":memory:") as connection:
        for name in ("requests", "sqlite3", "http.client"):
            monkeypatch.delitem(sys.modules, name)
        assert unsafe_values({"connection": connection}) == {}
        monkeypatch.setitem(sys.modules, "sqlite3", types.ModuleType("sqlite3"))
        assert unsafe_values({"connection": connection}) == {}
    connection.close()
