from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests import get as fetch

from pytest_ipload.bare_calls import bare_call_note


def plain() -> None:
    requests.get("http://127.0.0.1")


def several(session: requests.Session) -> None:
    with requests.Session() as own:
        own.get("http://127.0.0.1")
    session.get("http://127.0.0.1")
    [requests.post(url) for url in ("http://127.0.0.1",)]


def by_name() -> None:
    fetch("http://127.0.0.1")


def innocent(ipload_session: Any) -> None:
    reply = ipload_session.get("/")
    assert reply.status_code == requests.codes.ok
    with pytest.raises(requests.ConnectionError):
        ipload_session.get("/")


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (plain, "requests.get()"),
        (several, "requests.Session(), requests.post()"),
        (by_name, "fetch()"),
    ],
)
def test_calls_that_pass_by_the_session_are_named(function: Callable[..., object], names: str) -> None:
    note = bare_call_note(function)
    assert note is not None
    assert f"the body uses {names} itself" in note
    assert "use ipload_session" in note


@pytest.mark.parametrize("function", [innocent, len])
def test_other_functions_are_left_in_peace(function: Callable[..., object]) -> None:
    assert bare_call_note(function) is None
