"""Cookies: the jar and the Cookie field are those of requests, whatever was remembered."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import PreparedRequest
from requests.cookies import (
    RequestsCookieJar,
    create_cookie,
    extract_cookies_to_jar,
    get_cookie_header,
    merge_cookies,
    remove_cookie_by_name,
)
from requests.structures import CaseInsensitiveDict
from support.replies import reply

from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.fast_path import cookies as cookies_module
from pytest_ipload.transport.fast_path.cookies import CookieLines, SessionCookies, SetCookieMemo
from pytest_ipload.transport.fast_path.prepared_call import PreparedCall
from pytest_ipload.transport.message.replay import replayed_response
from pytest_ipload.transport.message.reply_head import parse_head
from pytest_ipload.transport.message.templates import NONE, Target, Template
from pytest_ipload.transport.response import LoadResponse

START = 1_800_000_000.0
URL = "http://a.test/shop/cart"


class Clock:
    """Stands for ``time.time``."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


def received(url: str, *lines: str, host: str | None = None, fields: tuple[str, ...] = ()) -> LoadResponse:
    """A reply of the fast path that sets cookies."""
    data = reply(b"", *(f"Set-Cookie: {line}" for line in lines), *fields)
    parsed = parse_head(data[:-4])
    assert parsed is not None
    header = CaseInsensitiveDict({} if host is None else {"Host": host})
    target = Target.of(url)
    template = Template.make("GET", target, header, None, NONE)
    assert template is not None
    response = LoadResponse.__new__(LoadResponse)
    response.head, response.received, response.body_sent = parsed, data, None
    response.outgoing = PreparedCall(template, "GET", target, None, float("inf"), SourceAdapter())
    return response


class Ours:
    """A session's cookies, with all that is remembered about them."""

    def __init__(self) -> None:
        self.jar: Any = SessionCookies()
        self.memo = SetCookieMemo()
        self.lines = CookieLines()
        self._sent: dict[tuple[str, str | None], tuple[int, str | None, float]] = {}

    def receive(self, url: str, *lines: str, host: str | None = None) -> list[dict[str, Any]]:
        """Take the cookies of a reply, and say what the reply shows."""
        response = received(url, *lines, host=host)
        self.memo.take(self.jar, response, response.outgoing.where)
        return contents(response.cookies)

    def field(self, url: str, host: str | None = None) -> str | None:
        """The Cookie field, which is kept as long as it is said to hold."""
        version, value, valid_until = self._sent.get((url, host), (-1, None, 0.0))
        import time

        if version != self.jar.changes.count or time.time() >= valid_until:
            outgoing = received(url, host=host).outgoing
            value, valid_until = self.lines.line(self.jar, outgoing._template, outgoing.target)
            self._sent[url, host] = (self.jar.changes.count, value, valid_until)
        return value


class Stock:
    """The same as requests does it."""

    def __init__(self) -> None:
        self.jar: Any = RequestsCookieJar()

    def receive(self, url: str, *lines: str, host: str | None = None) -> list[dict[str, Any]]:
        request = prepared(url, host)
        data = reply(b"", *(f"Set-Cookie: {line}" for line in lines))
        shown = RequestsCookieJar()
        for jar in (shown, self.jar):
            extract_cookies_to_jar(jar, request, replayed_response(data, "GET", "/"))
        return contents(shown)

    def field(self, url: str, host: str | None = None) -> str | None:
        session = requests.Session()
        session.cookies = self.jar
        request = session.prepare_request(requests.Request("GET", url, headers={"Host": host} if host else None))
        value = request.headers.get("Cookie")
        assert value is None or isinstance(value, str)
        return value


def prepared(url: str, host: str | None = None) -> PreparedRequest:
    request = PreparedRequest()
    request.prepare(method="GET", url=url, headers={"Host": host} if host else {}, cookies=RequestsCookieJar())
    return request


def contents(jar: CookieJar) -> list[dict[str, Any]]:
    return [dict(sorted(vars(cookie).items())) for cookie in jar]


# --- compared with requests ----------------------------------------------------------------------------------------

