"""The cookies of a session, so that a reply which changes nothing costs nothing.

http.cookiejar reads and writes cookies, with all their rules; here its answers are remembered.
"""

from __future__ import annotations

import time
from http.cookiejar import Cookie, CookiePolicy, DefaultCookiePolicy
from typing import Any, NamedTuple, cast

from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header

from pytest_ipload.transport.fast_path.prepared_call import FOREVER
from pytest_ipload.transport.fast_path.session_headers import Changes
from pytest_ipload.transport.message.reply_head import EXPIRES, CookieForm
from pytest_ipload.transport.message.templates import NO_BODY, Target, Template
from pytest_ipload.transport.response import LoadResponse

Place = tuple[str, str, str]
"""Where a jar keeps a cookie: domain, path, name."""

_REMEMBERED = 64
_new = object.__new__
_Seen = tuple[tuple[str, ...], tuple[object, ...], int | None]
"""Lines, the state of the jar behind them, and when that was: None if it does not matter."""
_NOT_SEEN: tuple[_Seen, None] = ((), (), None), None


class SessionCookies(RequestsCookieJar):
    """A ``RequestsCookieJar`` that knows when it changed.

    ``changes`` counts changes of any kind, ``set_version`` those of the set of cookies and their attributes: when
    only values changed, the same cookies go to the same requests.
    """

    def __init__(self, policy: CookiePolicy | None = None) -> None:
        self.changes, self.set_version = Changes(), 0
        self.by_place: dict[Place, Cookie] = {}
        super().__init__(policy)

    @classmethod
    def adopt(cls, jar: object) -> None:
        """Turn a plain jar of requests into a SessionCookies, in place: its owner keeps using it."""
        if type(jar) is RequestsCookieJar:
            jar.__class__ = cls
            adopted = cast(SessionCookies, jar)
            adopted.changes, adopted.set_version = Changes(), 0
            adopted.by_place = {(cookie.domain, cookie.path, cookie.name): cookie for cookie in adopted}

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        """As in requests."""
        super().set_cookie(cookie, *args, **kwargs)
        place = (cookie.domain, cookie.path, cookie.name)
        known = self.by_place.get(place)
        self.by_place[place] = cookie
        if known is None or not _differ_in_value_only(known, cookie):
            self._changed()
        elif known.value != cookie.value:
            self.value_changed(cookie.value)

    def clear(self, *args: Any, **kwargs: Any) -> None:
        """As in http.cookiejar, where each removal ends here."""
        super().clear(*args, **kwargs)
        self.by_place = {(cookie.domain, cookie.path, cookie.name): cookie for cookie in self}
        self._changed()

    def set_policy(self, policy: CookiePolicy) -> None:
        """As in http.cookiejar."""
        super().set_policy(policy)
        self._changed()

    def state(self) -> tuple[object, ...]:
        """A value that stays equal as long as nothing changes, not even a cookie referenced elsewhere."""
        return self.changes.count, *[cookie.value for cookie in self.by_place.values()]

    def renew(self, cookie: Cookie, place: Place) -> None:
        """Set a cookie that differs from the one at its place in its value only."""
        super().set_cookie(cookie)
        self.by_place[place] = cookie
        self.value_changed(cookie.value)

    def value_changed(self, value: str | None) -> None:
        """The value of a cookie is now this one: also for who changes the cookie itself."""
        if type(value) is str:
            self.changes.count += 1
        else:  # without a value, a cookie is written in another way
            self._changed()

    def _changed(self) -> None:
        self.changes.count += 1
        self.set_version += 1

    def next_expiry(self) -> float:
        """When the next cookie expires, in seconds of ``time.time``; infinite if none does."""
        now = int(time.time())  # http.cookiejar counts in whole seconds
        expiries = [cookie.expires for cookie in self.by_place.values() if cookie.expires is not None]
        return min((each for each in expiries if each > now), default=FOREVER)


def _differ_in_value_only(one: Cookie, other: Cookie) -> bool:
    return {**vars(one), "value": other.value} == vars(other)


def _cookie(attributes: dict[str, Any], value: str) -> Cookie:
    """A cookie with these attributes, but for its value."""
    cookie, own = _new(Cookie), attributes.copy()
    own["value"] = value
    cookie.__dict__ = own  # one that was made apart is copied and compared in a third of the time
    return cookie


class _Prototype:
    """What a line of a form makes: a cookie that is the same each time, but for its value."""

    __slots__ = ("_attributes", "_last", "_line", "_place", "_set_version")

    def __init__(self, line: int, attributes: dict[str, Any]) -> None:
        """``line`` is its number among those of the form."""
        self._line, self._attributes = line, attributes
        self._place = (attributes["domain"], attributes["path"], attributes["name"])
        self._last: Cookie | None = None
        """The last cookie that it made."""
        self._set_version = -1
        """The jar's when it last had to compare that with the cookie before."""

    def take(self, jar: SessionCookies, values: tuple[str, ...]) -> None:
        """Set the cookie with its value of these."""
        cookie = _cookie(self._attributes, values[self._line])
        last = jar.by_place.get(self._place)
        if last is None or last is not self._last or jar.set_version != self._set_version or last.value == cookie.value:
            jar.set_cookie(cookie)
            self._set_version = jar.set_version
        else:
            jar.renew(cookie, self._place)
        self._last = cookie


