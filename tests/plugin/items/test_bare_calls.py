from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from requests import get as fetch

from pytest_ipload.plugin.items.bare_calls import bare_calls, times_itself, warning_checks

renamed = pytest.deprecated_call


def plain() -> None:
    requests.get("http://127.0.0.1")


def several(session: requests.Session) -> None:
    with requests.Session() as own:
        own.get("http://127.0.0.1")
    session.get("http://127.0.0.1")
    [requests.post(url) for url in ("http://127.0.0.1",)]


def by_name() -> None:
    fetch("http://127.0.0.1")


def by_an_import_of_its_own(ipload_session: Any) -> None:
    import requests as rq
    from requests import delete, get

    ipload_session.get("/")
    ipload_session.delete("/")
    for url in ("http://127.0.0.1",):
        rq.head(url)
        [get(url) for url in (url,)]
        delete(url)


def innocent(ipload_session: Any) -> None:
    reply = ipload_session.get("/")
    assert reply.status_code == requests.codes.ok
    with pytest.raises(requests.ConnectionError):
        ipload_session.get("/")


def with_constants() -> object:
    requests.adapters  # noqa: B018  # the module is what was loaded last
    return [(), ("a", 1), len(()), b"", frozenset(()), slice(None)]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (plain, ["requests.get()"]),
        (several, ["requests.Session()", "requests.post()"]),
        (by_name, ["fetch()"]),
        (by_an_import_of_its_own, ["delete()", "get()", "requests.head()"]),
        (innocent, []),
        (with_constants, []),
        (len, []),
    ],
)
def test_calls_that_pass_by_the_session_are_named(function: Callable[..., object], names: list[str]) -> None:
    assert bare_calls(function) == names


def timed(ipload_user: Any) -> None:
    with ipload_user.measure("GET"):
        requests.get("http://127.0.0.1")


def acting(ipload_user: Any) -> None:
    [ipload_user.act(each) for each in ("ping",)]


def test_those_that_time_themselves_are_known() -> None:
    assert [times_itself(each) for each in (timed, acting, plain, several, len)] == [True, True, False, False, False]


def warns() -> None:
    with pytest.warns(ImportWarning), renamed():
        pass


@pytest.mark.skipif(getattr(sys.flags, "context_aware_warnings", False), reason="each thread has its own warnings")
def test_checks_of_warnings_are_found() -> None:
    assert warning_checks(warns) == ["pytest.warns()", "renamed()"]
    assert warning_checks(innocent) == []


def test_where_each_thread_has_its_own_warnings_none_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "flags", SimpleNamespace(context_aware_warnings=1))
    assert warning_checks(warns) == []