URLS = st.sampled_from(
    [
        URL,
        "http://a.test/",
        "http://a.test/shop/cart?x=1",
        "https://a.test/shop/",
        "http://www.a.test/",
        "http://b.test/",
    ]
)
HOSTS = st.sampled_from([None, None, None, "a.test", "c.test"])
ATTRIBUTES = st.sampled_from(
    ["", "", "; Path=/", "; Path=/shop", "; path=/other", "; Domain=a.test", "; Domain=.a.test", "; Domain=b.test",
     "; Secure", "; HttpOnly; SameSite=Lax", "; Max-Age=0", "; Max-Age=2", "; max-age=5; Path=/", "; Port", ";",
     "; Expires=Fri, 15 Jan 2027 08:00:03 GMT", "; expires=Thu, 01 Jan 1970 00:00:00 GMT", "; Version=1",
     "; Discard", "; junk"]
)  # fmt: skip
LINES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["a", "a", "b", "expires", "$x", ""]),
    st.sampled_from(["=1", "=2", "=", '="quoted"', "= spaced ", "=a=b", "", "=x,y", "=\xe4"]),
    ATTRIBUTES,
)
BLOCKING = DefaultCookiePolicy(blocked_domains=["a.test"])


class Refusing(DefaultCookiePolicy):
    """A policy of a user's own, which changes its mind."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def set_ok(self, cookie: Cookie, request: Any) -> bool:
        self.asked += 1
        return self.asked % 2 == 0 and super().set_ok(cookie, request)


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda jar: jar.set("a", "mine", domain="a.test", path="/"),
    "set anywhere": lambda jar: jar.set("own", "1"),
    "set twice": lambda jar: (
        jar.set("a", "x", domain="a.test", path="/"),
        jar.set("a", "y", domain="a.test", path="/"),
    ),
    "set expiring": lambda jar: jar.set("e", "1", domain="a.test", path="/", expires=START + 2),
    "set expiring amid a second": lambda jar: jar.set("f", "1", domain="a.test", path="/", expires=START + 2.5),
    "set None": lambda jar: jar.set("a", None),
    "set without value": lambda jar: jar.set_cookie(cookie("a", None)),
    "set version 1": lambda jar: jar.set_cookie(cookie("v", "a b", version=1)),
    "item": lambda jar: jar.__setitem__("b", "item"),
    "delete": lambda jar: remove_cookie_by_name(jar, "a"),
    "clear": lambda jar: jar.clear(),
    "clear domain": lambda jar: jar.clear("a.test") if "a.test" in jar.list_domains() else None,
    "clear session cookies": lambda jar: jar.clear_session_cookies(),
    "clear expired": lambda jar: jar.clear_expired_cookies(),
    "update": lambda jar: jar.update({"u": "1"}),
    "policy": lambda jar: jar.set_policy(DefaultCookiePolicy(blocked_domains=["a.test"])),
    "policy that changes": lambda jar: jar.set_policy(Refusing()),
    "usual policy": lambda jar: jar.set_policy(DefaultCookiePolicy()),
    "policy in place": lambda jar: jar.get_policy().set_blocked_domains(
        [] if jar.get_policy().blocked_domains() else ["b.test"]
    ),
}


def cookie(name: str, value: str | None, **changes: Any) -> Cookie:
    made: Cookie = create_cookie(name, "", domain="a.test", path="/", **changes)
    made.value = value
    return made


RECEIVE = st.tuples(st.just("receive"), URLS, HOSTS, st.lists(LINES, min_size=1, max_size=2))
CHANGE = st.tuples(st.just("change"), st.sampled_from(sorted(CHANGES)))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0.0, 0.4, 1.0, 3.0, 10.0]))


@settings(deadline=None, max_examples=150)
@given(st.lists(RECEIVE | RECEIVE | CHANGE | WAIT, max_size=12), st.data())
def test_jar_and_field_are_those_of_requests(steps: list[Any], data: st.DataObject) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", clock)
        ours, stock = Ours(), Stock()
        for kind, *values in steps:
            if kind == "receive":
                url, host, lines = values
                for _ in range(data.draw(st.integers(1, 3))):
                    assert ours.receive(url, *lines, host=host) == stock.receive(url, *lines, host=host)
            elif kind == "change":
                for side in (ours, stock):
                    CHANGES[values[0]](side.jar)
            else:
                clock.now += values[0]
            assert contents(ours.jar) == contents(stock.jar)
            for url in (URL, "https://a.test/shop/", "http://b.test/"):
                assert ours.field(url) == stock.field(url)
            assert ours.field(URL, "c.test") == stock.field(URL, "c.test")


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen_by_the_next_request(change: str, clock: Clock) -> None:
    ours, stock = Ours(), Stock()
    for side in (ours, stock):
        for _ in range(2):
            side.receive(URL, "a=1; Path=/")
            side.receive(URL, "b=1; Path=/")
            side.field(URL)
        CHANGES[change](side.jar)
    for later in (0.0, 2.6, 1.0):
        clock.now += later
        for line in ("a=1; Path=/", "a=2; Path=/", "b=1; Path=/"):
            assert ours.field(URL) == stock.field(URL)
            ours.receive(URL, line), stock.receive(URL, line)
        assert contents(ours.jar) == contents(stock.jar)


def test_a_cookie_goes_when_its_time_is_over(clock: Clock) -> None:
    ours = Ours()
    ours.receive(URL, "a=1; Max-Age=5; Path=/", "b=2; Path=/")
    assert ours.field(URL) == "a=1; b=2"
    clock.now += 4.9
    assert ours.field(URL) == "a=1; b=2"
    clock.now += 0.1
    assert ours.field(URL) == "b=2"


def test_what_a_reply_shows_does_not_depend_on_when_it_is_looked_at(clock: Clock) -> None:
    ours, responses = Ours(), []
    for _ in range(2):  # the second one is remembered
        response = received(URL, "a=1; Max-Age=5")
        ours.memo.take(ours.jar, response, response.outgoing.where)
        responses.append(response)
    clock.now += 3
    shown = [response.cookies for response in responses]
    assert [[each.expires for each in jar] for jar in shown] == [[START + 5]] * 2
    shown[0].clear()
    assert len(shown[1]) == 1


def test_a_policy_of_the_users_own_is_asked_each_time() -> None:
    ours, stock = Ours(), Stock()
    for side in (ours, stock):
        side.jar.set_policy(Refusing())
        for _ in range(3):
            side.receive(URL, "a=1; Path=/")
            side.receive(URL, "a=2; Path=/")
    assert ours.jar.get_policy().asked == stock.jar.get_policy().asked == 6


# --- what is remembered --------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What http.cookiejar was asked."""
    asked: list[str] = []

    def extract(*args: Any) -> None:
        asked.append("extract")
        extract_cookies_to_jar(*args)

    def get(*args: Any) -> Any:
        asked.append("get")
        return get_cookie_header(*args)

    monkeypatch.setattr(cookies_module, "extract_cookies_to_jar", extract)
    monkeypatch.setattr(cookies_module, "get_cookie_header", get)
    return asked


