"""HAR 1.2, as browsers, mitmproxy and Playwright write it: from the entries to exchanges."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urldefrag, urlencode, urljoin

from pytest_ipload.importers.exchanges import Exchange, Reply, split_url, user_and_password
from pytest_ipload.importers.har_selection import Candidate, Selection
from pytest_ipload.importers.recording import Body, ImportOptions, ImportProblem, MultipartBody, Part, Step, Text
from pytest_ipload.importers.request_bodies import body_of, needs_content_type
from pytest_ipload.importers.request_headers import kept_headers
from pytest_ipload.importers.untrusted_json import Node, parsed

_MOST_BODY = 16 << 20
"""Bytes of an unpacked body."""
_REDIRECTS = (301, 302, 303, 307, 308)


def is_har(text: str) -> bool:
    """Whether a text looks like HAR."""
    return re.match(r'\s*\{\s*"log"\s*:', text) is not None or ('"log"' in text[:4096] and '"entries"' in text)


@dataclass(frozen=True)
class HarExchanges:
    """The exchanges of a recording that are imported, and what the reader has to know of the others."""

    base_url: str
    exchanges: list[Exchange]
    notes: list[str]


def read_har(text: str, options: ImportOptions) -> HarExchanges:
    """The exchanges of a recording, in the order of their start. Raises ImportProblem."""
    document = Node(parsed(text), "")
    document.check(dict)
    entries = document.object("log").objects("entries", required=True)
    if not entries:
        raise ImportProblem("log.entries: it is empty; record at least one request")
    candidates = sorted((_candidate(entry) for entry in entries), key=lambda each: each.started_s or 0.0)
    selection = Selection(candidates, options)
    if not selection.kept:
        raise ImportProblem("no request is left to import: " + "; ".join(selection.notes()))
    base = selection.base_origin
    exchanges, dropped, follows = [], set[str](), _Redirects(selection.kept)
    for candidate in follows.heads:
        exchange, left_out = _exchange(candidate, follows, base, options)
        exchanges.append(exchange)
        dropped.update(name.lower() for name in left_out)
    return HarExchanges(
        base,
        exchanges,
        [
            *selection.notes(),
            *([] if "cookie" in options.headers else _unset_cookies(exchanges)),
            *_without_bodies(exchanges),
        ],
    )


def _candidate(entry: Node) -> Candidate:
    request = entry.object("request")
    method, url = request.text("method").upper(), urldefrag(request.text("url"))[0]
    if not re.fullmatch(r"[A-Z][A-Z-]{0,31}", method):
        raise ImportProblem(f"{request.place}.method: it has to be a method of HTTP, such as GET")
    response = entry.maybe("response")
    return Candidate(
        method=method,
        url=url,
        request=request,
        response=response,
        resource_type=entry.text("_resourceType", "") if isinstance(entry.value.get("_resourceType"), str) else "",
        started_s=_time(entry.value.get("startedDateTime")),
        took_s=_seconds(entry.value.get("time")),
        place=entry.place,
        headers=pairs_of(request, "headers"),
    )


def pairs_of(node: Node, key: str) -> tuple[tuple[str, str], ...]:
    """Names and values, as HAR lists them."""
    return tuple((each.text("name"), each.text("value", "")) for each in node.objects(key))


def _time(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    # Python 3.10 reads no other fractions than of three and six digits.
    text = re.sub(r"\.(\d+)", lambda found: "." + found[1][:6].ljust(6, "0"), text.strip().replace("Z", "+00:00"))
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (OverflowError, OSError):
        return None


def _seconds(value: Any) -> float:
    return max(0.0, value / 1000) if isinstance(value, (int, float)) and 0 < value < 1e9 else 0.0


class _Redirects:
    """Which requests are those that a client makes itself because it follows a redirect."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.next: dict[str, Candidate] = {}
        followed: set[str] = set()
        for index, candidate in enumerate(candidates):
            target = redirect_target(candidate)
            if target is None or (found := self._find(target, candidate, candidates[index + 1 :], followed)) is None:
                continue
            self.next[candidate.place] = found
            followed.add(found.place)
        self.heads = [candidate for candidate in candidates if candidate.place not in followed]

    @staticmethod
    def _find(url: str, hop: Candidate, later: Sequence[Candidate], followed: set[str]) -> Candidate | None:
        same_method = hop.status in (307, 308)
        for each in later[:50]:
            as_client = each.method == hop.method if same_method else each.method in ("GET", hop.method)
            if each.url == url and as_client and each.place not in followed:
                return each
        return None

    def chain(self, candidate: Candidate) -> list[Candidate]:
        """A request and those that followed from its redirects, at most 30."""
        chain = [candidate]
        while len(chain) < 30 and (following := self.next.get(chain[-1].place)) is not None:
            chain.append(following)
        return chain


def redirect_target(candidate: Candidate) -> str | None:
    """Where the reply sends the client to."""
    if candidate.status not in _REDIRECTS or candidate.response is None:
        return None
    given = next((value for key, value in pairs_of(candidate.response, "headers") if key.lower() == "location"), "")
    url = given or candidate.response.text("redirectURL", "")
    try:
        return urldefrag(urljoin(candidate.url, url))[0] if url else None
    except ValueError:
        return None


