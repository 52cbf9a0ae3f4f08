"""HTTP clients other than the session's: each leaves from its user's address, as the server sees it."""

from __future__ import annotations

import asyncio
import http.client
import sys
import urllib.request
from collections.abc import Callable, Iterator

import aiohttp
import httpx
import pytest
import requests
from support.http_server import RecordingServer
from support.visitor import Visitor

from pytest_ipload.base.errors import TargetNotAllowed, is_configuration_error

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

USERS = ("127.0.0.77", "127.0.0.78")


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def by_requests(host: str, port: int) -> None:
    requests.get(f"http://{host}:{port}/", timeout=10).raise_for_status()


def by_requests_session(host: str, port: int) -> None:
    with requests.Session() as session:
        session.get(f"http://{host}:{port}/", timeout=10).raise_for_status()


def by_urllib(host: str, port: int) -> None:
    urllib.request.urlopen(f"http://{host}:{port}/", timeout=10).close()


def by_http_client(host: str, port: int) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def by_httpx(host: str, port: int) -> None:
    httpx.get(f"http://{host}:{port}/", trust_env=False).raise_for_status()


def by_httpx_async(host: str, port: int) -> None:
    async def get() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.get(f"http://{host}:{port}/")).raise_for_status()

    asyncio.run(get())


def by_aiohttp(host: str, port: int) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
            response.raise_for_status()

    asyncio.run(get())


def by_asyncio_streams(host: str, port: int) -> None:
    async def get() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200" in await reader.readline()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    asyncio.run(get())


CLIENTS = (
    by_requests,
    by_requests_session,
    by_urllib,
    by_http_client,
    by_httpx,
    by_httpx_async,
    by_aiohttp,
    by_asyncio_streams,
)


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_leaves_from_its_users_address(client: Callable[[str, int], None], server: RecordingServer) -> None:
    server.connections.clear()
    for user in USERS:
        for host in ("127.0.0.1", "localhost"):
            Visitor(user).run(lambda: client(host, server.port))  # noqa: B023  # it runs now
    assert [peer for peer, _ in server.connections] == [user for user in USERS for _ in range(2)]


@pytest.mark.parametrize("host", ["shop.example.com", "203.0.113.9"])
@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_is_refused_what_the_session_is(client: Callable[[str, int], None], host: str) -> None:
    with pytest.raises(Exception) as raised:  # anyio may put it into a group
        Visitor(USERS[0]).run(lambda: client(host, 80))
    [error] = getattr(raised.value, "exceptions", [raised.value])
    assert type(error) is TargetNotAllowed
    assert str(error).startswith(f"'{host}' is not in ipload_allowed_hosts; load was not sent")
    assert is_configuration_error(raised.value)
