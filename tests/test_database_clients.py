"""Clients of databases: each leaves from its user's address, as the server sees it."""

from __future__ import annotations

import struct
import sys
from socketserver import StreamRequestHandler

import pg8000.dbapi  # type: ignore[import-untyped]  # it has no types
import pymysql  # type: ignore[import-untyped]  # it has no types
import pytest
import redis
from support.peers import PeerServer
from support.programs import Served
from support.visitor import Visitor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

USERS = ("127.0.0.77", "127.0.0.78")


def test_redis(redis_server: Served) -> None:
    def visit() -> str:
        with redis.Redis(port=redis_server.port, socket_timeout=10) as client:
            client.set("x", "1")
            return str(client.client_info()["addr"]).rpartition(":")[0]

    assert [Visitor(user).run(visit) for user in USERS] == list(USERS)


def test_postgresql(postgresql: Served) -> None:
    def visit() -> str:
        connection = pg8000.dbapi.connect("postgres", host="127.0.0.1", port=postgresql.port, timeout=10)
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT host(inet_client_addr())")
            return str(cursor.fetchone()[0])
        finally:
            connection.close()

    assert [Visitor(user).run(visit) for user in USERS] == list(USERS)


def greet(handler: StreamRequestHandler) -> None:
    """As MySQL greets a client, and lets it in; all that it asks is fine."""

    def send(number: int, payload: bytes) -> None:
        handler.wfile.write(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)

    def receive() -> bytes:
        length = int.from_bytes(handler.rfile.read(4)[:3], "little")
        return handler.rfile.read(length)

    flags = 0x0200 | 0x8000 | 0x80000  # protocol 4.1, secure connection, authentication by plugin
    send(
        0,
        b"\x0a8.0.0\x00"
        + struct.pack("<I", 1)
        + b"saltsalt\x00"
        + struct.pack("<HBHH", flags & 0xFFFF, 45, 2, flags >> 16)
        + bytes([21])
        + bytes(10)
        + b"saltsaltsalt\x00"
        + b"mysql_native_password\x00",
    )
    receive()
    for number in (2, 1, 1, 1):
        send(number, b"\x00\x00\x00\x02\x00\x00\x00")  # OK
        if receive()[:1] in (b"", b"\x01"):  # it quits
            return


def test_mysql() -> None:
    def visit() -> None:
        with pymysql.connect(host="127.0.0.1", port=server.port, user="x", password="y", connect_timeout=10) as client:
            client.ping()

    with PeerServer(greet) as server:
        for user in USERS:
            Visitor(user).run(visit)
    assert server.peers == list(USERS)
