"""curl command lines, as documentation shows them and browsers copy them, into requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pytest_ipload.importers.curl_options import MEANINGLESS, NOT_CARRIED_OVER, SHORT, TAKES_VALUE
from pytest_ipload.importers.exchanges import Exchange, split_url
from pytest_ipload.importers.recording import (
    Body,
    File,
    ImportOptions,
    ImportProblem,
    MultipartBody,
    Part,
    RawBody,
    Step,
    Text,
)
from pytest_ipload.importers.request_bodies import body_of, needs_content_type
from pytest_ipload.importers.request_headers import kept_headers
from pytest_ipload.importers.shell_words import Command, commands

_FORM = "application/x-www-form-urlencoded"
_IS_CURL = re.compile(r"(?:\A|[\n;&|])[ \t]*(?:\$ |> |PS>|C:\\>)?[ \t]*\^?\"?curl(?:\.exe)?\^?\"?(?=[\s^\\])")
_SECRET_OPTIONS = {"--proxy": "a proxy", "--user": "a user"}


def is_curl(text: str) -> bool:
    """Whether a text looks like curl's command line."""
    return _IS_CURL.search(text[:100_000]) is not None


@dataclass
class _Request:
    """What the options of a command ask for."""

    options: dict[str, list[str]] = field(default_factory=dict)
    data: list[tuple[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return name in self.options

    def last(self, name: str) -> str | None:
        values = self.options.get(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        return self.options.get(name, [])


@dataclass(frozen=True)
class CurlExchanges:
    """The requests of the command lines, and what the reader has to know of them."""

    base_url: str
    exchanges: list[Exchange]
    notes: list[str]


def read_curl(text: str, options: ImportOptions) -> CurlExchanges:
    """The requests of one command line or several, in their order. Raises ImportProblem."""
    steps: list[tuple[Step, str]] = []
    notes: dict[str, None] = {}
    for command in commands(text):
        words = _without_prompt(command)
        if not words:
            continue
        for request in _requests(words, command.line):
            notes.update((note, None) for note in _notes(request, command.line))
            steps += [(_step(request, url, command.line, options, notes), url) for url in request.urls]
    if not steps:
        raise ImportProblem("no curl command with a URL was found")
    base = steps[0][0].origin
    exchanges = []
    for step, url in steps:
        own = Step(**{**vars(step), "origin": "" if step.origin == base else step.origin})
        exchanges.append(Exchange(own, url))
    return CurlExchanges(base, exchanges, list(notes))


def _without_prompt(command: Command) -> list[str]:
    """The arguments of curl. Raises ImportProblem for another command."""
    words = command.words
    while words and words[0] in ("$", ">", "PS>", "C:\\>", "time", "sudo"):
        words = words[1:]
    if not words:
        return []
    if words[0] not in ("curl", "curl.exe"):
        raise ImportProblem(f"line {command.line}: {words[0][:40]!r} was given; each command has to begin with 'curl'")
    return words[1:]


def _requests(words: Sequence[str], line: int) -> Iterator[_Request]:
    request = _Request()
    for name, value in _arguments(words, line):
        if name == "--next":
            yield _with_url(request, line)
            request = _Request()
        elif name in ("", "--url"):
            request.urls.append(value)
        elif name.startswith("--data") or name == "--json":
            request.data.append((name, value))
            request.options.setdefault(name, []).append(value)
        else:
            request.options.setdefault(name, []).append(value)
    yield _with_url(request, line)


def _with_url(request: _Request, line: int) -> _Request:
    if not request.urls:
        raise ImportProblem(f"line {line}: the command has no URL")
    return request


def _arguments(words: Sequence[str], line: int) -> Iterator[tuple[str, str]]:
    """Options with their values; a URL has no name."""
    waiting = list(words)
    only_urls = False
    while waiting:
        word = waiting.pop(0)
        if only_urls or not word.startswith("-") or word == "-":
            yield "", word
        elif word == "--":
            only_urls = True
        elif word.startswith("--"):
            name = _long(word, line)
            yield name, _value(name, word, waiting, line) if TAKES_VALUE[name] else ""
        else:
            yield from _short(word, waiting, line)


def _long(word: str, line: int) -> str:
    """The full name of an option; curl takes any beginning that is the only one of its kind."""
    if word in TAKES_VALUE:
        return word
    found = [name for name in TAKES_VALUE if name.startswith(word)]
    if len(found) == 1 and len(word) > 4:
        return found[0]
    raise ImportProblem(
        f"line {line}: the option {word.partition('=')[0][:40]} is not known; leave it out, and its value if it has one"
    )


def _short(word: str, waiting: list[str], line: int) -> Iterator[tuple[str, str]]:
    """Options of one letter, several of them in a word, the last one perhaps with its value."""
    for index, letter in enumerate(word[1:], 1):
        name = SHORT.get(letter)
        if name is None:
            raise ImportProblem(
                f"line {line}: the option -{letter} is not known; leave it out, and its value if it has one"
            )
        if not TAKES_VALUE[name]:
            yield name, ""
            continue
        yield name, word[index + 1 :] or _value(name, f"-{letter}", waiting, line)
        return


def _value(name: str, shown: str, waiting: list[str], line: int) -> str:
    if not waiting:
        raise ImportProblem(f"line {line}: the option {shown} needs a value")
    return waiting.pop(0)


def _notes(request: _Request, line: int) -> Iterator[str]:
    for name in request.options:
        if name in NOT_CARRIED_OVER:
            yield f"line {line}: {name} is not carried over"
        elif name in MEANINGLESS and name == "--cookie-jar":
            yield f"line {line}: --cookie-jar is not needed: the session keeps its cookies"
    if request.has("--insecure"):
        yield (
            f"line {line}: --insecure is not carried over: certificates are verified; for one of your own set "
            "ipload_session.verify to the file of its CA"
        )


def _step(request: _Request, url: str, line: int, options: ImportOptions, notes: dict[str, None]) -> Step:
    place = f"line {line}"
    url, auth = _url(url, place)
    raw_headers, removed = _headers(request, place)
    data, mime = _data(request, place)
    url = _with_query(url, request, data, place)
    body: Body = None
    mime = next((value for key, value in raw_headers if key.lower() == "content-type"), mime)
    if "content-type" in removed:
        mime = ""
    if request.has("--form") or request.has("--form-string"):
        body, mime = MultipartBody(tuple(_parts(request, place))), "multipart/form-data"
    elif request.has("--upload-file"):
        body = RawBody(File(request.last("--upload-file") or ""))
    elif data is not None and not request.has("--get"):
        body = RawBody(data) if isinstance(data, File) else body_of(data, mime)
    kept, left_out = kept_headers(raw_headers, options.headers | {"cookie", "range"})
    if left_out:
        names = ", ".join(dict.fromkeys(name.lower() for name in left_out))
        notes[f"headers of the client itself are left out (--header NAME keeps one): {names}"] = None
    headers = [(key, value) for key, value in kept if key.lower() != "content-type"]
    if needs_content_type(body, mime):
        headers.append(("Content-Type", mime))
    origin, path, query, raw_query = split_url(url, place)
    if user := request.last("--user"):
        auth = user
    name, _, password = (auth or "").partition(":")
    return Step(
        method=_method(request, body),
        origin=origin,
        path=path,
        query=query,
        raw_query=raw_query,
        headers=tuple((key, Text.of(value)) for key, value in headers),
        body=body,
        auth=(Text.of(name), Text.of(password)) if auth else None,
        proxy=_proxy(request.last("--proxy")),
        follow=request.has("--location") or request.has("--location-trusted"),
        timeout=_seconds(request.last("--max-time"), place),
    )


def _method(request: _Request, body: Body) -> str:
    given = request.last("--request")
    if given is not None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z-]{0,31}", given):
            raise ImportProblem(f"the method {given[:40]!r} is not valid; it has to be a method of HTTP, such as POST")
        return given.upper()
    if request.has("--head"):
        return "HEAD"
    if request.has("--upload-file"):
        return "PUT"
    return "GET" if body is None and not (request.data and not request.has("--get")) else "POST"


def _url(url: str, place: str) -> tuple[str, str | None]:
    """A complete URL, and user and password that stood in it."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        url = f"http://{url}"
    if re.search(
        r"\{[^{}]*,[^{}]*\}|\[[\w]+-[\w]+(?::\d+)?\]", url.partition("?")[0].partition("://")[2].partition("/")[2]
    ):
        raise ImportProblem(f"{place}: curl would make several URLs of {{...}} and [...]; write one command for each")
    try:
        netloc = urlsplit(url).netloc
    except ValueError as error:
        raise ImportProblem(f"{place}: the URL is not valid: {error}") from None
    user, at, _ = netloc.rpartition("@")
    url = url.partition("#")[0].replace(" ", "%20")
    return (url.replace(f"{user}@", "", 1), unquote(user)) if at else (url, None)


def _headers(request: _Request, place: str) -> tuple[list[tuple[str, str]], set[str]]:
    """The headers that are given, and the names of those that are to be left out (``-H 'Accept:'``)."""
    headers, removed = [], set()
    for line in request.all("--header"):
        if line.startswith("@"):
            raise ImportProblem(f"{place}: -H @FILE cannot be imported; give each header by itself")
        name, sign, value = line.partition(":")
        name = name.strip()
        if sign and not value.strip():
            removed.add(name.lower())
        elif sign:
            headers.append((name, value.strip()))
        elif name.endswith(";"):
            headers.append((name[:-1], ""))
        else:
            raise ImportProblem(f"{place}: a header was given without a colon; write it as in -H 'Accept: text/plain'")
    for option, name in (("--user-agent", "User-Agent"), ("--referer", "Referer"), ("--range", "Range")):
        if (given := request.last(option)) and option != "--range":
            headers.append((name, given))
    if token := request.last("--oauth2-bearer"):
        headers.append(("Authorization", f"Bearer {token}"))
    cookies = [value for value in request.all("--cookie") if "=" in value]
    if cookies:
        headers.append(("Cookie", "; ".join(cookies)))
    if request.has("--json"):
        names = {name.lower() for name, _ in headers} | removed
        implied = (("Content-Type", "application/json"), ("Accept", "application/json"))
        headers += [(name, value) for name, value in implied if name.lower() not in names]
    return headers, removed


def _data(request: _Request, place: str) -> tuple[str | File | None, str]:
    """The data of all options, as curl joins them, and the media type that curl gives it."""
    if not request.data:
        return None, ""
    pieces = []
    for option, value in request.data:
        content = _piece(option, value, place)
        if isinstance(content, File):
            if len(request.data) > 1:
                raise ImportProblem(f"{place}: {option} @FILE together with other data cannot be imported")
            return content, _FORM
        pieces.append(content)
    is_json = all(option == "--json" for option, _ in request.data)
    return ("" if is_json else "&").join(pieces), "application/json" if is_json else _FORM


def _piece(option: str, value: str, place: str) -> str | File:
    if option == "--data-urlencode":
        found = re.match(r"([^=@]*)([=@]?)(.*)", value, re.DOTALL)
        assert found is not None
        name, sign, content = found.groups()
        if sign == "@":
            raise ImportProblem(f"{place}: --data-urlencode with @FILE cannot be imported; give the content itself")
        if not sign:
            return quote_plus(name)
        return f"{name}={quote_plus(content)}" if name else quote_plus(content)
    if value.startswith("@") and option != "--data-raw":
        if value == "@-":
            raise ImportProblem(f"{place}: {option} @- reads data from a pipe; give the content itself or a file")
        return File(value[1:], lines_joined=option in ("--data", "--data-ascii"))
    return value


def _with_query(url: str, request: _Request, data: str | File | None, place: str) -> str:
    """The URL with what ``-G`` and ``--url-query`` add to it."""
    more = []
    if request.has("--get") and data is not None:
        if isinstance(data, File):
            raise ImportProblem(f"{place}: -G with @FILE cannot be imported; give the content itself")
        more.append(data)
    for value in request.all("--url-query"):
        piece = _piece("--data-urlencode", value, place)
        more += [piece] if isinstance(piece, str) else []
    if not more:
        return url
    return url + ("&" if "?" in url else "?") + quote("&".join(more), safe="%&=+~!*'();:@,/?$[]-._")


def _parts(request: _Request, place: str) -> Iterator[Part]:
    for value in request.all("--form-string"):
        name, _, content = value.partition("=")
        yield Part(name, Text.of(content))
    for value in request.all("--form"):
        name, sign, content = value.partition("=")
        if not sign:
            raise ImportProblem(f"{place}: -F needs NAME=VALUE")
        parameters = dict(re.findall(r";\s*(type|filename|headers|encoder)=(\"[^\"]*\"|[^;]*)", content))
        content = re.split(r";\s*(?:type|filename|headers|encoder)=", content)[0]
        mime = parameters.get("type", "").strip('"')
        filename = parameters.get("filename", "").strip('"')
        if content[:1] in ("@", "<"):
            path = content[1:].strip('"')
            is_file = content[0] == "@"
            yield Part(name, File(path), (filename or re.split(r"[\\/]", path)[-1]) if is_file else None, mime)
        else:
            content = content[1:-1] if re.fullmatch(r'".*"', content, re.DOTALL) else content
            yield Part(name, Text.of(content), filename or None, mime)


def _proxy(proxy: str | None) -> Text | None:
    if not proxy:
        return None
    return Text.of(proxy if "://" in proxy else f"http://{proxy}")


def _seconds(text: str | None, place: str) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", text) or not float(text):
        raise ImportProblem(f"{place}: --max-time {text[:20]!r}; it has to be a number of seconds")
    return float(text)
