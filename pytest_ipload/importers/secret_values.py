"""Secrets of a recording: values that no reply handed out become environment variables."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

from pytest_ipload.base.masking import HIDDEN, masked, names_secret
from pytest_ipload.importers.path_names import label_of
from pytest_ipload.importers.recording import NUMBER, QUOTED, ImportOptions, Place, Reference, Step, Text
from pytest_ipload.importers.recording import Json as JsonValue
from pytest_ipload.importers.tokens import WORD, Names, identifier, is_id, is_strong, is_token

_MORE_NAMES = re.compile(
    r"(?i)(?:^|[_.\-\]\[]|(?<=[a-z]))(?:passwords?|pw|pin|otp|totp|cvv|cvc|cvv2|ssn|iban|card_?number)\]?$|^auth$"
)
_IDS = re.compile(r"(?i)(?:id|uuid|guid|hash|etag|revision|version|cursor|nonce|state)$")
_ELEMENT = re.compile(r"<(?:[\w.-]{1,50}:)?([\w.-]{1,100})(?: [^<>]{0,500})?>([^<>]+)</")
_CREDENTIALS = re.compile(r"(?i)\s*(basic|bearer|digest|token|negotiate|apikey|api-key)\s+(.+)", re.DOTALL)
_MOST_TEXT = 1 << 18


class SecretValues:
    """Finds the secrets, and gives each one a variable; equal ones share it."""

    def __init__(self, options: ImportOptions, cookies: Iterable[tuple[str, str]] = ()) -> None:
        self._prefix = identifier(options.name, "load").upper().strip("_")
        self._basic_auth = options.basic_auth
        self._names = Names("BASE_URL")
        self._by_value: dict[str, str] = {}
        self._cookies = {
            value: name for name, value in cookies if is_strong(value) and is_id(value) and not value.isdigit()
        }
        self._now = 0
        self._found: dict[str, tuple[str, int]] = {}
        """What each variable is, and the first request that has it."""
        self._labels: list[str] = []

    def steps(self, steps: Sequence[Step]) -> list[Step]:
        """The requests without secrets."""
        found = []
        for index, step in enumerate(steps):
            self._now = index
            found.append(self._in_headers(step).changed(self._in_text, self._in_number))
        known = _by_word([value for value in (*self._by_value, *self._cookies) if is_strong(value)])
        for index, step in enumerate(found):
            self._now = index
            found[index] = step.changed(lambda place, text: self._known_in(place, text, known), self._known_number)
        self._labels = [label_of(step) for step in found]
        return found

    @property
    def variables(self) -> dict[str, str]:
        """Names, and what each one is."""
        return {name: f"{what} of {self._labels[index]}" for name, (what, index) in self._found.items()}

    def texts(self) -> list[str]:
        """The secrets that must not be in what is written: those that are there by more than chance."""
        return [value for value in (*self._by_value, *self._cookies) if is_strong(value)]

    def reference(self, value: str, key: str, what: str, form: str = "text") -> Reference:
        """The variable for a value."""
        name = self._by_value.get(value)
        if name is None:
            name = self._names.unique(
                f"{self._prefix}_{identifier(re.sub('(?i)^x-', '', key), 'secret').upper().strip('_')}"
            )
            self._by_value[value] = name
            self._found[name] = (what, self._now)
        return Reference(name, secret=True, form=form)

    def _in_headers(self, step: Step) -> Step:
        headers, auth = [], step.auth
        for key, text in step.headers:
            pair = _user_and_password(text.literal or "") if key.lower() == "authorization" else None
            if pair and self._basic_auth:
                auth = (Text.of(pair[0]), Text.of(pair[1]))
            elif key.lower() == "cookie":
                headers.append((key, self._in_cookies(text)))
            else:
                headers.append((key, text))
        if auth is not None and not self._basic_auth:
            plain = f"{auth[0].literal or ''}:{auth[1].literal or ''}"
            encoded = base64.b64encode(plain.encode()).decode()
            credentials = self.reference(encoded, "basic_auth", "base64 of USER:PASSWORD")
            if auth[1].literal:
                self.reference(auth[1].literal, "password", "the password")  # it may be elsewhere, too
            headers.append(("Authorization", Text(("Basic ", credentials))))
            auth = None
        return replace(step, headers=tuple(headers), auth=self._in_auth(auth), proxy=self._in_proxy(step.proxy))

    def _in_auth(self, auth: tuple[Text, Text] | None) -> tuple[Text, Text] | None:
        """User and password; a user without a password is the secret itself, as some services have it."""
        user, password = (auth[0].literal, auth[1].literal) if auth else (None, None)
        if auth is None or not (user or password):
            return auth
        if not password:
            return (Text((self.reference(user or "", "token", "the user name, which is a token"),)), Text())
        return (auth[0], Text((self.reference(password, "password", "the password"),)))

    def _in_cookies(self, text: Text) -> Text:
        parts: list[str | Reference] = []
        for pair in (text.literal or "").split(";"):
            name, sign, value = pair.strip().partition("=")
            parts.append(("; " if parts else "") + name + sign)
            if value:
                parts.append(self.reference(value, name, f"cookie {name}"))
        return Text(tuple(part for part in parts if part)) if text.literal else text

    def _in_proxy(self, proxy: Text | None) -> Text | None:
        literal = proxy.literal if proxy else None
        return Text((self.reference(literal, "proxy", "the proxy's URL"),)) if literal and "@" in literal else proxy

    def _in_text(self, place: Place, text: Text) -> Text:
        if place.kind == "header" and place.key.lower() in ("authorization", "proxy-authorization"):
            return text if text.references else self._in_credentials(place, text)
        literal = text.literal
        if place.key.lower() == "cookie":
            return text
        if not literal:  # a part of it is captured
            return text.with_literals(lambda part: list(self._within(place, part)))
        if place.kind == "path":
            value = unquote(literal)
            if is_token(value):
                return Text((self.reference(value, "token", "token in the path", QUOTED),))
            return Text(tuple(self._within(place, literal)))
        if self._is_secret(place, literal):
            return Text((self.reference(literal, place.key, f"{KINDS[place.kind]} {place.key}"),))
        return Text(tuple(self._within(place, literal)))

    def _in_credentials(self, place: Place, text: Text) -> Text:
        literal = text.literal or ""
        found = _CREDENTIALS.fullmatch(literal)
        value = found[2] if found else literal
        key = "basic_auth" if found and found[1].lower() == "basic" else "token"
        if not value:
            return text
        what = "base64 of USER:PASSWORD" if key == "basic_auth" else f"credentials in {place.key}"
        return Text((*([literal[: -len(value)]] if found else []), self.reference(value, key, what)))

    def _in_number(self, place: Place, number: int) -> JsonValue:
        if not is_secret_name(place):
            return number
        return Text((self.reference(str(number), place.key, f"{KINDS['json']} {place.key}", NUMBER),))

    def _is_secret(self, place: Place, literal: str) -> bool:
        if is_secret_name(place):
            return True
        return is_token(literal) and place.kind != "raw" and (place.kind == "query" or not _IDS.search(place.key))

    def _within(self, place: Place, literal: str) -> Iterator[str | Reference]:
        """A text with secrets in it, as in ``mutation { logIn(password: "...") }``."""
        done = 0
        spans = list(_spans(literal[:_MOST_TEXT]))
        if place.kind == "path":  # also in a query that is not made of parameters
            spans += [(*found.span(), "token") for found in WORD.finditer(literal) if is_token(found[0])]
        for start, end, key in sorted(spans):
            if start >= done and end > start:
                if start > done:
                    yield literal[done:start]
                yield self.reference(
                    literal[start:end], key or place.key, f"secret in {KINDS[place.kind]} {place.key}".rstrip()
                )
                done = end
        if done < len(literal):
            yield literal[done:]

    def _known_number(self, place: Place, number: int) -> JsonValue:
        name = self._by_value.get(str(number)) if is_strong(str(number)) else None
        return number if name is None else Text((Reference(name, secret=True, form=NUMBER),))

    def _known_in(self, place: Place, text: Text, known: dict[str, list[str]]) -> Text:
        """The same value in another place, such as the repetition of a password; and values of cookies."""
        form = QUOTED if place.kind == "path" else "text"

        def change(part: str) -> list[str | Reference]:
            value = unquote(part) if place.kind == "path" else part
            if value in self._by_value and place.kind not in ("path", "raw"):
                return [Reference(self._by_value[value], secret=True, form=form)]
            parts: list[str | Reference] = [part]
            for word in dict.fromkeys(WORD.findall(part)):
                for secret in known.get(word, ()):
                    parts = [piece for each in parts for piece in self._cut(each, secret, form, place)]
            return parts

        return text.with_literals(change)

    def _cut(self, part: str | Reference, secret: str, form: str, place: Place) -> list[str | Reference]:
        if isinstance(part, Reference) or secret not in part:
            return [part]
        key = self._cookies.get(secret, place.key)
        reference = self.reference(secret, key, f"value of the cookie {key}", form)
        pieces: list[str | Reference] = []
        for index, piece in enumerate(part.split(secret)):
            pieces += [reference, piece] if index else [piece]
        return [piece for piece in pieces if piece != ""]


KINDS = {
    "path": "segment", "query": "parameter", "header": "header", "form": "form field", "json": "JSON field",
    "raw": "the body",
}  # fmt: skip
"""What a place is called."""


def _by_word(secrets: Iterable[str]) -> dict[str, list[str]]:
    """Secrets by the longest word in each: a text without that word does not have the secret."""
    found: dict[str, list[str]] = {}
    for secret in secrets:
        found.setdefault(max(WORD.findall(secret), key=len, default=""), []).append(secret)
    return found


def is_secret_name(place: Place) -> bool:
    """Whether a value is a secret by the name that it has."""
    if place.kind == "raw" or not place.key:
        return False
    last = re.split(r"[\[\].]", place.key.rstrip("]"))[-1] or place.key
    in_url = place.kind == "query"
    return names_secret(place.key, in_url=in_url) or names_secret(last) or bool(_MORE_NAMES.search(place.key))


def _user_and_password(value: str) -> tuple[str, str] | None:
    """Those of Basic authentication."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, sign, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if sign and password and user.isprintable() else None


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Where secrets are in a text that is not taken apart, and what each one is called."""
    for found in _ELEMENT.finditer(text):
        if is_secret_name(Place("form", found[1])):
            yield (*found.span(2), found[1])
    hidden = masked(text)
    if hidden == text:
        return
    pieces = hidden.split(HIDDEN)
    position = len(pieces[0])
    if not text.startswith(pieces[0]):
        yield 0, len(text), ""
        return
    for piece in pieces[1:]:
        end = text.find(piece, position) if piece else len(text)
        if end < 0:
            yield position, len(text), ""
            return
        yield position, end, _word_before(text, position)
        position = end + len(piece)


def _word_before(text: str, position: int) -> str:
    words = re.findall(r"[A-Za-z][\w-]*", text[max(0, position - 60) : position])
    return words[-1] if words else "secret"
