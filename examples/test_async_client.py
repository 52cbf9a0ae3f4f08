"""Load tests as coroutines: an ``httpx.AsyncClient`` for each user, on the event loop of the user's own thread."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from pytest_ipload import LoadRunner, VirtualUser

if TYPE_CHECKING:
    import httpx
else:
    httpx = pytest.importorskip("httpx", reason="needs httpx: pip install httpx")

TLS = ssl.create_default_context()  # one for all users: making one takes 20 ms of processor time


@pytest.fixture
async def client(ipload_user: VirtualUser, base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A logged-in client per user."""
    async with httpx.AsyncClient(base_url=base_url, verify=TLS, timeout=30) as client:
        login = await client.post("/login", json={"name": f"user {ipload_user.index}"})
        login.raise_for_status()
        yield client
        await client.post("/logout")


@pytest.mark.ipload(users=5, iterations=4)
@pytest.mark.ipload_threshold("p95{GET /cart} < 2s", "p95{step:order} < 4s")
async def test_order(client: httpx.AsyncClient, ipload_user: VirtualUser) -> None:
    async with ipload_user.measure("GET /cart"):
        cart = await client.get("/cart")
        cart.raise_for_status()
    async with ipload_user.step("order"), ipload_user.measure("POST /orders"):
        order = await client.post("/orders", json={})
        assert order.status_code == 201


@pytest.mark.ipload(users=5, iterations=4)
async def test_parts_of_a_page(client: httpx.AsyncClient, ipload_user: VirtualUser) -> None:
    async def get(path: str) -> None:
        async with ipload_user.measure(f"GET {path}"):
            (await client.get(path)).raise_for_status()

    async with ipload_user.step("page"):  # two requests at once, as a browser makes them
        await asyncio.gather(get("/whoami"), get("/bytes/1000"))


def test_run_yourself(ipload: LoadRunner, base_url: str) -> None:
    async def body(user: VirtualUser) -> None:
        async with user.measure("GET /whoami"), httpx.AsyncClient(base_url=base_url, verify=TLS, timeout=30) as client:
            (await client.get("/whoami")).raise_for_status()

    result = ipload.run(body, users=5, iterations=2)
    assert result.verdict == "passed", result.reason
