"""``name=`` labels a request in the results, ``expect=`` defines success; everything else is plain requests."""

from __future__ import annotations

import pytest
import requests

from pytest_ipload import LoadSession, VirtualUser

pytestmark = pytest.mark.ipload(users=5, iterations=2)


@pytest.mark.ipload_threshold("p95{GET /bytes/SIZE} < 2s")
def test_a_name_gathers_many_paths_under_one_label(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    size = ipload_user.random.randrange(1000)
    assert len(ipload_session.get(f"/bytes/{size}", name="GET /bytes/SIZE").content) == size


def test_an_expected_status_is_a_success(ipload_session: LoadSession) -> None:
    assert ipload_session.get("/missing", expect=404).status_code == 404
    assert ipload_session.get("/status/418", expect="4xx").status_code == 418
    assert ipload_session.get("/status/503", expect=["2xx", 503]).status_code == 503


@pytest.mark.ipload(iterations=1)
def test_an_expected_exception_is_a_success(ipload_session: LoadSession) -> None:
    with pytest.raises(requests.Timeout):
        ipload_session.get("/slow?ms=2000", timeout=0.1, expect=requests.Timeout)


def test_a_stream_is_read_piece_by_piece(ipload_session: LoadSession) -> None:
    with ipload_session.get("/bytes/100000", stream=True) as response:
        assert sum(len(piece) for piece in response.iter_content(8192)) == 100_000


def test_redirects_are_followed_within_one_sample(ipload_session: LoadSession) -> None:
    response = ipload_session.get("/redirect/3")
    assert response.url.endswith("/whoami")
    assert len(response.history) == 3


def test_each_user_has_its_own_cookies(ipload_session: LoadSession, ipload_user: VirtualUser) -> None:
    mine = str(ipload_user.index)
    ipload_session.get("/cookies/set", params={"name": "user", "value": mine})
    assert ipload_session.get("/cookies").json() == {"user": mine}
