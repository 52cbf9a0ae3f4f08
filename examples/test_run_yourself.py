"""The ``ipload`` fixture: an ordinary test runs a load and asserts on its result."""

from __future__ import annotations

from pytest_ipload import LoadRunner, VirtualUser


def test_the_result_is_an_object(ipload: LoadRunner) -> None:
    def body(user: VirtualUser) -> None:
        assert user.session.get("/whoami").ok

    result = ipload.run(body, users=5, iterations=4)
    assert result.requests == result.iterations  # not == 20: the command line may change the number of users
    assert result.error_rate == 0
    assert result.latency.p95_ms is not None
    assert result.latency.p95_ms < 2000