def take(ours: Ours, *lines: str, url: str = URL) -> None:
    response = received(url, *lines)
    ours.memo.take(ours.jar, response, response.outgoing.where)


def test_the_same_cookie_again_costs_nothing_and_changes_nothing(asked: list[str]) -> None:
    ours = Ours()
    take(ours, "a=1; Path=/")
    version = ours.jar.changes.count
    asked.clear()
    take(ours, "a=1; Path=/")
    take(ours, "a=1; Path=/", url=f"{URL}?query=1")
    assert (asked, ours.jar.changes.count) == ([], version)


def test_another_value_is_taken_without_asking(asked: list[str]) -> None:
    ours = Ours()
    take(ours, "a=1; Path=/")
    ours.field(URL)
    asked.clear()
    versions = ours.jar.changes.count, ours.jar.set_version
    take(ours, "a=2; Path=/")
    assert ours.field(URL) == "a=2"
    assert asked == []
    assert (ours.jar.changes.count, ours.jar.set_version) == (versions[0] + 1, versions[1])


def test_the_same_cookie_with_an_age_is_taken_again_in_the_next_second(asked: list[str], clock: Clock) -> None:
    ours = Ours()
    take(ours, "a=1; Max-Age=5")
    asked.clear()
    take(ours, "a=1; Max-Age=5")
    assert asked == []
    clock.now += 1
    take(ours, "a=1; Max-Age=5")
    assert asked != []
    assert [each.expires for each in ours.jar] == [START + 6]


def test_a_cookie_that_was_removed_is_taken_again() -> None:
    ours = Ours()
    take(ours, "a=1; Path=/")
    ours.jar.clear()
    take(ours, "a=1; Path=/")
    assert ours.field(URL) == "a=1"