class SetCookieMemo:
    """Takes the cookies of replies into a jar; the same again, or only another value, is taken at once."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[_Seen, RequestsCookieJar | None]] = {}
        self._prototypes: dict[tuple[str, CookieForm], list[_Prototype]] = {}
        """What the lines of a form make at a place; nothing for those that are refused."""
        self._policy: dict[str, Any] | None = None
        self._rules: dict[str, Any] | None = None
        """What is in the jar's policy, of the usual kind; and all of it that matters."""

    def take(self, jar: SessionCookies, response: LoadResponse, where: str) -> None:
        """Take a reply's cookies. ``where`` is what they depend on, as ``Template.where`` has it."""
        policy = jar.get_policy()
        if type(policy) is not DefaultCookiePolicy or vars(policy) != self._policy:
            self._look_at_rules(policy)
        if len(self._last) + len(self._prototypes) > _REMEMBERED:
            self._forget()
        head = response.head
        lines, form = head.set_cookies, head.cookie_form
        seen, cookies = self._last.get(where, _NOT_SEEN)
        if seen[0] == lines and seen[1] == jar.state() and (seen[2] is None or seen[2] == int(time.time())):
            response.cookies_then = cookies
            return
        prototypes = None if form is None or self._rules is None else self._prototypes.get((where, form))
        if prototypes is None:
            self._take_by_rules(jar, response, where)
            return
        version = jar.changes.count
        for prototype in prototypes:
            prototype.take(jar, head.cookie_values)
        if jar.changes.count == version:  # else the next reply too is likely to bring other values
            self._last[where] = (lines, jar.state(), None), None

    def _look_at_rules(self, policy: CookiePolicy) -> None:
        """What was remembered holds for the same rules only."""
        rules = _rules(policy)
        if rules != self._rules or rules is None:
            self._forget()
        self._rules, self._policy = rules, None if rules is None else {**vars(policy)}

    def _forget(self) -> None:
        self._last.clear()
        self._prototypes.clear()

    def _take_by_rules(self, jar: SessionCookies, response: LoadResponse, where: str) -> None:
        """Let http.cookiejar take them, and remember what it did."""
        lines, form = response.head.set_cookies, response.head.cookie_form
        now = cookies = None
        if form is None and any(map(EXPIRES.search, lines)):
            now = int(time.time())  # http.cookiejar counts in whole seconds too
            response.cookies_then = cookies = RequestsCookieJar()
            extract_cookies_to_jar(cookies, response.request, response.raw)
        extract_cookies_to_jar(jar, response.request, response.raw)
        if form is not None and self._rules is not None:
            scratch = RequestsCookieJar(policy=jar.get_policy())
            extract_cookies_to_jar(scratch, response.request, response.raw)
            taken = {cookie.name: {**vars(cookie)} for cookie in scratch}  # no two of a form have the same name
            names = [name for name, _ in form]
            self._prototypes[where, form] = [
                _Prototype(line, taken[name]) for line, name in enumerate(names) if name in taken
            ]
        self._last[where] = (lines, jar.state(), now), cookies


def _rules(policy: CookiePolicy) -> dict[str, Any] | None:
    """What the usual kind of policy goes by, which can be changed in place; None for any other kind."""
    return {**vars(policy), "_now": None} if type(policy) is DefaultCookiePolicy else None


class CookieLine(NamedTuple):
    """The value of a Cookie field, None without cookies; and until when it holds, by ``time.time``."""

    value: str | None
    valid_until: float


class CookieLines:
    """The Cookie field for each URL; when only values changed, it is rebuilt without applying all the rules."""

    def __init__(self) -> None:
        self._places: dict[str, list[Place]] = {}
        self._set_version = -1
        self._valid_until = FOREVER

    def known(self, jar: SessionCookies, where: str) -> str | None:
        """The field's value, if nothing but values changed since it was made for this place, and none expires."""
        if jar.set_version != self._set_version or self._valid_until != FOREVER:
            return None
        places = self._places.get(where)
        if places is None:
            return None
        if len(places) == 1:
            place = places[0]
            return f"{place[2]}={jar.by_place[place].value}"
        return _written(jar, places)

    def line(self, jar: SessionCookies, template: Template, target: Target) -> CookieLine:
        """The field for a request of this kind to this target."""
        if not jar.by_place:
            return CookieLine(None, FOREVER)
        if jar.set_version != self._set_version or time.time() >= self._valid_until or len(self._places) > _REMEMBERED:
            self._places.clear()
            self._set_version, self._valid_until = jar.set_version, jar.next_expiry()
        where = template.where(target)
        places = self._places.get(where)
        if places is not None:
            return CookieLine(_written(jar, places), self._valid_until)
        sent = RequestsCookieJar()  # requests too takes them from a copy: the jar's policy has no say in it
        sent.update(jar)
        line = get_cookie_header(sent, template.request(target, None, NO_BODY))
        places = _places_of(line, jar)
        if places:
            self._places[where] = places
        return CookieLine(line, self._valid_until)


def _written(jar: SessionCookies, places: list[Place]) -> str:
    cookies = jar.by_place
    return "; ".join([f"{place[2]}={cookies[place].value}" for place in places])


def _places_of(value: str | None, jar: SessionCookies) -> list[Place] | None:
    """Where the cookies of this field are kept, in their order; None if that is unknown."""
    places: list[Place] = []
    for part in (value or "").split("; "):
        name = part.partition("=")[0]
        found = [place for place, cookie in jar.by_place.items() if cookie.name == name]
        if len(found) != 1:
            return None
        cookie = jar.by_place[found[0]]
        if cookie.version or f"{name}={cookie.value}" != part:
            return None
        places.append(found[0])
    return places
