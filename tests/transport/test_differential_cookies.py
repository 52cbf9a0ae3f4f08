"""Cookies: what replies set, what the user sets, and what is sent."""

from __future__ import annotations

import http.cookiejar
from typing import Any

import pytest
import requests
from requests.cookies import cookiejar_from_dict, create_cookie
from support.differential import Call, Case, Stage, assert_same, assign, call, do, get
from support.replies import head, reply
from support.scripted_server import OK


def sets(*lines: str, status: str = "200 OK") -> tuple[bytes]:
    return (reply(b"", *(f"Set-Cookie: {line}" for line in lines), status=status),)


def after(seconds: float) -> Call:
    """Time goes on."""

    def wait(session: Any, stage: Stage) -> None:
        stage.clock.now += seconds

    return wait


def elsewhere(host: str, path: str = "/", **kwargs: Any) -> Call:
    return lambda session, stage: session.get(stage.url(path, host), **kwargs)


def standard_jar(session: Any) -> None:
    session.cookies = http.cookiejar.CookieJar()


def change_values(session: Any) -> None:
    for cookie in session.cookies:
        cookie.value = "own"


def take_values_away(session: Any) -> None:
    for cookie in session.cookies:
        cookie.value = None


def secure_all(session: Any) -> None:
    """In place, and then a change that every jar notices."""
    for cookie in session.cookies:
        cookie.secure = True
    session.cookies.set("u", "1")


def put_away(session: Any) -> None:
    session.old, session.cookies = session.cookies, cookiejar_from_dict({})


def prepare_early(session: Any, stage: Stage) -> None:
    session.early = session.prepare_request(requests.Request("GET", stage.url()))


# Not among the cases: a plain dictionary as session.cookies. It raises AttributeError after the reply's head, so that
# requests has not read the body and drops the connection; a load session reads the body before, and may keep it.
LINES = {
    "simple": ["a=1"],
    "two in two": ["a=1", "b=2"],
    "two in one": ["a=1, b=2"],
    "twice": ["a=1", "a=2"],
    "twice, other paths": ["a=1; Path=/", "a=2; Path=/x"],
    "empty": ["a="],
    "empty name": ["=1"],
    "no value": ["a"],
    "nothing": [""],
    "quoted": ['a="1 2"', 'b="x\\"y"', 'c="1;2"'],
    "odd values": ["a=1=2", "b= spaces ", "c={json:1}", "d=%20+"],
    "latin-1": ["a=grün", "b=\x80\xff"],
    "attributes in odd case": ["a=1; PATH=/; MAX-AGE=60; HTTPONLY"],
    "attributes without spaces": ["a=1;Path=/;Max-Age=60"],
    "unknown attributes": ["a=1; SameSite=Lax; Priority=High; Partitioned"],
    "HttpOnly": ["a=1; HttpOnly", "b=1; HttpOnly=yes"],
    "Secure": ["a=1; Secure", "b=2"],
    "comment and version": ["a=1; Comment=x; Version=1"],
    "port": ["a=1; Port=80", "b=1; Port"],
    "path": ["a=1; Path=/x", "b=1; Path=/x/", "c=1; Path=/other", "d=1; Path=", "e=1; Path=x"],
    "path twice": ["a=1; Path=/x; Path=/"],
    "domain": ["a=1; Domain=127.0.0.1", "b=1; Domain=.127.0.0.1", "c=1; Domain=localhost", "d=1; Domain=example.org"],
    "domain of nothing": ["a=1; Domain=", "b=1; Domain=.", "c=1; Domain=.local"],
    "Max-Age": ["a=1; Max-Age=60", "b=1; Max-Age=0", "c=1; Max-Age=-1", "d=1; Max-Age=x", 'e=1; Max-Age="60"'],
    "Max-Age absurd": ["a=1; Max-Age=99999999999999999999"],
    "Expires in the past": ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=1"],
    "Expires in the future": ["a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT"],
    "Expires, other formats": [
        "a=1; Expires=Wednesday, 21-Oct-99 07:28:00 GMT",
        "b=1; Expires=Wed Oct 21 07:28:00 2099",
    ],
    "Expires of nothing": ["a=1; Expires=", "b=1; Expires=0", "c=1; Expires=tomorrow"],
    "Expires and Max-Age": ["a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=60", "b=1; Max-Age=60; Expires=0"],
    "prefixes": ["__Secure-a=1; Secure", "__Host-b=1; Secure; Path=/"],
    "reserved name": ["path=1", "expires=2", "domain=3; secure=4"],
    "old style": ["$Version=1; a=1"],
    "control characters": ["a=1\x01", "b=\t2"],
    "many": [f"c{number}={number}" for number in range(60)],
    "long": [f"a={'x' * 8000}"],
}

AGAIN = sets("a=1; Path=/; HttpOnly")
AGING = sets("a=1; Max-Age=60")
DATED = sets("a=1; Expires=Mon, 18 Jan 2027 08:01:00 GMT")  # the clock stands at 08:00

