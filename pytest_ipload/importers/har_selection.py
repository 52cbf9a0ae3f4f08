"""Which requests of a recording belong to the load test, and what is said of the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from pytest_ipload.base.text import counted, printable
from pytest_ipload.importers.exchanges import split_url
from pytest_ipload.importers.recording import ImportOptions, ImportProblem
from pytest_ipload.importers.untrusted_json import Node

_STATIC_TYPES = frozenset(["stylesheet", "script", "image", "font", "media", "manifest", "texttrack"])
_STATIC_DESTINATIONS = frozenset(["style", "script", "image", "font", "audio", "video", "track", "manifest"])
_STATIC_NAMES = re.compile(
    r"(?i)\.(?:css|m?js|map|png|jpe?g|gif|svg|ico|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|ogg|wav|wasm|webmanifest)\Z"
)
_STATIC_MIMES = re.compile(
    r"(?i)(?:image/|font/|audio/|video/|text/css|(?:text|application)/(?:x-)?javascript|application/(?:font|x-font|wasm))"
)
_HINTS = {"static file": " (--static imports them)"}
_BEACON_TYPES = frozenset(["ping", "beacon", "csp-violation-report", "cspviolationreport", "signed-exchange"])
_BEACON_PATHS = re.compile(r"(?i)/(?:cdn-cgi/rum|g/collect|collect|beacon|csp-report|csp_report)\Z")


@dataclass(frozen=True)
class Candidate:
    """An entry of a recording."""

    method: str
    url: str
    request: Node
    response: Node | None
    resource_type: str
    started_s: float | None
    took_s: float
    place: str
    headers: tuple[tuple[str, str], ...]

    @cached_property
    def status(self) -> int:
        """The status of the reply; 0 if there was none."""
        return 0 if self.response is None or "status" not in self.response.value else self.response.number("status")

    @cached_property
    def mime(self) -> str:
        """The media type of the reply."""
        content = None if self.response is None else self.response.maybe("content")
        return "" if content is None else content.text("mimeType", "")

    @cached_property
    def parts(self) -> SplitResult:
        """The parts of the URL. Raises ImportProblem."""
        try:
            return urlsplit(self.url)
        except ValueError as error:
            raise ImportProblem(f"{self.place}.request.url: the URL is not valid: {error}") from None

    @property
    def host(self) -> str:
        """Host and port, as the URL has them. Raises ImportProblem."""
        return self.parts.netloc.rpartition("@")[2].lower()

    def header(self, name: str) -> str:
        """A header of the request, in lower case."""
        return next((value.lower() for key, value in self.headers if key.lower() == name), "")

    @property
    def is_page(self) -> bool:
        """Whether a browser shows it as a page."""
        return (
            self.resource_type == "document"
            or self.header("sec-fetch-dest") == "document"
            or (not self.resource_type and self.mime.startswith("text/html"))
        )


class Selection:
    """The entries to import."""

    def __init__(self, candidates: Sequence[Candidate], options: ImportOptions) -> None:
        self._options = options
        self._left_out: Counter[str] = Counter()
        self._other_hosts: Counter[str] = Counter()
        rest = [each for each in candidates if self._usable(each)]
        self._main = options.hosts[0].lower() if options.hosts else _main_host(rest)
        self.kept = [each for each in rest if self._is_wanted(each)]

    @property
    def base_origin(self) -> str:
        """Scheme, host and port of most of the requests to the first host."""
        own = [each for each in self.kept if _is_host(each.host, self._main)] or self.kept
        [(origin, _)] = Counter(split_url(each.url, f"{each.place}.request.url")[0] for each in own).most_common(1)
        return origin

    def notes(self) -> list[str]:
        """What was left out, and how to have it."""
        notes = [counted(count, what) + _HINTS.get(what, "") for what, count in self._left_out.items()]
        lines = ["left out: " + ", ".join(notes)] if notes else []
        if self._other_hosts:
            total = counted(sum(self._other_hosts.values()), "request")
            most = self._other_hosts.most_common(5)
            more = ", ..." if len(self._other_hosts) > 5 else ""
            hosts = ", ".join(f"{printable(host)} ({count})" for host, count in most)
            example = " ".join(f"--host {printable(host)}" for host in (self._main, most[0][0]))
            lines.append(f"left out: {total} to other hosts: {hosts}{more}; to import them: {example}")
        return lines

    def _usable(self, each: Candidate) -> bool:
        """Whether it can be replayed at all."""
        kind = each.resource_type.lower()
        scheme = each.url.partition(":")[0].lower()
        if kind == "websocket" or scheme in ("ws", "wss") or each.status == 101:
            return self._leave_out("WebSocket")
        if kind == "eventsource" or each.mime.startswith("text/event-stream"):
            return self._leave_out("event stream")
        if scheme not in ("http", "https"):
            return self._leave_out(f"{printable(scheme)[:20]}: URL")
        if kind == "preflight" or (each.method == "OPTIONS" and each.header("access-control-request-method")):
            return self._leave_out("browser preflight")
        if each.method == "CONNECT":
            return self._leave_out("CONNECT")
        if each.response is not None and each.status <= 0:
            return self._leave_out("request without a reply")
        return True

    def _is_wanted(self, each: Candidate) -> bool:
        hosts = self._options.hosts or (self._main,)
        if "*" not in hosts and not any(_is_host(each.host, host.lower()) for host in hosts):
            self._other_hosts[each.host] += 1
            return False
        if each.resource_type.lower() in _BEACON_TYPES or _BEACON_PATHS.search(each.parts.path):
            return self._leave_out("analytics beacon")
        if not self._options.static and _is_static(each):
            return self._leave_out("static file")
        return True

    def _leave_out(self, what: str) -> bool:
        self._left_out[what] += 1
        return False


def _is_static(each: Candidate) -> bool:
    kind = each.resource_type.lower()
    if kind in _STATIC_TYPES or each.header("sec-fetch-dest") in _STATIC_DESTINATIONS:
        return True
    if kind in ("document", "xhr", "fetch") or each.method not in ("GET", "HEAD"):
        return False
    return bool(_STATIC_NAMES.search(each.parts.path) or _STATIC_MIMES.match(each.mime))


def _is_host(netloc: str, wanted: str) -> bool:
    return netloc == wanted or (netloc.rpartition(":")[0] or netloc) == wanted or netloc == wanted.strip("/")


def _main_host(candidates: Sequence[Candidate]) -> str:
    """The host of the first page; without pages the one with the most requests."""
    pages = [each for each in candidates if each.is_page]
    if pages:
        # http://shop.test may lead to https://www.shop.test
        return next((each.host for each in pages if not 300 <= each.status < 400), pages[0].host)
    counts = Counter(each.host for each in candidates)
    return counts.most_common(1)[0][0] if counts else ""
