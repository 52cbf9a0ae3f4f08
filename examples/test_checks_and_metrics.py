"""What only the test can know: checks, counts, gauges and observed times, judged as latencies are."""

from __future__ import annotations

import time

import pytest

from pytest_ipload import LoadSession, VirtualUser


@pytest.mark.ipload(users=5, iterations=4)
@pytest.mark.ipload_threshold("check_rate{has orders} > 99%", "count{carts} > 0", "p95{metric:reading} < 5s")
def test_what_is_in_the_carts(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    ipload_session.post("/login", json={"name": f"user {ipload_user.index}"}).raise_for_status()
    reply = ipload_session.get("/cart")
    began = time.perf_counter()
    cart = reply.json()
    ipload_user.observe("reading", time.perf_counter() - began)
    if not isinstance(cart, dict):
        reply.fail("not a cart")  # the request has failed, and the iteration too
    ipload_user.check("has orders", "orders" in cart)  # only a threshold on checks sees it
    ipload_user.count("carts")
    ipload_user.gauge("orders", cart["orders"])