def _exchange(
    candidate: Candidate, redirects: _Redirects, base: str, options: ImportOptions
) -> tuple[Exchange, list[str]]:
    chain = redirects.chain(candidate)
    last = chain[-1]
    step, left_out = _step(candidate, base, options)
    status = last.status
    if status >= 400:
        step = replace(step, expect=(status,))
    if redirect_target(last) is not None or (step.method == "HEAD" and last is candidate):
        step = replace(step, follow=False)  # where it leads is not a part of the load
    return (
        Exchange(
            step=step,
            url=candidate.url,
            replies=tuple(_reply(each) for each in chain if each.response is not None),
            final_url=last.url if last is not candidate else "",
            started_s=candidate.started_s,
            ended_s=None if last.started_s is None else last.started_s + last.took_s,
            is_page=candidate.is_page or last.is_page,
            cookies=_cookies(candidate),
        ),
        left_out,
    )


def _step(candidate: Candidate, base: str, options: ImportOptions) -> tuple[Step, list[str]]:
    origin, path, query, raw_query = split_url(candidate.url, f"{candidate.place}.request.url")
    headers, left_out = kept_headers(candidate.headers, options.headers)
    post = candidate.request.maybe("postData")
    mime = next((value for key, value in headers if key.lower() == "content-type"), "")
    body: Body = None
    if post is not None:
        mime = mime or post.text("mimeType", "")
        body = _body(post, mime)
    headers = [(key, value) for key, value in headers if key.lower() != "content-type"]
    if needs_content_type(body, mime):
        headers.append(("Content-Type", mime))
    return (
        Step(
            method=candidate.method,
            origin="" if origin == base else origin,
            path=path,
            query=query,
            raw_query=raw_query,
            headers=tuple((key, Text.of(value)) for key, value in headers),
            body=body,
            auth=user_and_password(candidate.url),
        ),
        left_out,
    )


def _body(post: Node, mime: str) -> Body:
    content: str | bytes = post.text("text", "")
    if post.value.get("encoding") == "base64" and isinstance(content, str):  # an extension of some recorders
        content = _unpacked(_from_base64(content, post.place))
    if content:
        return body_of(content, mime)
    params = post.objects("params")
    if not params:
        return None
    if mime.lower().startswith("multipart/"):
        return MultipartBody(tuple(_param(each) for each in params))
    return body_of(urlencode([(each.text("name"), each.text("value", "")) for each in params]), mime)


def _param(node: Node) -> Part:
    filename = node.text("fileName", "") or None
    return Part(node.text("name"), Text.of(node.text("value", "")), filename, node.text("contentType", ""))


def _from_base64(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raise ImportProblem(f"{place}.text: it is not valid base64, as its encoding says") from None


def _unpacked(content: bytes) -> bytes:
    """The content, unpacked if it is gzip; as it is if it cannot be unpacked or would be too large."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(_MOST_BODY + 1)
    except (OSError, EOFError, zlib.error):
        return content
    return unpacked if len(unpacked) <= _MOST_BODY else content


def _reply(candidate: Candidate) -> Reply:
    response = candidate.response
    assert response is not None
    content = response.maybe("content")
    body = "" if content is None else content.text("text", "")
    if content is not None and content.value.get("encoding") == "base64":
        body = _unpacked(_from_base64(body, content.place)).decode("utf-8", "replace")
    headers = pairs_of(response, "headers")
    listed = pairs_of(response, "cookies")
    if listed and not any(key.lower() == "set-cookie" for key, _ in headers):
        headers += tuple(("set-cookie", f"{name}={value}") for name, value in listed)
    return Reply(candidate.status, headers, body)


def _cookies(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    lines = [value for key, value in candidate.headers if key.lower() == "cookie"]
    pairs = [pair.partition("=") for line in lines for pair in line.split(";")]
    found = {name.strip(): value.strip() for name, sign, value in pairs if sign}
    return tuple({**dict(pairs_of(candidate.request, "cookies")), **found}.items())


def _without_bodies(exchanges: Sequence[Exchange]) -> list[str]:
    """A note on a recording that was saved without what the replies consist of."""
    bodies = [reply.body for exchange in exchanges for reply in exchange.replies if reply.status == 200]
    if len(bodies) < 2 or any(bodies):
        return []
    return [
        "the recording has no bodies of replies, so only headers and cookies can be captured; save it with content "
        "(Playwright: record_har_content='embed')"
    ]


def _unset_cookies(exchanges: Sequence[Exchange]) -> list[str]:
    """A note on cookies that were sent although no reply had set them: the recording began in a session."""
    known: set[str] = set()
    missing: dict[str, None] = {}
    for exchange in exchanges:
        missing.update((name, None) for name, _ in exchange.cookies if name not in known)
        known.update(name for reply in exchange.replies for name, _ in reply.cookies())
    if not missing:
        return []
    shown = ", ".join(list(missing)[:8]) + (", ..." if len(missing) > 8 else "")
    return [
        f"cookies that no imported reply sets are left out: {shown}. If the load needs them, record in a private "
        "window, login included, or send them with --header Cookie"
    ]