def test_a_field_is_asked_for_once_for_each_url(asked: list[str]) -> None:
    ours = Ours()
    take(ours, "a=1; Path=/")
    asked.clear()
    for _ in range(3):
        for url in (URL, "http://a.test/other"):
            outgoing = received(url).outgoing
            assert ours.lines.line(ours.jar, outgoing._template, outgoing.target).value == "a=1"
    assert asked == ["get", "get"]


def test_without_cookies_nothing_is_asked(asked: list[str]) -> None:
    outgoing = received(URL).outgoing
    assert CookieLines().line(SessionCookies(), outgoing._template, outgoing.target) == (None, float("inf"))
    assert asked == []


def test_memory_is_bounded() -> None:
    ours = Ours()
    ours.jar.set("own", "1", domain="", path="/")
    for number in range(500):
        url = f"http://a.test/{number}"
        take(ours, f"a=1; Path=/{number}", url=url)
        outgoing = received(url).outgoing
        ours.lines.line(ours.jar, outgoing._template, outgoing.target)
        ours.jar.clear("a.test")
        assert len(ours.memo._last) + len(ours.memo._prototypes) <= 66
        assert len(ours.lines._places) <= 66
    for number in range(200):
        outgoing = received(f"http://a.test/{number}").outgoing
        ours.lines.line(ours.jar, outgoing._template, outgoing.target)
        assert len(ours.lines._places) <= 66


# --- the jar -------------------------------------------------------------------------------------------------------


def test_a_plain_jar_is_adopted_with_its_cookies() -> None:
    jar = RequestsCookieJar()
    jar.set("a", "1", domain="a.test", path="/")
    SessionCookies.adopt(jar)
    assert isinstance(jar, SessionCookies)
    assert list(jar.by_place) == [("a.test", "/", "a")]
    jar.set("b", "2")
    version = jar.changes.count
    SessionCookies.adopt(jar)
    assert jar.changes.count == version > 0


def test_another_kind_of_jar_is_left_alone() -> None:
    class Own(RequestsCookieJar):
        pass

    jars: list[object] = [Own(), CookieJar(), {}]
    for jar in jars:
        kind = type(jar)
        SessionCookies.adopt(jar)
        assert type(jar) is kind


@pytest.mark.parametrize(
    "change",
    [
        lambda jar: jar.set("a", "2", domain="a.test", path="/"),
        lambda jar: jar.set("a", "1", domain="a.test", path="/x"),
        lambda jar: jar.set("a", "1", domain="a.test", path="/", secure=True),
        lambda jar: jar.set("new", "1"),
        lambda jar: jar.clear(),
        lambda jar: jar.clear("a.test", "/", "a"),
        lambda jar: jar.__delitem__("a"),
        lambda jar: jar.set_policy(DefaultCookiePolicy()),
        lambda jar: merge_cookies(jar, {"other": "1"}),
    ],
)
def test_each_change_is_counted(change: Callable[[Any], object]) -> None:
    jar = SessionCookies()
    jar.set("a", "1", domain="a.test", path="/")
    version = jar.changes.count
    change(jar)
    assert jar.changes.count > version
    assert sorted(jar.by_place) == sorted((each.domain, each.path, each.name) for each in jar)


def test_the_same_cookie_again_is_no_change() -> None:
    jar = SessionCookies()
    versions = []
    for _ in range(2):
        jar.set("a", "1", domain="a.test", path="/")
        versions.append(jar.changes.count)
    assert versions[0] == versions[1]


def test_a_jar_can_be_copied_and_pickled() -> None:
    jar = SessionCookies()
    jar.set("a", "1", domain="a.test", path="/")
    for copied in (jar.copy(), copy.deepcopy(jar), pickle.loads(pickle.dumps(jar))):
        assert contents(copied) == contents(jar)
        copied.set("b", "2")
        assert len(jar) == 1
    assert len(SessionCookies(BLOCKING)) == 0


def test_the_next_expiry_is_that_of_the_cookies_that_are_left(clock: Clock) -> None:
    jar = SessionCookies()
    assert jar.next_expiry() == float("inf")
    for name, seconds in (("a", 5), ("b", 9), ("c", -1)):
        jar.set(name, "1", expires=int(START) + seconds)
    jar.set("forever", "1")
    assert jar.next_expiry() == START + 5
    clock.now += 5
    assert jar.next_expiry() == START + 9
    clock.now += 5
    assert jar.next_expiry() == float("inf")
