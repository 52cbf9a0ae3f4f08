"""The ``ipload`` fixture: an ordinary test starts a load itself and asserts on the result."""

from __future__ import annotations

from pytest_ipload import VirtualUser
from pytest_ipload.plugin.run.load_runner import LoadRunner


def test_the_result_is_an_object(ipload: LoadRunner) -> None:
    def body(user: VirtualUser) -> None:
        assert user.session.get("/whoami").ok

    result = ipload.run(body, users=5, iterations=4)
    assert result.requests == result.iterations  # and not 20: the command line may have changed the users
    assert result.error_rate == 0
    assert result.latency.p95_ms is not None
    assert result.latency.p95_ms < 2000
