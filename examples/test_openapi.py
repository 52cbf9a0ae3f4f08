"""Every operation of an OpenAPI document as a load test: Schemathesis generates the requests and checks the replies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload import LoadSession, VirtualUser

if TYPE_CHECKING:
    import schemathesis
else:
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")

schema = schemathesis.openapi.from_path(Path(__file__).with_name("openapi.json"))


@pytest.fixture
def shopper(ipload_session: LoadSession, ipload_user: VirtualUser) -> LoadSession:
    """Logged in, once per user."""
    ipload_session.post("/login", json={"name": f"user {ipload_user.index}"}).raise_for_status()
    return ipload_session


@schema.parametrize()
@pytest.mark.ipload(users=3, iterations=4)
@pytest.mark.ipload_threshold("p95 < 2s", "error_rate == 0%")
def test_operation(case: schemathesis.Case[Any], shopper: LoadSession) -> None:  # an iteration is one generated request
    case.call_and_validate(session=shopper)
