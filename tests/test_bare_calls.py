from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests import get as fetch

from pytest_ipload.bare_calls import bare_calls


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
        (plain, ["requests.get()"]),
        (several, ["requests.Session()", "requests.post()"]),
        (by_name, ["fetch()"]),
        (innocent, []),
        (len, []),
    ],
)
def test_calls_that_pass_by_the_session_are_named(function: Callable[..., object], names: list[str]) -> None:
    assert bare_calls(function) == names
