"""What a session remembers, and what a user changes in it between calls."""

from __future__ import annotations

import os
import pickle
from typing import Any
from unittest import mock

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.exceptions import ConnectionError, InvalidHeader, InvalidSchema
from requests.structures import CaseInsensitiveDict
from support.differential import Call, Case, Stage, assert_same, assign, call, do, get
from support.replies import reply
from support.scripted_server import OK, Do

TO_B = (reply(b"", "Location: /b", status="302 Found"),)


def note(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    response.headers["X-Note"] = response.headers.get("X-Note", "") + f"{response.status_code} {len(response.content)};"


def change_later(session: Any, stage: Stage) -> object:
    """What a response says of its request is what was sent, whatever becomes of the session."""
    session.headers["X-One"] = "before"
    session.cookies.set("c", "before")
    response = session.get(stage.url("/a"), params={"p": "before"})
    session.headers["X-One"] = "after"
    session.cookies.set("c", "after")
    session.params = {"p": "after"}
    return response


def change_request(session: Any, stage: Stage) -> object:
    """The request of one response is not that of the next."""
    first = session.get(stage.url())
    first.request.headers["X-Own"] = "1"
    first.request.method = "OWN"
    first.headers["X-Own"] = "1"
    first.history.append(first)
    first.cookies.set("own", "1")
    return session.get(stage.url())


def identities(session: Any, stage: Stage) -> object:
    """What is looked at twice is the same thing."""
    one, two = session.get(stage.url()), session.get(stage.url())
    names = ("headers", "raw", "cookies", "request", "history", "elapsed", "content")
    same = [getattr(one, name) is getattr(one, name) for name in names]
    return same, [getattr(one, name) is getattr(two, name) for name in names[:5]]


def pickled(session: Any, stage: Stage) -> object:
    session.headers["X-One"] = "1"
    session.cookies.set("c", "1")
    with pickle.loads(pickle.dumps(session)) as copy:
        return copy.get(stage.url()), copy.cookies.get_dict()


def inherit(session: Any, stage: Stage) -> object:
    """A method replaced in one session."""
    inner = session.send

    def send(request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        request.headers["X-Sent"] = "1"
        response: requests.Response = inner(request, **kwargs)
        return response

    session.send = send
    return session.get(stage.url())


def replace_preparing(session: Any, stage: Stage) -> object:
    inner = session.prepare_request

    def prepare_request(request: requests.Request) -> requests.PreparedRequest:
        prepared: requests.PreparedRequest = inner(request)
        prepared.headers["X-Prepared"] = "1"
        return prepared

    session.prepare_request = prepare_request
    return session.get(stage.url())


def environment(session: Any, stage: Stage) -> object:
    """A user may want it after all."""
    session.trust_env = True
    names = {"HTTP_PROXY": stage.url(""), "http_proxy": stage.url(""), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with mock.patch.dict(os.environ, names):
        through = session.get("http://elsewhere.test/a")
        direct = session.get(stage.url("/b"))
    return through, direct


def no_environment(session: Any, stage: Stage) -> object:
    with mock.patch.dict(os.environ, {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}):
        return session.get(stage.url())


def mounted(prefix: str, adapter: HTTPAdapter) -> Call:
    return lambda session, stage: session.mount(stage.url(prefix) if prefix.startswith("/") else prefix, adapter)


class Signing(HTTPAdapter):
    def add_headers(self, request: requests.PreparedRequest, **kwargs: Any) -> None:
        request.headers["X-Signed"] = "1"

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.headers["X-Built"] = "1"
        return response


class OwnPreparing:
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared: requests.PreparedRequest = super().prepare_request(request)  # type: ignore[misc]  # mixed in
        prepared.headers["X-Prepared"] = str(prepared.method)
        return prepared


class OwnSending:
    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        request.headers["X-Sent"] = str(request.method)
        response: requests.Response = super().send(request, **kwargs)  # type: ignore[misc]  # mixed in
        return response


class OwnRequest:
    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["headers"] = {"X-Requested": method}
        response: requests.Response = super().request(method, url, *args, **kwargs)  # type: ignore[misc]  # mixed in
        return response


class OwnAdapterChoice:
    def get_adapter(self, url: str) -> Any:
        if url.endswith("/afterwards"):
            raise InvalidSchema("not this one")
        return super().get_adapter(url)  # type: ignore[misc]  # mixed in


class OwnRedirects:
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None if resp.status_code == 302 else super().get_redirect_target(resp)  # type: ignore[misc]  # mixed in


class OwnMethods:
    def rebuild_method(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        prepared_request.method = "PUT"


class OwnSettings:
    def merge_environment_settings(self, url: str, *args: Any) -> Any:
        settings = super().merge_environment_settings(url, *args)  # type: ignore[misc]  # mixed in
        return {**settings, "stream": True}


def of(mixin: type[Any], *calls: Call, script: Any = ()) -> Case:
    return Case(script, calls or (get(), call("POST", data=b"x")), mixin=mixin)


CASES = {
    "header set": Case([], [get(), do(lambda s: s.headers.__setitem__("X-One", "1")), get(), get()]),
    "header set again": Case(
        [],
        [
            get(),
            do(lambda s: s.headers.update({"X-One": "1"})),
            get(),
            do(lambda s: s.headers.update({"x-one": "2"})),
            get(),
        ],
    ),
    "header deleted": Case([], [get(), do(lambda s: s.headers.__delitem__("Accept")), get(), get()]),
    "header popped": Case([], [get(), do(lambda s: s.headers.pop("user-agent")), get()]),
    "header taken by default": Case([], [get(), do(lambda s: s.headers.setdefault("X-One", "1")), get()]),
    "header None": Case([], [get(), do(lambda s: s.headers.update({"Accept": None})), get()]),
    "headers cleared": Case([], [get(), do(lambda s: s.headers.clear()), get(), get()]),
    "headers replaced": Case([], [get(), assign(headers=CaseInsensitiveDict({"X-One": "1"})), get(), get()]),
    "headers replaced by a dictionary": Case([], [get(), assign(headers={"X-One": "1"}), get()]),
    "headers of a dictionary changed": Case(
        [], [assign(headers={"X-One": "1"}), get(), do(lambda s: s.headers.update({"x-one": "2"})), get()]
    ),
    "headers replaced and put back": Case(
        [],
        [
            get(),
            do(lambda s: setattr(s, "kept", s.headers)),
            assign(headers={"A": "1"}),
            get(),
            do(lambda s: setattr(s, "headers", s.kept)),
            get(),
        ],
    ),
    "headers None": Case([], [get(), assign(headers=None), get(), assign(headers={}), get()]),
    "bad header of the session": Case(
        [],
        [get(), do(lambda s: s.headers.update({"X-One": 1})), get(), do(lambda s: s.headers.pop("X-One"))],
        [InvalidHeader],
    ),
    "header of session and call": Case(
        [],
        [
            do(lambda s: s.headers.update({"X-One": "1", "X-Two": "2"})),
            get(headers={"x-one": "call", "X-TWO": None}),
            get(),
        ],
    ),
    "header of a call is forgotten": Case([], [get(), get(headers={"X-One": "1"}), get()]),
    "Host of the session": Case([], [do(lambda s: s.headers.update({"Host": "other.test"})), get(), get()]),
    "close by the session": Case([], [get(), do(lambda s: s.headers.update({"Connection": "close"})), get(), get()]),
    "params set": Case([], [get(), assign(params={"s": "1"}), get(), get("/p?q=1", params={"r": "2"}), get()]),
    "params changed": Case([], [assign(params={"s": "1"}), get(), do(lambda s: s.params.update({"s": "2"})), get()]),
    "params deleted": Case([], [assign(params={"s": "1", "t": "2"}), get(), do(lambda s: s.params.pop("s")), get()]),
    "params None for a call": Case([], [assign(params={"s": "1", "t": "2"}), get(params={"s": None}), get()]),
    "params of pairs": Case([], [assign(params=[("s", "1"), ("s", "2")]), get(), get(params={"a": "b"})]),
    "params in lists changed": Case(
        [], [assign(params={"s": ["1"]}), get(), do(lambda s: s.params["s"].append("2")), get()]
    ),
    "auth set": Case(
        [], [get(), assign(auth=("u", "p")), get(), assign(auth=("u", "q")), get(), assign(auth=None), get()]
    ),
    "auth of session and call": Case(
        [], [assign(auth=("u", "p")), get(auth=("v", "q")), get(auth=HTTPBasicAuth("w", "r")), get()]
    ),
    "auth and a header": Case([], [assign(auth=("u", "p")), get(headers={"Authorization": "Bearer x"}), get()]),
    "hook appended": Case(
        [],
        [
            get(),
            do(lambda s: s.hooks["response"].append(note)),
            get(),
            do(lambda s: s.hooks["response"].clear()),
            get(),
        ],
    ),
    "hooks replaced": Case(
        [], [get(), assign(hooks={"response": [note, note]}), get(), assign(hooks={"response": []}), get()]
    ),
    "hook alone": Case([], [get(), assign(hooks={"response": note}), get()]),
    "hook and redirects": Case([TO_B], [do(lambda s: s.hooks["response"].append(note)), get(), get()]),
    "verify changed": Case(
        [], [get(), assign(verify=False), get(), assign(verify="/no/such"), get(), assign(verify=True), get()]
    ),
    "cert changed": Case([], [get(), assign(cert="/no/such"), get(), assign(cert=None), get()], [OSError]),
    "proxies": Case(
        [],
        [
            get(),
            lambda s, at: s.proxies.update(http=at.url("")),
            get(),
            lambda s, at: s.get("http://elsewhere.test/a"),
            do(lambda s: s.proxies.clear()),
            get(),
        ],
    ),
    "proxy for one host": Case(
        [],
        [
            lambda s, at: s.proxies.update({"http://elsewhere.test": at.url("")}),
            get(),
            lambda s, at: s.get("http://elsewhere.test/"),
        ],
    ),
    "stream": Case([], [get(), assign(stream=True), get(), assign(stream=False), get()]),
    "max_redirects": Case([TO_B, OK, TO_B], [get(), assign(max_redirects=0), get()], [requests.TooManyRedirects]),
    "adapter mounted": Case([], [get(), mounted("http://", HTTPAdapter()), get(), get()]),
    "adapter mounted first": Case([], [mounted("http://", Signing()), get(), get()]),
    "adapter mounted on a path": Case([], [get("/x"), mounted("/x", Signing()), get("/x"), get("/y"), get("/x/z")]),
    "adapter that tries again": Case(
        [OK, (Do.CLOSE,), OK], [mounted("http://", HTTPAdapter(max_retries=2)), get(), get()]
    ),
    "adapter that does not pool": Case(
        [], [mounted("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1)), get(), get()]
    ),
    "adapter for a new scheme": Case(
        [],
        [get(), mounted("own://", Signing()), lambda s, at: s.get("own://127.0.0.1/")],
        [requests.exceptions.InvalidURL],
    ),
    "adapters cleared": Case(
        [],
        [
            get(),
            do(lambda s: setattr(s, "kept", s.adapters.copy())),
            do(lambda s: s.adapters.clear()),
            get(),
            do(lambda s: s.adapters.update(s.adapters | (s.kept | s.adapters))),
            get(),
        ],
        [InvalidSchema],
    ),
    "closed": Case([], [get(), do(lambda s: s.close()), get(), get()]),
    "changes after a response": Case([OK], [change_later]),
    "changes of a response": Case([], [change_request]),
    "identities": Case([(reply(b"hello", "Set-Cookie: a=b"),)] * 2, [identities]),
    "pickled": Case([], [get(), pickled, get()]),
    "send replaced": Case([], [get(), inherit, get()]),
    "prepare_request replaced": Case([], [get(), replace_preparing, get()]),
    "environment wanted": Case([], [get(), environment, assign(trust_env=False), get()]),
    "environment not wanted": Case([], [get(), no_environment, get()]),
    "own prepare_request": of(OwnPreparing),
    "own send": of(OwnSending, get(), call("POST", data=b"x"), script=[TO_B]),
    "own request": of(OwnRequest),
    "own get_adapter": Case([], [get()], [InvalidSchema], mixin=OwnAdapterChoice),
    "own get_redirect_target": of(OwnRedirects, get(), script=[TO_B]),
    "own rebuild_method": of(OwnMethods, get(), script=[TO_B]),
    "own merge_environment_settings": of(OwnSettings),
    "after a refused connection": Case(
        [],
        [lambda s, at: s.get("http://127.0.0.1:1/"), get(), lambda s, at: s.get("http://127.0.0.1:1/")],
        [ConnectionError] * 2,
    ),
    "after an error in between": Case(
        [OK, (b"nonsense\r\n\r\n", Do.CLOSE), OK], [get(), get(), get()], [ConnectionError]
    ),
    "many calls": Case([], [get(f"/{number % 7}?n={number}") for number in range(30)]),
    "methods in turn": Case(
        [], [get(), call("POST", json={"a": 1}), get(), call("HEAD"), call("DELETE"), call("POST", json={"a": 1})]
    ),
    "same POST, other data": Case([], [call("POST", json={"a": number}) for number in range(3)]),
    "same POST, other kinds": Case(
        [], [call("POST", data=b"x"), call("POST", json="x"), call("POST", data={"x": ""}), call("POST")]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_session_keeps_what_one_of_requests_keeps(name: str) -> None:
    assert_same(name, CASES[name])
