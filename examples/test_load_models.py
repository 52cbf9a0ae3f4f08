"""How long a load lasts, and how fast its users iterate."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.mark.ipload(users=10, iterations=3)
def test_iterations_of_each_user(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=10, total_iterations=25)
def test_iterations_shared_by_all_users(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=10, duration="1s", ramp_up="500ms", ramp_down="500ms")
def test_users_come_and_go_evenly(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload(users=10, iterations=5, think_time="10ms-50ms")
def test_users_think_between_iterations(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=10, iterations=3, pacing="500ms")
def test_iterations_start_no_faster_than_the_pacing(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload(users=10, duration="1s", warmup="300ms", think_time="50ms")
@pytest.mark.ipload_threshold("p95 < 2s")
def test_what_happens_in_the_warmup_is_not_judged(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(stages="300ms:10,500ms:10,200ms:0")
def test_users_come_and_go_in_stages(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload(arrival_rate="100/s", duration="1s", max_users=50)
@pytest.mark.ipload_threshold("p95 < 2s", "raw.p95 < 2s")
def test_iterations_start_by_the_clock(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/slow?ms=10").ok


@pytest.mark.ipload(stages="500ms:100/s,500ms:0/s", arrivals="poisson")
def test_independent_visitors_come_and_go(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok


@pytest.mark.ipload(users=10, iterations=5, max_rate="200/s")
def test_all_users_together_do_not_exceed_a_rate(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/whoami").ok
