"""What counts as a success."""

from __future__ import annotations

import http
from typing import Any

import pytest
import requests

from pytest_ipload.base.errors import SettingError
from pytest_ipload.transport.call import Call, Expectation


@pytest.mark.parametrize(
    ("expect", "allowed", "not_allowed"),
    [
        (None, [200, 204, 302, 399], [400, 404, 500]),
        (404, [404], [200, 400, 405]),
        (http.HTTPStatus.NOT_FOUND, [404], [200]),
        ("4xx", [400, 499], [399, 500, 200]),
        (["2xx", 404], [200, 299, 404], [300, 403]),
        ((200, 201), [200, 201], [202]),
        (requests.ConnectionError, [], [200, 404]),
        ([requests.Timeout, 200], [200], [500]),
    ],
)
def test_statuses(expect: Any, allowed: list[int], not_allowed: list[int]) -> None:
    statuses = Expectation.of(expect).statuses
    assert [status for status in allowed + not_allowed if status in statuses] == allowed


def test_exception_types() -> None:
    assert Expectation.of([404, OSError, requests.Timeout]).exceptions == (OSError, requests.Timeout)
    assert Expectation.of(None).exceptions == ()


@pytest.mark.parametrize(
    "expect",
    [99, 600, 0, -404, True, 404.0, "404", "4XX", "6xx", "xx", "", [], (), [404, None], [[404]], {404}, object(), int,
     KeyboardInterrupt, ValueError("x"), b"4xx"],
)  # fmt: skip
def test_anything_else_is_a_setting_error_that_says_what_is_allowed(expect: Any) -> None:
    with pytest.raises(SettingError, match="'4xx', an exception type"):
        Expectation.of(expect)


def test_a_call_that_sent_nothing_is_no_sample() -> None:
    assert Call("x", Expectation.of(None)).sample(None, ValueError("bad URL")) is None
