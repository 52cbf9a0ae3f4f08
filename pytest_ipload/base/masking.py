"""Masks secrets in texts, for everything that is shown, written or sent to another process.

A secret is recognised by its context: the password of a URL, the value of a parameter, header, key or argument that is
named like a secret. The text around it stays. A secret without such a context is not masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

HIDDEN = "***"
"""Replaces a secret."""

_CLUE = re.compile(r"[@:'\"?&;,]|=[^=]|Bearer |<[A-Za-z]|%3[Dd]|%40")
"""There is no secret in a text without one of these. Names and encoded histograms have none."""

# Each pattern below takes time in proportion to the length of the text, whatever the text is: it begins at a sign or
# at the start of a word, and reads no further than to the next of these.
_USERINFO = re.compile(
    r"(?<=//)(?P<user>[^/?#@\s:\['\"<>]*)"
    r"(?:(?P<alone>@)"
    # Behind a colon may also be a port. A password with a slash makes the URL malformed, but is one all the same.
    r"|:(?!\d{0,5}(?:[/?#'\",;)\]}\s]|\Z))(?P<password>[^/?#\s\"<>]*(?=@)|(?:[^\s'\"<>/]|/(?!/))*(?=@)"
    r"|[^/?#\s'\"<>]*?[^/?#\s'\"<>\d.](?=[^/?#\s'\"<>.]*\.\.\.)[^/?#\s'\"<>]*)@?)"  # cut off by pytest
)
_SCHEMELESS = re.compile(r"(?<=['\"])([^\s'\"/:@]+):[^\s'\"/@]+@(?=[\w\[])")
# In source code: what an f-string fills in, if no literal is in it but a key; and the head of a call or subscript.
_FIELD = r"\{[A-Za-z_][\w.]*(?:(?:\(\)|\[['\"]\w{1,60}['\"]\])[\w.]*)*\}"
_ONLY_FIELD = re.compile(rf"(?i)(?:(?:bearer|basic|digest|token) )?{_FIELD}")
_CALLED = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*(?=(?:\(\)|\[\])(?!\w)|[(\[](?:['\"]|\*\*\*))")
_PROSE = re.compile(r"[A-Za-z]+ [a-z]")
_BEARER = re.compile(
    rf"(?i)(?:(?<=['\"])(?!(?<=f['\"])\w+ {_FIELD}['\"])(bearer|basic|digest|token) [^'\"\n]+"
    r"|\b(bearer) [\w.~+/=-]{16,})"
)
_COOKIE = re.compile(r"(<Cookie [^=\s<>]{1,200}=)[^\s<>]+|(\bname='[^'\n]{0,200}', value=)'[^'\n]*'")
_PAIR = re.compile(r"(\([bu]?(['\"])([\w.-]{1,100})\2, ?[bu]?(['\"]))((?:(?!\4)(?:\\[^\n]|[^\\\n]))*)(?=\4\))")

_BLANKS = r"(?:\s|\\[nrt]){0,80}"  # between a key and its value; in the repr of a text, line feeds are escaped
_NAMED = re.compile(  # in such a repr, a name may stand right behind an escaped line feed
    r"(?<![\w.-])(?:(?<=\\)[nrt])?(?P<name>[\w.-]{1,100})(?P<quote>\\{0,4}['\"])?(?P<closed>(?:\]|%5[Dd]){1,3})?"
    rf"(?P<space>(?(quote){_BLANKS}|[ \t]{{0,80}}))(?P<sign>[=:])(?(quote){_BLANKS}|[ \t]{{0,8}})"
)
_OF_PARAMETER = re.compile(r"[?&;][\w.%\[\]-]{0,200}\Z")
"""What may stand before the name in brackets of a parameter: ``?user[`` of ``?user[password]=``."""
_PERCENT = r"%(?:25){0,3}"
_ENCODED = re.compile(  # a URL that is the parameter of another one
    rf"(?i)(?P<lead>{_PERCENT}(?:3f|26|23|3b)(?P<name>[\w.-]{{1,100}}){_PERCENT}3d)"
    rf"(?P<value>(?:(?!{_PERCENT}2[36])[^&#\s'\"<>])+)"
)
_ENCODED_LOGIN = re.compile(
    rf"(?i)(?P<lead>{_PERCENT}2f{_PERCENT}2f(?P<user>[^%&#\s'\"<>]{{0,200}})(?:{_PERCENT}3a)?)"
    rf"(?P<value>(?:(?!{_PERCENT}(?:40|2f))[^&#\s'\"<>]){{0,1000}})(?={_PERCENT}40)"
)
_NEW_LINE = r"(?:\r?\n|(?:\\r)?\\n)"
_PART = re.compile(  # a field of a form of the type multipart/form-data
    rf"(?i)(?P<lead>form-data;[ \t]?name=\\?\"(?P<name>[^\"\\\r\n]{{1,200}})"
    rf"(?:(?!{_NEW_LINE})[^\r\n]){{0,500}}{_NEW_LINE}(?:(?:(?!{_NEW_LINE})[^\r\n]){{1,500}}{_NEW_LINE}){{0,5}}{_NEW_LINE})(?P<value>(?:(?!{_NEW_LINE}--)[\s\S])+)"
)
_ELEMENT = re.compile(  # of XML
    r"(?P<lead><(?:[\w.-]{1,50}:)?(?P<name>[\w.-]{1,100})(?:\s[^<>]{0,200})?>)"
    r"(?P<value>(?:<!\[CDATA\[)?[^<]+(?=</)|(?:<!\[CDATA\[)?[^<\s][^<]*\Z)"
)
_NAME_OF_INPUT = r"\bname=\\?['\"]?(?P<name>[\w.\[\]-]{1,100})"
_VALUE_OF_INPUT = r"\b(?:value|content)=\\?['\"])(?P<value>[^'\"<>\\]+)"
_INPUT = re.compile(rf"(?i)(?P<lead><(?:input|meta)\s[^<>]{{0,300}}?{_NAME_OF_INPUT}[^<>]{{0,300}}?{_VALUE_OF_INPUT}")
_INPUT_BACKWARDS = re.compile(
    rf"(?i)(?P<lead><(?:input|meta)\s[^<>]{{0,300}}?{_VALUE_OF_INPUT}(?=[^<>]{{0,300}}?{_NAME_OF_INPUT})"
)
_IN_CONTEXT = (_ENCODED, _PART, _ELEMENT, _INPUT, _INPUT_BACKWARDS)
"""Each has the name of a value and the value."""
_LAST_KEY = re.compile(r"([\w.-]+)\]*\Z")
_QUOTED = r"[bBfFrRuU]{0,2}(\\{0,4}['\"])(?:(?!\1)(?:\\[^\n]|[^\\\n]))*"
_IN_QUOTES = re.compile(_QUOTED)
_STRING = r"'(?:\\[^\n]|[^'\\\n])*'?|\"(?:\\[^\n]|[^\"\\\n])*\"?"
_PIECE = re.compile(rf"{_STRING}|[^\[\](){{}}'\"\n]+|[\s\S]")
_PARAMETER = re.compile(r"\*{3}(?=:\s)|(?:[^&#\s'\"<>;,)\]}]|[;,)\]}](?![;,)\]}]*(?:[\s'\"&#]|\Z|[\w.-]{1,100}=)))*")
_PATH_PARAMETER = re.compile(_PARAMETER.pattern.replace("[^&", "[^?&"))
_HEADER = re.compile(r"(?:=\"[^\"\n]*\"|[^'\"\r\n\\]|\\(?![rn]))+")
_PLAIN = re.compile(r"[\w.+/=-]+")
_NO_SECRETS = frozenset({"", "none", "null", "true", "false"})

_NAMES = re.compile(
    r"(?i)(?:token|secret|passw(?:or)?d|passphrase|credentials?|signature|jwt|basic_auth|userpass|authstr"
    r"|sess(?:ion)?[-_.]?id|(?:^|[-_.])(?:pwd|pass)|(?:api|access|private|secret|auth|app|subscription|encryption|license)[-_.]?key)\d{0,3}\Z"
)
_HEADERS = re.compile(
    r"(?i)(?:(?:proxy-)?authorization|(?:set-)?cookie2?|x-[\w-]*(?:token|key|secret|signature|auth)"
    r"|(?:\w+-)+(?:token|secret|password)|(?:\w+-)*(?:api|access|private|auth|app|subscription|license)-?key)\Z"
)
_COLLECTIONS = re.compile(r"(?i)(?:cookies?|auth|proxy_auth)\Z")
_IN_URLS = re.compile(r"(?i)(?:auth|key|sig|sid|session|otp|hmac)\Z")


class _Added:
    """Names that the running session adds to these."""

    names: frozenset[str] = frozenset()


def hide_names(names: Iterable[str]) -> Callable[[], None]:
    """Mask the values of these headers, parameters and fields too, in this process; case does not matter.

    Returns what takes them back. Texts are masked in places that know nothing of a session, so these names are the
    process's and not, as other settings, the session's.
    """
    before, _Added.names = _Added.names, _Added.names | {name.lower() for name in names}

    def take_back() -> None:
        _Added.names = before

    return take_back


def masked(text: str) -> str:
    """The text with ``***`` in the place of each secret. Masking it again changes nothing."""
    if not _CLUE.search(text):
        return text
    text = _USERINFO.sub(_without_password, text)
    text = _SCHEMELESS.sub(rf"\1:{HIDDEN}@", text)
    text = _COOKIE.sub(lambda found: f"{found[1]}{HIDDEN}" if found[1] else f"{found[2]}'{HIDDEN}'", text)
    text = _BEARER.sub(rf"\1\2 {HIDDEN}", text)
    text = _PAIR.sub(lambda found: found[1] + HIDDEN if _is_secret(found[3]) else found[0], text)
    text = _ENCODED_LOGIN.sub(rf"\g<lead>{HIDDEN}", text)
    for pattern in _IN_CONTEXT:
        text = pattern.sub(_without_value, text)
    return _without_values(text)


def masked_values(value: Any) -> Any:
    """The same for all texts in plain values; the keys stay."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {key: masked_values(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_values(content) for content in value]
    return value


def _without_password(found: re.Match[str]) -> str:
    """``joe:***@``; a name that comes alone, or with nothing to keep secret, is the secret itself."""
    user, password = found["user"], found["password"]
    if found["alone"]:
        return f"{HIDDEN}@"
    at = "@" if found[0].endswith("@") else "..."
    return f"{user}:{HIDDEN}{at}" if password not in ("", "x-oauth-basic") else f"{HIDDEN}:{HIDDEN}@"


def _without_value(found: re.Match[str]) -> str:
    """What one of ``_IN_CONTEXT`` has found, without a secret."""
    return f"{found['lead']}{HIDDEN}" if _is_named_secret(found) else found[0]


def _is_named_secret(found: re.Match[str]) -> bool:
    key = _LAST_KEY.search(found["name"])  # of user[password]
    return key is not None and names_secret(key[1], in_url=found.re is _ENCODED)


def names_secret(name: str, *, in_url: bool = False) -> bool:
    """Whether the value of a header, a key, a field or, in a URL, a parameter of this name is a secret."""
    return _is_secret(name) or (in_url and _IN_URLS.match(name) is not None)


def secret_values(text: str) -> Iterator[str]:
    """The values that ``masked`` hides by their names, and the passwords of URLs."""
    if _CLUE.search(text):
        yield from (found["password"] or found["user"] for found in _USERINFO.finditer(text))
        yield from (found["value"] for found in _ENCODED_LOGIN.finditer(text))
        for pattern in _IN_CONTEXT:
            yield from (found["value"] for found in pattern.finditer(text) if _is_named_secret(found))
        for found in _NAMED.finditer(text):
            if (span := _value_span(text, found)) is not None:
                yield text[span[0] : span[1]]


def _is_secret(name: str) -> bool:
    is_added = bool(_Added.names) and name.lower() in _Added.names
    return is_added or _NAMES.search(name) is not None or _HEADERS.match(name) is not None


def _without_values(text: str) -> str:
    """The text without the values of what is named as secrets are: ``token=***``, ``'pwd': '***'``, ``Cookie: ***``."""
    parts: list[str] = []
    done = 0
    for found in _NAMED.finditer(text):
        if found.start() >= done and (span := _value_span(text, found)) is not None:
            parts += [text[done : span[0]], HIDDEN]
            done = span[1]
    return "".join([*parts, text[done:]]) if parts else text


def _value_span(text: str, found: re.Match[str]) -> tuple[int, int] | None:
    """Where the value is that belongs to a name, if it is a secret."""
    name, start = found["name"], found.end()
    before = text[found.start() - 1] if found.start() else ""
    if found["closed"] and before == "%":
        name = name[2:]  # 5Bpassword%5D
    is_header = _HEADERS.match(name) is not None or name.lower() in _Added.names
    is_parameter = (
        found["sign"] == "=" and not (found["quote"] or found["space"]) and _begins_parameter(text, found, before)
    )
    if not (_is_secret(name) or _COLLECTIONS.match(name) or (is_parameter and _IN_URLS.match(name))):
        return None
    opening = text[start : start + 1]
    if is_parameter:
        return _span((_PATH_PARAMETER if before == ";" else _PARAMETER).match(text, found.end("sign")))
    if (quoted := _IN_QUOTES.match(text, start)) is not None:
        is_filled_in = "f" in quoted[0][:2].lower() and _ONLY_FIELD.fullmatch(text, quoted.end(1), quoted.end())
        return None if is_filled_in else (quoted.end(1), quoted.end())
    if opening and opening in "[({":
        return start + 1, _end_of_brackets(text, start, is_json=bool(found["quote"]) and found["sign"] == ":")
    if found["sign"] == ":" and not found["quote"]:
        return _span(_HEADER.match(text, start)) if is_header else None
    if found["space"] or not _is_secret(name):
        return None
    if (called := _CALLED.match(text, start)) is not None:  # the literals in it are masked
        return _not_empty(called.end() + 1, _end_of_brackets(text, called.end(), is_json=False))
    if found["quote"] and before == "/" and _PROSE.match(text, start):  # not a key: Invalid URL '/token': it is ...
        return None
    value = (_PLAIN if found["quote"] else _PARAMETER).match(text, start)
    is_code = value is not None and value[0].lower().endswith((*_NO_SECRETS - {""}, name.lower()))
    return None if is_code else _span(value)


def _begins_parameter(text: str, found: re.Match[str], before: str) -> bool:
    """Whether the name is that of a URL's or form's parameter, or the key in its brackets."""
    if not found["closed"]:
        return before in tuple("?&;")
    return _OF_PARAMETER.search(text, max(0, found.start() - 201), found.start()) is not None


def _end_of_brackets(text: str, start: int, *, is_json: bool) -> int:
    """Where the bracket closes that opens at ``start``; if it does not, the end of the line, or of JSON."""
    depth, place = 0, start
    while (piece := _PIECE.match(text, place)) is not None:
        first = piece[0][0]
        if first == "\n" and not is_json:
            break
        depth += (first in "[({") - (first in "])}")
        if depth == 0:
            break
        place = piece.end()
    return place


def _span(found: re.Match[str] | None) -> tuple[int, int] | None:
    return None if found is None else _not_empty(*found.span())


def _not_empty(start: int, end: int) -> tuple[int, int] | None:
    return (start, end) if end > start else None