CASES = {
    **{
        f"{manner} {name}": Case([sets(*lines), OK, OK], [call(manner, "/x/y"), get("/x/z"), get("/")])
        for name, lines in LINES.items()
        for manner in (("get", "post") if name in ("simple", "path") else ("get",))
    },
    "Set-Cookie in other cases": Case([(reply(b"", "SET-COOKIE: a=1", "set-cookie: b=2"),), OK], [get(), get()]),
    "Set-Cookie2": Case([(reply(b"", 'Set-Cookie2: a="1"; Version="1"'),), OK], [get(), get()]),
    "Set-Cookie among others": Case(
        [(reply(b"", "X: 1", "Set-Cookie: a=1", "Y: 2", "Set-Cookie: b=2"),)], [get(), get()]
    ),
    "folded Set-Cookie": Case([(reply(b"", "X: 1", "Set-Cookie: a=1;", " Path=/"),)], [get(), get()]),
    "with 204": Case([(head("Set-Cookie: a=1", status="204 No Content"),)], [get(), get()]),
    "with 404": Case([sets("a=1", status="404 Not Found")], [get(), get()]),
    "with 500 to HEAD": Case(
        [(head("Set-Cookie: a=1", "Content-Length: 0", status="500 Oops"),)], [call("HEAD"), get()]
    ),
    "same again": Case([AGAIN] * 4, [get(), get(), get(), get()]),
    "same text, other path": Case([sets("a=1")] * 4, [get("/x/y"), get("/z/y"), get("/x/q"), get("/")]),
    "same text, other host": Case(
        [sets("a=1")] * 3 + [OK], [get(), elsewhere("localhost"), get(), elsewhere("localhost")]
    ),
    "changing": Case([sets("a=1"), sets("a=2"), sets("a=1"), OK], [get(), get(), get(), get()]),
    "changing and back, with another": Case([sets("a=1", "b=1"), sets("b=2"), sets("a=1", "b=1")], [get()] * 4),
    "other attributes": Case([sets("a=1"), sets("a=1; HttpOnly"), sets("a=1; Secure"), sets("a=1")], [get()] * 4),
    "deleted by the server": Case([AGAIN, sets("a=; Max-Age=0; Path=/"), AGAIN, OK], [get()] * 4),
    "deleted by a date": Case([AGAIN, sets("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), AGAIN], [get()] * 4),
    "deleted without being there": Case([sets("a=; Max-Age=0")], [get(), get()]),
    "set and deleted at once": Case([sets("a=1", "a=; Max-Age=0")], [get(), get()]),
    "expires": Case([AGING, OK, OK], [get(), after(59), get(), after(2), get()]),
    "renewed": Case([AGING, AGING, OK], [get(), after(40), get(), after(40), get(), after(30), get()]),
    "renewed after its end": Case([AGING, AGING, OK], [get(), after(90), get(), get()]),
    "expires on a date": Case([DATED, DATED, OK, DATED], [get(), get(), after(61), get(), get(), get()]),
    "deleted by the user": Case([AGAIN, AGAIN, OK], [get(), do(lambda s: s.cookies.clear()), get(), get()]),
    "one deleted by the user": Case(
        [sets("a=1", "b=2"), sets("a=1", "b=2")], [get(), do(lambda s: s.cookies.__delitem__("a")), get(), get()]
    ),
    "popped by the user": Case([AGAIN, AGAIN], [get(), do(lambda s: s.cookies.pop("a")), get(), get()]),
    "set by the user": Case([OK, OK], [do(lambda s: s.cookies.set("u", "1")), get(), get("/x")]),
    "set by the user in between": Case(
        [AGAIN, AGAIN, OK], [get(), do(lambda s: s.cookies.set("u", "1")), get(), get()]
    ),
    "replaced by the user": Case(
        [AGAIN, AGAIN, AGAIN],
        [get(), do(lambda s: s.cookies.set("a", "own", domain="127.0.0.1", path="/")), get(), get()],
    ),
    "value of the cookie changed in place": Case([AGAIN, AGAIN, OK], [get(), do(change_values), get(), get()]),
    "value of the cookie changed in place, later": Case(
        [AGAIN, OK, OK, OK], [get(), get(), do(change_values), get(), get()]
    ),
    "value of the cookie taken away in place": Case(
        [AGAIN, OK, OK, OK], [get(), get(), do(take_values_away), get(), get()]
    ),
    "attribute of the cookie changed in place": Case(
        [sets(f"a={number}") for number in range(6)],
        [get(), get(), get(), do(secure_all), get(), get(), get()],
    ),
    "deleted by the user, later": Case([AGAIN], [get(), get(), do(lambda s: s.cookies.clear()), get(), get()]),
    "set by the user, later": Case([AGAIN], [get(), get(), do(lambda s: s.cookies.set("u", "1")), get(), get()]),
    "another jar, later": Case([AGAIN], [get(), get(), assign(cookies=cookiejar_from_dict({"u": "1"})), get(), get()]),
    "set for a path": Case(
        [OK] * 3, [do(lambda s: s.cookies.set("u", "1", path="/x")), get("/x/y"), get("/"), get("/x")]
    ),
    "set for a domain": Case(
        [OK] * 3,
        [do(lambda s: s.cookies.set("u", "1", domain="localhost.local")), get(), elsewhere("localhost"), get()],
    ),
    "set as secure": Case([OK], [do(lambda s: s.cookies.set("u", "1", secure=True)), get()]),
    "set to expire": Case(
        [OK, OK], [do(lambda s: s.cookies.set("u", "1", expires=1_800_000_060)), get(), after(61), get()]
    ),
    "set to None": Case([AGAIN, OK], [get(), do(lambda s: s.cookies.set("a", None)), get()]),
    "set as an item": Case([OK, OK], [do(lambda s: s.cookies.__setitem__("u", "1")), get(), get()]),
    "set_cookie": Case([OK, OK], [get(), do(lambda s: s.cookies.set_cookie(create_cookie("u", "1"))), get()]),
    "updated": Case([OK, OK, OK], [get(), do(lambda s: s.cookies.update({"u": "1"})), get(), get()]),
    "updated by a jar": Case(
        [AGAIN, OK], [get(), do(lambda s: s.cookies.update(cookiejar_from_dict({"a": "2"}))), get()]
    ),
    "another jar": Case([AGAIN, AGAIN, OK], [get(), assign(cookies=cookiejar_from_dict({"u": "1"})), get(), get()]),
    "another jar, then the old one": Case(
        [AGAIN, OK, OK],
        [
            get(),
            do(put_away),
            get(),
            do(lambda s: setattr(s, "cookies", s.old)),
            get(),
        ],
    ),
    "a jar of the standard library": Case([AGAIN, AGAIN, OK], [do(standard_jar), get(), get(), get()]),
    "a jar that keeps none": Case(
        [AGAIN, AGAIN],
        [
            get(),
            do(lambda s: s.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))),
            get(),
            get(),
        ],
    ),
    "a jar that begins to keep": Case(
        [AGAIN, AGAIN],
        [
            do(lambda s: s.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))),
            get(),
            do(lambda s: s.cookies.set_policy(http.cookiejar.DefaultCookiePolicy())),
            get(),
            get(),
        ],
    ),
    "a jar that blocks in between": Case(
        [AGAIN, AGAIN],
        [
            get(),
            do(lambda s: s.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(blocked_domains=["127.0.0.1"]))),
            get(),
            get(),
        ],
    ),
    "cleared of session cookies": Case(
        [AGAIN, AGING], [get(), get(), do(lambda s: s.cookies.clear_session_cookies()), get()]
    ),
    "expired ones cleared": Case(
        [AGING, OK], [get(), after(61), do(lambda s: s.cookies.clear_expired_cookies()), get()]
    ),
    "of a call": Case([OK, OK], [get(cookies={"c": "1"}), get()]),
    "of a call and a jar": Case([AGAIN, OK, OK], [get(), get(cookies={"c": "1"}), get()]),
    "of a call, same name": Case([AGAIN, OK, OK], [get(), get(cookies={"a": "call"}), get()]),
    "of a call, as a jar": Case([AGAIN, OK], [get(), get(cookies=cookiejar_from_dict({"c": "1"})), get()]),
    "of a call, none": Case([AGAIN, OK], [get(), get(cookies={}), get(cookies=None)]),
    "of a call, odd": Case([OK, OK], [get(cookies={"c": "a b;c", "d": "", "e": "ü"})]),
    "a header": Case([OK, OK], [get(headers={"Cookie": "h=1"}), get()]),
    "a header and a jar": Case([AGAIN, OK, OK], [get(), get(headers={"Cookie": "h=1"}), get()]),
    "a header of the session": Case(
        [AGAIN, OK, OK], [get(), do(lambda s: s.headers.update({"Cookie": "h=1"})), get(), get()]
    ),
    "header taken away": Case([AGAIN, OK], [get(), get(headers={"Cookie": None}), get()]),
    "prepared before": Case(
        [AGAIN, OK],
        [
            prepare_early,
            get(),
            lambda s, at: s.send(s.early),
            get(),
        ],
    ),
    "of a response": Case([sets("a=1", "b=2; Path=/x")], [lambda s, at: dict(s.get(at.url("/x/")).cookies)]),
    "of a response changed": Case([AGAIN, OK], [lambda s, at: s.get(at.url()).cookies.set("r", "1"), get()]),
    "jar copied": Case([AGAIN, OK], [get(), do(lambda s: setattr(s, "cookies", s.cookies.copy())), get(), get()]),
    "two cookies of one name": Case([sets("a=1; Path=/", "a=2; Path=/x"), OK], [get("/x/"), get("/x/"), get("/")]),
}


@pytest.mark.parametrize("name", CASES)
def test_cookies_are_those_of_requests(name: str) -> None:
    assert_same(name, CASES[name])
