"""Recorded requests with their replies: what a recording is before it becomes a load test."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pytest_ipload.importers.recording import ImportProblem, Step, Text
from pytest_ipload.importers.tokens import is_token


@dataclass(frozen=True)
class Reply:
    """A reply, as far as it was recorded."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    """Decoded; empty if it is not a text."""

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def cookies(self) -> list[tuple[str, str]]:
        """Names and values of the cookies that it sets."""
        lines = [line for key, value in self.headers if key.lower() == "set-cookie" for line in value.split("\n")]
        pairs = [line.partition(";")[0].partition("=") for line in lines]
        return [(name.strip(), value.strip().strip('"')) for name, sign, value in pairs if sign]


@dataclass(frozen=True)
class Exchange:
    """A request and what came of it."""

    step: Step
    url: str
    replies: tuple[Reply, ...] = ()
    """Those of redirects that were followed, then the last one."""
    final_url: str = ""
    """What the last redirect led to."""
    started_s: float | None = None
    ended_s: float | None = None
    is_page: bool = False
    cookies: tuple[tuple[str, str], ...] = ()
    """The cookies that it sent."""


def split_url(url: str, place: str) -> tuple[str, tuple[Text, ...], tuple[tuple[str, Text], ...], str]:
    """Origin, path, query in pairs, and the query as it stands. Raises ImportProblem."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ImportProblem(f"{place}: the URL is not valid: {error}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ImportProblem(f"{place}: the URL has to be complete and begin with http:// or https://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    origin = f"{parts.scheme.lower()}://{host}" + (f":{port}" if port is not None else "")
    segments = (parts.path or "/").split("/")[1:]
    names = [each.partition("=") for each in parts.query.split("&")] if parts.query else []
    if any(not sign or is_token(name) for name, sign, _ in names):
        # It is not made of parameters: a part of the URL as it stands.
        return origin, tuple(map(Text.of, [*segments[:-1], f"{segments[-1]}?{parts.query}"])), (), ""
    path = tuple(map(Text.of, segments))
    pairs = parse_qsl(parts.query, keep_blank_values=True, errors="replace")
    return origin, path, tuple((key, Text.of(value)) for key, value in pairs), parts.query


def user_and_password(url: str) -> tuple[Text, Text] | None:
    """Those that stand in a URL."""
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    name, _, password = user.partition(":")
    return (Text.of(unquote(name)), Text.of(unquote(password))) if at and user else None


def form_fields(text: str) -> list[tuple[str, str]] | None:
    """The fields of a URL-encoded form, or None for a text that would not be the same if it were encoded again."""
    try:
        fields = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except (ValueError, UnicodeDecodeError):
        return None
    again = parse_qsl(urlencode(fields), keep_blank_values=True)
    return fields if again == fields else None
