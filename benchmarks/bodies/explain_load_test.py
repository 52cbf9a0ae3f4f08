"""One request after the other. Users, duration and limits: on the command line."""

from __future__ import annotations

import pytest

from pytest_ipload import LoadSession


@pytest.mark.ipload
def test_cart(ipload_session: LoadSession) -> None:
    ipload_session.get("/cart")
